"""Questions about one load test from within: second by second, per endpoint, its failures, its requests."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from warehouse.histogram import LEVELS
from warehouse.questions import run_tiers
from warehouse.questions.asking import Statement
from warehouse.questions.run_parts import (
    CENSORED,
    COUNTS,
    FAILED,
    LOAD,
    PERCENTILES,
    RANKS,
    OneRun,
    Phase,
    elapsed_s,
    requests_of,
)
from warehouse.questions.run_tiers import CELL_COUNTS, CELLS, CHOSEN, SERVICE_CELLS, TIER

PARTS = "(['load', 'token', 'setup', 'teardown'])[load_request.part + 1]"
PARTS_OF_CELLS = PARTS.replace("load_request", "run_cell")

OF_LOAD = {f"p{percent}_ms": percent for percent in LEVELS}
OF_SERVICE = {f"service_{name}": percent for name, percent in OF_LOAD.items()}

BY_CELLS = f"FROM run_cell JOIN chosen USING (run_no) WHERE by_cells AND run_cell.{LOAD}"
"""SQL for the cells of the load of the chosen runs that are read by cells."""

STEADY = "plateau > 0"
"""SQL for the cells of steady phases."""


class RunSeconds(OneRun):
    """One run in steps of `width_s` seconds since its load began."""

    width_s: Annotated[int, Field(ge=1, le=3600)] = 1


class RunEndpoints(OneRun):
    """One run: all of it, or only while its planned users stood still."""

    phase: Phase = "all"


def run_seconds(asked: RunSeconds) -> Statement:
    """A load test second by second: users, requests, failures, percentiles, and how the generator did.

    Where no process told of itself nothing is known, and nothing is said. `rps` is of whole steps only.
    After the load's end there are steps only where late requests began, and a process's CPU is that of
    its own end, which is not told. A run whose single requests are deleted, or are very many, is told from
    its cells: `tier` is `1s`, and percentiles are within `error_bound` of the nearest rank.
    """
    bucket = f"floor({elapsed_s()} / $width_s)::BIGINT"
    return Statement(
        f"""
        WITH chosen AS ({run_tiers.chosen("run_id = $run_id", by_cells=run_tiers.LONG)}),
        asked_for AS (
            {requests_of("all", f"{bucket} AS bucket, ts, outcome, {RANKS}", LOAD)}
        ),
        counted AS (
            SELECT bucket, {COUNTS}, quantile_disc(service_rank, 0.95) AS service
            FROM asked_for WHERE bucket >= 0 GROUP BY bucket
            UNION ALL BY NAME
            SELECT floor(second / $width_s)::BIGINT AS bucket, {CELL_COUNTS}
            {BY_CELLS} AND second >= 0 GROUP BY 1
        ),
        beating AS (
            SELECT {bucket} AS bucket, worker, arg_max(users, ts) AS users,
                max(cpu_ratio) FILTER (ended_at IS NULL OR ts <= ended_at) AS cpu,
                max(dropped) AS dropped, arg_max(backlog, ts) AS backlog, max({elapsed_s()}) AS beat_s
            FROM load_beat JOIN chosen USING (run_no)
            GROUP BY 1, 2
        ),
        edges AS (
            SELECT greatest(
                    (SELECT max(bucket) FROM counted), (SELECT max(bucket) FROM beating)
                ) AS last_bucket,
                (SELECT greatest({elapsed_s("max(until_at)")}, 0) FROM chosen GROUP BY began_at) AS until_s,
                (SELECT max(beat_s) FROM beating) AS beat_s,
                (SELECT {elapsed_s("ended_at")} FROM chosen) AS ended_s
        ),
        grid AS (SELECT unnest(generate_series(0, last_bucket)) AS bucket FROM edges),
        workers AS (SELECT worker, max(worker) OVER () AS last_worker FROM beating GROUP BY worker),
        filled AS (
            SELECT grid.bucket, worker, worker > 0 OR last_worker = 0 AS has_users, cpu, beat_s,
                last_value(users IGNORE NULLS) OVER so_far AS users,
                last_value(backlog IGNORE NULLS) OVER so_far AS backlog,
                coalesce(last_value(dropped IGNORE NULLS) OVER so_far, 0) AS dropped
            FROM grid CROSS JOIN workers LEFT JOIN beating USING (bucket, worker)
            WINDOW so_far AS (PARTITION BY worker ORDER BY grid.bucket)
        ),
        summed AS (
            SELECT bucket, sum(users) FILTER (has_users)::BIGINT AS users, max(cpu) AS generator_cpu,
                sum(dropped)::BIGINT AS dropped, sum(backlog)::BIGINT AS backlog, max(beat_s) AS beat_s
            FROM filled GROUP BY bucket
        ),
        told AS (
            SELECT *, max(beat_s) OVER (ORDER BY bucket) AS heard_s,
                dropped - coalesce(lag(dropped) OVER (ORDER BY bucket), 0) AS newly_dropped
            FROM summed
        ),
        known AS (
            SELECT grid.bucket, told.* EXCLUDE (bucket), counted.* EXCLUDE (bucket),
                counted.bucket IS NOT NULL OR coalesce(heard_s >= grid.bucket * $width_s - 1.5, FALSE)
                    AS is_known,
                (grid.bucket + 1) * $width_s <= coalesce(ended_s, greatest(edges.beat_s, edges.until_s))
                    AS is_whole
            FROM grid LEFT JOIN told USING (bucket) LEFT JOIN counted USING (bucket), edges
            WHERE ended_s IS NULL OR grid.bucket * $width_s < ended_s OR counted.bucket IS NOT NULL
        )
        SELECT (bucket * $width_s)::BIGINT AS elapsed_s, CASE WHEN is_known THEN users END AS users,
            CASE WHEN is_known THEN coalesce(requests, 0) END AS requests,
            CASE WHEN is_known THEN coalesce(failures, 0) END AS failures,
            CASE WHEN is_known AND is_whole THEN coalesce(requests, 0) / $width_s END AS rps,
            coalesce(n, 0) AS n, {PERCENTILES}, (service % {CENSORED}) / 1000 AS service_p95_ms,
            generator_cpu, CASE WHEN is_known THEN newly_dropped END AS dropped,
            CASE WHEN is_known THEN backlog END AS backlog, {TIER}, {", ".join((*CELLS, *SERVICE_CELLS))}
        FROM known, (SELECT by_cells FROM chosen)
        """,
        asked.values(width_s=asked.width_s),
        order="elapsed_s",
        finish=run_tiers.merged({**OF_LOAD, "service_p95_ms": 95}),
    )


def run_endpoints(asked: RunEndpoints) -> Statement:
    """A load test per endpoint: requests, failures, and percentiles of corrected and of service time.

    `n` is what percentiles stand on: requests that were answered rightly or timed out, which rank above
    every answer. `tier` and `error_bound` as in `run_seconds`.
    """
    last = "(SELECT max(began_at + to_seconds(second + 1)) FROM run_cell JOIN chosen USING (run_no))"
    until = f"coalesce(until_at, (SELECT max(ts) FROM asked_for), {last})"
    length = (
        "(SELECT sum(to_s - from_s) FROM run_plateau JOIN chosen USING (run_no))"
        if asked.phase == "steady"
        else f"(SELECT {elapsed_s(until)} FROM chosen)"
    )
    steady = f"AND {STEADY}" if asked.phase == "steady" else ""
    return Statement(
        f"""
        WITH chosen AS ({CHOSEN}),
        asked_for AS (
            {requests_of(asked.phase, f"endpoint, {PARTS} AS part, ts, outcome, bytes, {RANKS}")}
        ),
        counted AS (
            SELECT endpoint, part, {COUNTS}, max(rank) AS longest,
                quantile_disc(service_rank, [0.50, 0.95, 0.99]) AS services, sum(bytes)::BIGINT AS bytes
            FROM asked_for GROUP BY endpoint, part
            UNION ALL BY NAME
            SELECT endpoint, {PARTS_OF_CELLS} AS part, {CELL_COUNTS}
            FROM run_cell JOIN chosen USING (run_no) WHERE by_cells {steady}
            GROUP BY ALL
        ),
        named AS (SELECT endpoint, method, label FROM run_endpoint JOIN chosen USING (run_no))
        SELECT endpoint, coalesce(method, '') AS method, coalesce(label, 'endpoint ' || endpoint) AS label,
            part, requests, n, failures, timeouts, failures / requests AS error_ratio,
            requests / nullif({length}, 0) AS rps, {PERCENTILES},
            (longest % {CENSORED}) / 1000 AS max_ms, coalesce(longest >= {CENSORED}, FALSE) AS max_above,
            (services[1] % {CENSORED}) / 1000 AS service_p50_ms,
            (services[2] % {CENSORED}) / 1000 AS service_p95_ms,
            (services[3] % {CENSORED}) / 1000 AS service_p99_ms, bytes,
            {TIER}, {", ".join((*CELLS, *SERVICE_CELLS))}
        FROM counted LEFT JOIN named USING (endpoint), (SELECT by_cells FROM chosen)
        """,
        asked.values(),
        order="part <> 'load', endpoint, part",
        finish=run_tiers.merged(OF_LOAD | OF_SERVICE),
    )


def steady_of(run_id: str) -> Statement:
    """Percentiles of a run's requests while its planned users stood still, all endpoints pooled."""
    return Statement(
        f"""
        WITH chosen AS ({CHOSEN}),
        asked_for AS ({requests_of("steady", f"ts, outcome, {RANKS}", LOAD)}),
        counted AS (
            SELECT {COUNTS} FROM asked_for HAVING NOT (SELECT by_cells FROM chosen)
            UNION ALL BY NAME
            SELECT {CELL_COUNTS} {BY_CELLS} AND {STEADY} HAVING (SELECT by_cells FROM chosen)
        )
        SELECT coalesce(n, 0) AS n, {PERCENTILES}, {", ".join(CELLS)} FROM counted
        """,
        {"run_id": run_id},
        finish=run_tiers.merged(OF_LOAD),
    )


