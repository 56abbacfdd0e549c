"""Questions about two load tests: how they differ, and their curves laid over one another."""

from __future__ import annotations

import json
from dataclasses import asdict
from functools import partial
from typing import Annotated, Any

import numpy as np
import pyarrow as pa
from pydantic import Field, StringConstraints

from warehouse.analysis.comparable import Side
from warehouse.analysis.compare import compare
from warehouse.analysis.phases import Plateau
from warehouse.analysis.requests import Requests
from warehouse.errors import InvalidInputError
from warehouse.questions import run_tiers
from warehouse.questions.asking import Asked, Statement
from warehouse.questions.compare_cells import CellSide, compare_cells
from warehouse.questions.run_parts import COUNTS, LOAD, PERCENTILES, RANKS, elapsed_s
from warehouse.run_model import RUN_ID
from warehouse.run_tiers import FRESH

RunId = Annotated[str, StringConstraints(pattern=RUN_ID)]

DIFFERENCES = pa.schema(
    [
        ("label", pa.string()),
        ("measure", pa.string()),
        ("unit", pa.string()),
        ("a", pa.float64()),
        ("b", pa.float64()),
        ("a_above", pa.bool_()),
        ("b_above", pa.bool_()),
        ("difference", pa.float64()),
        ("low", pa.float64()),
        ("high", pa.float64()),
        ("relative", pa.float64()),
        ("n_a", pa.int64()),
        ("n_b", pa.int64()),
        ("enough", pa.bool_()),
        ("why", pa.string()),
        ("method", pa.string()),
        ("tier", pa.string()),
        ("error_bound", pa.float64()),
    ]
)

BOTH = "run_id IN ($a, $b)"
ANY_DELETED = f"(SELECT count(*) > 0 FROM run WHERE {BOTH} AND raw_deleted_at IS NOT NULL)"
"""SQL that says that one of the two has no single requests any more: then both are read by their cells."""

KNOWN = f"{ANY_DELETED} AND ({run_tiers.DELETED} OR {FRESH})"

TIMED = f"""
    list({{
        'at_s': {elapsed_s()}, 'corrected_us': wait_us::BIGINT + service_us, 'outcome': outcome::VARCHAR,
        'endpoint': endpoint
    }})
"""
"""SQL for requests as one list."""

CELLS = ("second", "endpoint", "plateau", "requests", "n_ok", "timeouts", "sum_us", "min_us", "max_us")
CELLED = "list({" + ", ".join(f"'{name}': {name}" for name in (*CELLS, "corrected")) + "})"
"""SQL for cells as one list."""


class TwoRuns(Asked):
    """Two runs, by their ids."""

    a: RunId
    b: RunId


class TwoCurves(TwoRuns):
    """Two runs in steps of `width_s` seconds since each one's load began."""

    width_s: Annotated[int, Field(ge=1, le=3600)] = 1


def run_compare(asked: TwoRuns) -> Statement:
    """How run b differs from run a: per endpoint and measure, with a 95 % interval; an empty label is all.

    Where single requests of one of them are deleted both are told from cells, without intervals, as `tier`
    and `why` say. Refused, saying why, where the two cannot be compared.
    """
    more = f", run_id, state, scenario_hash, plan, {ANY_DELETED} AS any_deleted"
    return Statement(
        f"""
        WITH chosen AS ({run_tiers.chosen(BOTH, by_cells=KNOWN, more=more)}),
        asked_for AS (
            SELECT run_no, {TIMED} AS requests
            FROM load_request JOIN chosen USING (run_no) WHERE {LOAD} AND NOT any_deleted GROUP BY run_no
        ),
        celled AS (
            SELECT run_no, {CELLED} AS cells
            FROM run_cell JOIN chosen USING (run_no) WHERE {LOAD} AND NOT is_late AND by_cells GROUP BY run_no
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
        SELECT run_id, state, scenario_hash, plan, any_deleted, raw_deleted_at, by_cells,
            coalesce({elapsed_s("until_at")}, 0) AS length_s, requests, cells, plateaus, labels
        FROM chosen LEFT JOIN asked_for USING (run_no) LEFT JOIN celled USING (run_no)
            LEFT JOIN still USING (run_no) LEFT JOIN named USING (run_no)
        """,
        {"a": asked.a, "b": asked.b},
        finish=partial(_compared, a=asked.a, b=asked.b),
    )


