"""What is read of load tests to hold one against a baseline of others, and the series made of it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from warehouse.analysis.baseline_series import Series
from warehouse.analysis.comparable import Side, why_not
from warehouse.analysis.phases import Plateau, shared_levels
from warehouse.analysis.requests import Span
from warehouse.analysis.resampling import Blocks
from warehouse.analysis.run_readings import THROUGHPUT, readings
from warehouse.errors import InvalidInputError
from warehouse.questions import baseline_series
from warehouse.questions.asking import Piece
from warehouse.questions.baseline_series import Told
from warehouse.questions.run_compare import TIMED, requests_in
from warehouse.questions.run_parts import LOAD, elapsed_s


@dataclass(frozen=True)
class Member:
    """A run as a side of a comparison, and whether its single requests are there."""

    side: Side
    is_deleted: bool


@dataclass(frozen=True)
class Cut:
    """What a run tells of each endpoint and of all together, over how many seconds."""

    told: dict[str, Told]
    together: dict[str, Told]
    seconds: float


def piece(baseline_ids: Sequence[str], run_ids: Sequence[str]) -> Piece:
    """Runs and those of baselines, each with its requests, plateaus and labels."""
    return Piece(
        "runs",
        f"""
        WITH chosen AS (
            SELECT run_no, run_id, target, state, scenario_hash, plan, raw_deleted_at,
                coalesce(started_at, requested_at) AS began_at, ended_at
            FROM run
            WHERE list_contains($runs::VARCHAR[], run_id) OR run_id IN (
                SELECT run_id FROM baseline_run WHERE list_contains($baselines::VARCHAR[], baseline_id))
        ),
        asked_for AS (
            SELECT run_no, {TIMED} AS requests
            FROM load_request JOIN chosen USING (run_no) WHERE {LOAD} GROUP BY run_no
        ),
        still AS (
            SELECT run_no,
                list({{'from_s': from_s, 'to_s': to_s, 'users': users}} ORDER BY from_s) AS plateaus
            FROM run_plateau JOIN chosen USING (run_no) GROUP BY run_no
        ),
        named AS (
            SELECT run_no, list({{'endpoint': endpoint, 'label': label}} ORDER BY endpoint) AS labels
            FROM run_endpoint JOIN chosen USING (run_no) WHERE part = 'load' GROUP BY run_no
        )
        SELECT run_id, target, state, scenario_hash, plan, raw_deleted_at IS NOT NULL AS is_deleted,
            coalesce({elapsed_s("ended_at")}, 0) AS length_s, requests, plateaus, labels
        FROM chosen LEFT JOIN asked_for USING (run_no) LEFT JOIN still USING (run_no)
            LEFT JOIN named USING (run_no)
        ORDER BY run_id
        """,
        {"runs": list(run_ids), "baselines": list(baseline_ids)},
    )


class Cuts:
    """What runs tell over spans of time, computed once for each run and its spans; no endpoint means all."""

    def __init__(self, endpoints: Sequence[str] = ()) -> None:
        self._endpoints = endpoints
        self._made: dict[tuple[str, tuple[tuple[Span, ...], ...]], Cut] = {}

    def of(self, side: Side, levels: Sequence[tuple[Span, ...]]) -> Cut:
        """What a run tells over the spans of each level."""
        key = (side.run_id, tuple(levels))
        if key not in self._made:
            blocks = Blocks.cut(side.requests, levels)
            told = baseline_series.told_of(blocks, side.labels, self._endpoints)
            self._made[key] = Cut(told, {"": readings(blocks)}, float(blocks.seconds.sum()))
        return self._made[key]


def members(found: pa.Table) -> dict[str, Member]:
    """The runs that were read, by their ids."""
    return {each.side.run_id: each for each in (_member(found, place) for place in range(found.num_rows))}


def series(now: Member, others: Sequence[Member], cuts: Cuts) -> tuple[list[Series], str]:
    """The series of each endpoint, and throughput of all; how they were made, in words.

    Raises InvalidInputError where the run cannot be compared with each of the baseline's.
    """
    for other in others:
        _refuse(other, now)
    if not others:
        raise InvalidInputError("the baseline has no other run", field="run")
    sides = [each.side for each in (*others, now)]
    levels = shared_levels([side.steady for side in sides])
    if not levels[-1]:
        raise InvalidInputError("they have no steady phase in common", field="run")
    made = [cuts.of(side, own) for side, own in zip(sides, levels, strict=True)]
    found = baseline_series.of_runs([each.told for each in made])
    found += baseline_series.of_runs([each.together for each in made], (THROUGHPUT,))
    return found, f"steady {made[-1].seconds:.0f} s of each"


def _refuse(other: Member, now: Member) -> None:
    """Raises InvalidInputError where the two cannot be compared."""
    for each in (other, now):
        if each.is_deleted:
            raise InvalidInputError(
                f"single requests of run {each.side.run_id} are deleted",
                field="run",
                hint="Pin a run as a baseline to keep them.",
            )
    reason = why_not(other.side, now.side)
    if reason:
        raise InvalidInputError(
            reason, field="run", hint="Compare ended runs of the same scenario and users."
        )


def _member(found: pa.Table, place: int) -> Member:
    row: dict[str, Any] = {
        name: found[name][place].as_py() for name in found.column_names if name != "requests"
    }
    side = Side(
        run_id=row["run_id"],
        state=row["state"],
        scenario_hash=row["scenario_hash"],
        plan=json.loads(row["plan"]),
        plateaus=[Plateau(**each) for each in row["plateaus"] or ()],
        length_s=row["length_s"],
        requests=requests_in(found["requests"][place]),
        labels={each["endpoint"]: each["label"] for each in row["labels"] or ()},
    )
    return Member(side, row["is_deleted"])
