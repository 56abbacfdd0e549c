"""Questions about load tests as a whole: which ran, how they came out, their agents, who did what."""

from __future__ import annotations

import json
from typing import Annotated, Any

import pyarrow as pa
from pydantic import Field

from warehouse.questions import run_tiers
from warehouse.questions.asking import (
    IN_WINDOW,
    Asked,
    Edge,
    Nothing,
    Statement,
    Text,
    Texts,
    Window,
    chosen,
    stored,
)
from warehouse.questions.run_parts import COUNTS, LOAD, PERCENTILES, RANKS, OneRun
from warehouse.questions.run_tiers import CELL_COUNTS, CELLS
from warehouse.run_model import ENDED
from warehouse.runs import SILENT_S

COLUMNS = """
    run_no, run_id, target, url, environment, preset, scenario, scenario_hash, state, verdict, reason,
    requested_at, requested_by, via, waits, note, agent, started_at, ended_at, heartbeat_at, complete_at,
    judged_at,
    cancel_at, cancel_by, is_partial, is_generator_bound, is_baseline, target_version, versions, criteria,
    raw_deleted_at
"""

PERCENTILE_TYPES = {
    name: kind
    for rank in (50, 95, 99)
    for name, kind in ((f"p{rank}_ms", pa.float64()), (f"p{rank}_above", pa.bool_()))
}
SUMMARY = {
    "requests": pa.int64(),
    "n": pa.int64(),
    "failures": pa.int64(),
    "timeouts": pa.int64(),
    "error_ratio": pa.float64(),
    "rps": pa.float64(),
    **PERCENTILE_TYPES,
    "steady_n": pa.int64(),
    **{f"steady_{name}": kind for name, kind in PERCENTILE_TYPES.items()},
    "users_max": pa.int64(),
    "generator_cpu_max": pa.float64(),
    "dropped": pa.int64(),
}
"""What a run's summary tells. Percentiles are of corrected time, `steady_` ones over plateaus alone."""

OVERALL = {"p50_ms": 50, "p95_ms": 95, "p99_ms": 99}
FILTERS = ("target", "preset", "scenario", "verdict", "state")

LIVE = """
    live AS (
        SELECT run_no, coalesce(started_at, requested_at) AS began_at, ended_at
        FROM chosen WHERE summary IS NULL
    ),
    in_cells AS (
        SELECT run_no, run_tier.began_at FROM run_tier JOIN chosen USING (run_no)
        WHERE summary IS NULL AND raw_deleted_at IS NOT NULL
    )
"""
"""SQL for the runs whose numbers are not in a summary yet, and those of them that only cells are left of."""

NUMBERS = f"""
    counted AS (
        SELECT run_no, {COUNTS}, max(ts) AS newest_at
        FROM (SELECT run_no, ts, outcome, {RANKS} FROM load_request
            WHERE {LOAD} AND run_no IN (SELECT run_no FROM live ANTI JOIN in_cells USING (run_no)))
        GROUP BY run_no
        UNION ALL BY NAME
        SELECT run_no, {CELL_COUNTS}, max(began_at + to_seconds(second + 1)) AS newest_at
        FROM run_cell JOIN in_cells USING (run_no) WHERE {LOAD} GROUP BY run_no
    ),
    beats AS (
        SELECT load_beat.*, max(worker) OVER (PARTITION BY run_no) > 0 AS is_shared,
            max(users) OVER (PARTITION BY run_no, worker) = 0 AS leads,
            ts >= began_at + INTERVAL 1 SECOND AND (users > 0 OR leads) AS is_during
        FROM load_beat JOIN live USING (run_no)
    ),
    worker_beats AS (
        SELECT run_no, worker, max(cpu_ratio) FILTER (is_during) AS cpu, max(dropped) AS dropped,
            max(ts) AS newest_at
        FROM beats GROUP BY run_no, worker
    ),
    busy AS (
        SELECT run_no, worker, epoch_ms(ts) // 1000 AS second, max(users) AS users
        FROM beats WHERE worker > 0 OR NOT is_shared
        GROUP BY run_no, worker, second
    ),
    beaten AS (
        SELECT run_no, max(cpu) AS generator_cpu_max, sum(dropped)::BIGINT AS dropped,
            max(newest_at) AS newest_at
        FROM worker_beats GROUP BY run_no
    ),
    at_once AS (
        SELECT run_no, max(users) AS users_max
        FROM (SELECT run_no, second, sum(users)::BIGINT AS users FROM busy GROUP BY run_no, second)
        GROUP BY run_no
    ),
    numbers AS (
        SELECT run_no, coalesce(requests, 0) AS requests, coalesce(n, 0) AS n,
            coalesce(failures, 0) AS failures, coalesce(timeouts, 0) AS timeouts,
            failures / requests AS error_ratio,
            requests / nullif(epoch_ms(
                coalesce(ended_at, greatest(counted.newest_at, beaten.newest_at)) - began_at
            ) / 1000, 0) AS rps,
            {PERCENTILES}, users_max, generator_cpu_max, dropped, {", ".join(CELLS)}
        FROM live LEFT JOIN counted USING (run_no) LEFT JOIN beaten USING (run_no)
            LEFT JOIN at_once USING (run_no)
    )
"""
"""SQL for the numbers of the runs in `live`, from what is stored so far; of those `in_cells` from cells."""


