"""Load tests of a target's history held against others, each as a comparison then would have told."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

import pyarrow as pa

from warehouse.analysis.baseline import Rules, judge
from warehouse.errors import InvalidInputError
from warehouse.questions import baseline_runs
from warehouse.questions.asking import Piece, Tables
from warehouse.questions.baseline_findings import common, row, unknown
from warehouse.questions.baseline_runs import Cuts, Member

MOST_RUNS, MOST_REQUESTS = 60, 4_000_000
"""Load tests, and requests of them in all, that are judged again at once."""

Pinned = Mapping[str, Any]
"""A baseline's row."""


def candidates(target: str, baseline_id: str, start: datetime, end: datetime) -> Piece:
    """The finished load tests of the baseline's scenario that ended in a span, and who is in which baseline.

    Runs of the baselines outside the span are among them, without a place in it.
    """
    return Piece(
        "candidates",
        """
        WITH pinned AS (
            SELECT baseline_id, run_id FROM baseline_run JOIN baseline USING (baseline_id)
            WHERE target = $target AND (baseline_id = $baseline OR is_active)
        ),
        judged_by AS (
            SELECT run_id, list(baseline_id ORDER BY baseline_id) AS baselines FROM pinned GROUP BY run_id
        ),
        asked AS (
            SELECT DISTINCT scenario_hash FROM run JOIN pinned USING (run_id)
            WHERE $baseline = '' OR baseline_id = $baseline
        )
        SELECT run_id, coalesce(started_at, requested_at) AS "at", ended_at AS "until",
            CASE WHEN raw_deleted_at IS NULL THEN summary END AS summary,
            coalesce(baselines, []) AS baselines,
            state = 'finished' AND ended_at >= $start AND ended_at < $end
                AND scenario_hash IN (SELECT scenario_hash FROM asked) AS is_judged
        FROM run LEFT JOIN judged_by USING (run_id)
        WHERE target = $target AND (baselines IS NOT NULL OR (ended_at >= $start AND ended_at < $end))
        ORDER BY ended_at, run_id
        """,
        {"target": target, "baseline": baseline_id, "start": start, "end": end},
    )


def _judged_again(found: pa.Table) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = found.to_pylist()
    return [each for each in rows if each["is_judged"]]


def piece(baseline_ids: Sequence[str], found: pa.Table) -> Piece:
    """What to read of the runs. Raises InvalidInputError where that is too much."""
    rows = _judged_again(found)
    own = [each for each in found.to_pylist() if each["is_judged"] or each["baselines"]]
    requests = sum(json.loads(each["summary"] or "{}").get("requests") or 0 for each in own)
    if len(rows) > MOST_RUNS or requests > MOST_REQUESTS:
        raise InvalidInputError(
            f"{len(rows)} load tests and the baselines', of {requests:,} requests, are more than the "
            f"{MOST_RUNS} and {MOST_REQUESTS:,} that are judged again at once",
            field="start",
            hint="Choose a shorter history.",
        )
    return baseline_runs.piece(baseline_ids, [each["run_id"] for each in rows])


def judged(
    target: str, pinned: Sequence[Pinned], tables: Tables, endpoints: Sequence[str], rules: Rules
) -> list[dict[str, Any]]:
    """Every load test under every baseline."""
    runs, cuts = baseline_runs.members(tables["runs"]), Cuts(endpoints)
    rows = tables["candidates"].to_pylist()
    told = []
    for each in _judged_again(tables["candidates"]):
        for baseline in pinned:
            own = sorted(row["run_id"] for row in rows if baseline["baseline_id"] in row["baselines"])
            others = [runs[run_id] for run_id in own if run_id != each["run_id"]]
            place = {name: each[name] for name in ("at", "until", "run_id")}
            place["is_active"] = baseline["is_active"]
            found = _findings(target, runs[each["run_id"]], others, baseline, cuts, rules)
            told += [{**place, **finding} for finding in found]
    return told


def _findings(
    target: str, now: Member, others: Sequence[Member], pinned: Pinned, cuts: Cuts, rules: Rules
) -> Iterator[dict[str, Any]]:
    """The findings of one run under one baseline; or why there are none."""
    try:
        series, how = baseline_runs.series(now, others, cuts)
    except InvalidInputError as error:
        yield {**common(target, pinned, ""), **unknown(error.message)}
        return
    for each in judge(series, rules):
        yield {**common(target, pinned, how), **row(each)}