def run_compare_curves(asked: TwoCurves) -> Statement:
    """Two load tests step by step since each one's load began; `run` is a or b.

    `tier` as in `run_seconds`.
    """
    bucket = f"floor({elapsed_s()} / $width_s)::BIGINT"
    return Statement(
        f"""
        WITH chosen AS ({run_tiers.chosen(BOTH, by_cells=run_tiers.LONG, more=", run_id")}),
        counted AS (
            SELECT run_no, bucket, {COUNTS}
            FROM (
                SELECT run_no, {bucket} AS bucket, outcome, {RANKS}
                FROM load_request JOIN chosen USING (run_no) WHERE {LOAD} AND NOT by_cells
            )
            WHERE bucket >= 0
            GROUP BY ALL
            UNION ALL BY NAME
            SELECT run_no, floor(second / $width_s)::BIGINT AS bucket, {run_tiers.CELL_COUNTS}
            FROM run_cell JOIN chosen USING (run_no) WHERE by_cells AND {LOAD} AND second >= 0 GROUP BY 1, 2
        ),
        beating AS (
            SELECT run_no, {bucket} AS bucket, worker, arg_max(users, ts) AS users,
                max(worker) OVER (PARTITION BY run_no) AS last_worker
            FROM load_beat JOIN chosen USING (run_no)
            GROUP BY 1, 2, 3
        ),
        used AS (
            SELECT run_no, bucket, sum(users)::BIGINT AS users
            FROM beating WHERE bucket >= 0 AND (worker > 0 OR last_worker = 0) GROUP BY ALL
        )
        SELECT CASE run_id WHEN $a THEN 'a' ELSE 'b' END AS run, run_id,
            (bucket * $width_s)::BIGINT AS elapsed_s, users, coalesce(requests, 0) AS requests,
            coalesce(requests, 0) / $width_s AS rps, coalesce(n, 0) AS n, {PERCENTILES},
            failures / nullif(requests, 0) AS error_ratio, {run_tiers.TIER},
            {", ".join(run_tiers.CELLS)}
        FROM counted FULL JOIN used USING (run_no, bucket) JOIN chosen USING (run_no)
        """,
        {"a": asked.a, "b": asked.b, "width_s": asked.width_s},
        order="run, elapsed_s",
        finish=run_tiers.merged({"p50_ms": 50, "p95_ms": 95, "p99_ms": 99}),
    )


def _compared(found: pa.Table, *, a: str, b: str) -> pa.Table:
    """The differences. Raises InvalidInputError for a run that is not there, or where it cannot be."""
    rows = {row["run_id"].as_py(): row for row in map(_row, range(found.num_rows), [found] * found.num_rows)}
    sides = []
    for field, run_id in (("a", a), ("b", b)):
        if run_id not in rows:
            raise InvalidInputError(
                f"there is no run {run_id}", field=field, hint="It may have been deleted."
            )
        sides.append(_side(rows[run_id], field))
    deleted = [(each, row["raw_deleted_at"].as_py()) for each, row in rows.items()]
    why = " and ".join(
        f"single requests of {each} were deleted on {at:%Y-%m-%d}" for each, at in deleted if at is not None
    )
    if not why:
        told = compare(*sides)
    else:
        by_cells = [CellSide(side, _cells(rows[side.run_id])) for side in sides]
        told = compare_cells(by_cells[0], by_cells[1], why)
    return pa.Table.from_pylist([asdict(each) for each in told], DIFFERENCES)


def _row(place: int, table: pa.Table) -> dict[str, pa.Scalar]:
    return {name: table[name][place] for name in table.column_names}


def _side(row: dict[str, Any], field: str) -> Side:
    run_id = row["run_id"].as_py()
    deleted_at = row["raw_deleted_at"].as_py()
    if row["any_deleted"].as_py() and not row["by_cells"].as_py():
        raise InvalidInputError(
            f"the counts of run {run_id} are not made yet"
            if deleted_at is None
            else f"single requests of run {run_id} were deleted on {deleted_at:%Y-%m-%d}, and no counts kept",
            field=field,
            hint="Try again in a minute." if deleted_at is None else "Pin a run as a baseline to keep them.",
        )
    return Side(
        run_id=run_id,
        state=row["state"].as_py(),
        scenario_hash=row["scenario_hash"].as_py(),
        plan=json.loads(row["plan"].as_py()),
        plateaus=[Plateau(**each) for each in row["plateaus"].as_py() or ()],
        length_s=row["length_s"].as_py(),
        requests=requests_in(row["requests"]),
        labels={each["endpoint"]: each["label"] for each in row["labels"].as_py() or ()},
    )


def _cells(row: dict[str, Any]) -> pa.Table:
    """What CELLED listed, as a table."""
    structs = row["cells"].values
    kinds = [("corrected", pa.binary()), *((name, pa.int64()) for name in CELLS)]
    if structs is None:
        return pa.schema(kinds).empty_table()
    columns = dict(zip((field.name for field in structs.type), structs.flatten(), strict=True))
    return pa.table({name: columns[name].cast(kind) for name, kind in kinds})


def requests_in(listed: pa.ListScalar) -> Requests:
    """What TIMED listed, as arrays."""
    structs = listed.values
    if structs is None:
        return Requests.joined([])
    columns = dict(zip((field.name for field in structs.type), structs.flatten(), strict=True))
    return Requests.of_columns(
        columns["at_s"].to_numpy(),
        columns["corrected_us"].to_numpy(),
        np.asarray(columns["outcome"].to_numpy(zero_copy_only=False), dtype=str),
        columns["endpoint"].to_numpy(),
    )