class Runs(Asked):
    """Runs by what they are; nothing named means all. `text` is looked for in the words people gave."""

    target: Texts = ()
    preset: Texts = ()
    scenario: Texts = ()
    verdict: Texts = ()
    state: Texts = ()
    text: Text = ""
    baseline: bool | None = None
    start: Edge | None = None
    end: Edge | None = None

    def values(self) -> dict[str, Any]:
        """The values to bind."""
        lists = {name: list(getattr(self, name)) for name in FILTERS}
        edges = {"start": self.start, "end": self.end}
        window = {name: None if edge is None else stored(edge) for name, edge in edges.items()}
        return {**lists, **window, "text": self.text.lower(), "baseline": self.baseline}


def runs(asked: Runs) -> Statement:
    """Every load test, the newest first, with what it measured so far."""
    filters = " AND ".join(chosen(name, name) for name in FILTERS)
    return _runs(
        f"""
        {filters}
            AND ($baseline IS NULL OR is_baseline = $baseline)
            AND ($start IS NULL OR requested_at >= $start) AND ($end IS NULL OR requested_at < $end)
            AND contains(lower(concat_ws(' ', run_id, note, target, preset, scenario, target_version)), $text)
        """,
        asked.values(),
    )


def run(asked: OneRun) -> Statement:
    """One load test with its plan, and what it measured so far."""
    return _runs("run_id = $run_id", asked.values(), ", plan")


def _runs(where: str, values: dict[str, Any], more: str = "") -> Statement:
    return Statement(
        f"""
        WITH chosen AS (SELECT * FROM run WHERE {where}),
        {LIVE},
        {NUMBERS}
        SELECT {COLUMNS} {more}, summary,
            coalesce(
                state IN ('starting', 'running', 'stopping')
                AND coalesce(heartbeat_at, claimed_at) < now()::TIMESTAMP - INTERVAL {SILENT_S} SECOND, FALSE
            ) AS is_silent, run_no IN (SELECT run_no FROM run_tier) AS has_seconds, numbers.* EXCLUDE (run_no)
        FROM chosen LEFT JOIN numbers USING (run_no)
        """,
        values,
        order="run_no DESC",
        finish=run_tiers.merged(OVERALL, _with_summaries),
    )


def _with_summaries(table: pa.Table) -> pa.Table:
    """The rows with the numbers of judged runs from their summaries."""
    rows = table.to_pylist()
    summaries = [json.loads(row["summary"]) if row["summary"] else row for row in rows]
    for name, kind in SUMMARY.items():
        column = pa.array([summary.get(name) for summary in summaries], kind)
        live = [name] if name in table.column_names else []
        table = table.drop_columns(live).append_column(name, column)
    return table.drop_columns(["summary"])


def numbers_of(run_id: str) -> Statement:
    """What one run measured, whether it was judged or not."""
    return Statement(
        f"""
        WITH live AS (
            SELECT run_no, coalesce(started_at, requested_at) AS began_at, ended_at
            FROM run WHERE run_id = $run_id
        ),
        in_cells AS (
            SELECT run_no, run_tier.began_at FROM run_tier JOIN run USING (run_no)
            WHERE run_id = $run_id AND raw_deleted_at IS NOT NULL
        ),
        {NUMBERS}
        SELECT * EXCLUDE (run_no) FROM numbers
        """,
        {"run_id": run_id},
        finish=run_tiers.merged(OVERALL),
    )


class Spans(Window):
    """When load tests sent their load; no target named means all."""

    target: Texts = ()


def run_spans(asked: Spans) -> Statement:
    """From when to when load tests sent their load, of those that did within the window.

    `until_at` is missing while a run is on. Of one whose end nobody told it is when it was last heard of.
    """
    return Statement(
        f"""
        WITH span AS (
            SELECT run_id, run_no, target, preset, scenario, state, verdict, is_generator_bound, is_partial,
                coalesce(load_at, started_at) AS began_at,
                CASE WHEN list_contains($ended, state)
                    THEN coalesce(load_ended_at, ended_at, heartbeat_at, started_at) END AS until_at
            FROM run
            WHERE started_at IS NOT NULL AND {chosen("target", "target")}
        )
        SELECT * EXCLUDE (run_no) FROM span
        WHERE began_at < $end AND coalesce(until_at, now()::TIMESTAMP) >= $start
        """,
        asked.values(target=asked.target, ended=tuple(ENDED)),
        order="began_at, run_id",
    )


def load_agents(_: Nothing) -> Statement:
    """Every load agent that ever looked for work."""
    return Statement("SELECT name, seen_at, version, advertise FROM load_agent", order="name")


class AuditLog(Window):
    """Actions of the window; with `limit` only so many of the newest."""

    limit: Annotated[int, Field(ge=1, le=100_000)] | None = None


def audit_log(asked: AuditLog) -> Statement:
    """Who asked for which action on load tests, and whether it was done."""
    return Statement(
        f"""
        SELECT ts AS "at", who, via, action, subject, outcome, text FROM audit WHERE {IN_WINDOW}
        QUALIFY $limit IS NULL OR row_number() OVER (ORDER BY ts DESC) <= $limit
        """,
        asked.values(limit=asked.limit),
        order='"at"',
    )