def measured_of(run_id: str) -> Statement:
    """What criteria are judged by: each request's start, corrected time, outcome and endpoint."""
    return Statement(
        f"""
        WITH chosen AS ({CHOSEN})
        SELECT {elapsed_s()} AS at_s, wait_us::BIGINT + service_us AS corrected_us, outcome, endpoint
        FROM load_request JOIN chosen USING (run_no) WHERE {LOAD}
        """,
        {"run_id": run_id},
    )


def beats_of(run_id: str) -> Statement:
    """What the load-generating processes told of themselves, in order."""
    return Statement(
        f"""
        WITH chosen AS ({CHOSEN})
        SELECT worker, {elapsed_s()} AS at_s, users, cpu_ratio, dropped
        FROM load_beat JOIN chosen USING (run_no)
        """,
        {"run_id": run_id},
        order="worker, at_s",
    )


def run_failures(asked: OneRun) -> Statement:
    """What failed in a load test, and why: per endpoint, outcome, status and text.

    Where the single requests are deleted neither status nor text is known, and instants are to the second.
    """
    return Statement(
        f"""
        WITH chosen AS ({CHOSEN}),
        failed AS (
            SELECT run_no, worker, endpoint, {PARTS} AS part, outcome, status, error, count(*) AS n,
                min(ts) AS first_at, max(ts) AS last_at
            FROM load_request JOIN chosen USING (run_no)
            WHERE {FAILED} AND NOT by_cells
            GROUP BY ALL
            UNION ALL BY NAME
            SELECT run_no, endpoint, {PARTS.replace("load_request", "run_cell_outcome")} AS part, outcome,
                sum(requests)::BIGINT AS n, min(began_at + to_seconds(second)) AS first_at,
                max(began_at + to_seconds(second)) AS last_at
            FROM run_cell_outcome JOIN chosen USING (run_no) WHERE by_cells GROUP BY ALL
        ),
        texts AS (
            SELECT worker, error, any_value(text) AS text
            FROM load_error JOIN chosen USING (run_no) GROUP BY worker, error
        ),
        named AS (SELECT endpoint, label FROM run_endpoint JOIN chosen USING (run_no))
        SELECT coalesce(label, 'endpoint ' || endpoint) AS label, part, outcome, nullif(status, 0) AS status,
            coalesce(text, '') AS text, sum(n)::BIGINT AS n,
            date_trunc('milliseconds', min(first_at)) AS first_at,
            date_trunc('milliseconds', max(last_at)) AS last_at
        FROM failed LEFT JOIN texts USING (worker, error) LEFT JOIN named USING (endpoint)
        GROUP BY ALL
        """,
        asked.values(),
        order="n DESC, label, outcome, status, text",
    )


def run_requests(asked: OneRun) -> Statement:
    """Every request of a load test as it was measured; `start_us` is exact, `at` in milliseconds."""
    return Statement(
        f"""
        WITH chosen AS ({CHOSEN}),
        named AS (SELECT endpoint, label FROM run_endpoint JOIN chosen USING (run_no)),
        texts AS (
            SELECT worker, error, any_value(text) AS text
            FROM load_error JOIN chosen USING (run_no) GROUP BY worker, error
        )
        SELECT date_trunc('milliseconds', ts) AS "at", epoch_us(ts) AS start_us, {elapsed_s()} AS elapsed_s,
            load_request.worker, user_no AS "user",
            coalesce(label, 'endpoint ' || load_request.endpoint) AS label,
            {PARTS} AS part, outcome, nullif(status, 0) AS status, wait_us, service_us,
            wait_us::BIGINT + service_us AS corrected_us, bytes, text AS error
        FROM load_request JOIN chosen USING (run_no) LEFT JOIN named USING (endpoint)
            LEFT JOIN texts ON texts.worker = load_request.worker AND texts.error = load_request.error
                AND load_request.error > 0
        """,
        asked.values(),
        order="start_us, load_request.worker",
        raw=True,
    )
