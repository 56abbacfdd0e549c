"""Questions about the query time that 95 % of the calls stay below, from every source there is."""

from __future__ import annotations

from functools import partial
from typing import Annotated

import pyarrow as pa
from pydantic import Field

from warehouse.analysis.query_latency import judge
from warehouse.questions.asking import BUCKET, IN_WINDOW, Statement, Texts, Trend, Window, chosen

PARTS = 60
"""Parts of a window whose statistics are bounded one by one: more would be tighter, and slower."""

OBJECTIVE_MS = 100.0
GAP_METRIC = "activity_gap_max_ms"
"""The longest pause between two looks at running queries, told with the statistics of each interval."""

Objective = Annotated[float, Field(gt=0, le=3_600_000)]


class QueryLatencyWindow(Window):
    """The chosen databases; `objective_ms` is what 95 % of the calls should take less than."""

    target: Texts = ()
    objective_ms: Objective = OBJECTIVE_MS


class QueryLatencyTrend(Trend):
    """The chosen databases over time; `objective_ms` is what 95 % of the calls should take less than."""

    target: Texts = ()
    objective_ms: Objective = OBJECTIVE_MS


def query_latency(asked: QueryLatencyWindow) -> Statement:
    """The p95 of query time as an interval, by source; verdict pass, fail, undetermined or no_data.

    The calls are those of shapes that read or write; transaction control and utility statements are left
    out. `statistics`: bounds from calls, sums, squares, least and longest times. `activity`: from looking
    at running queries, never later than `gap_ms`. `server_histogram`: the server's own buckets.
    """
    part_ms = max(1000, round((asked.end - asked.start).total_seconds() * 1000 / PARTS))
    values = asked.values(target=asked.target, part_ms=part_ms)
    return Statement(
        _facts("NULL::TIMESTAMP_MS", "NULL::BIGINT"), values, finish=_judging(asked.objective_ms)
    )


def query_latency_trend(asked: QueryLatencyTrend) -> Statement:
    """The p95 of query time as an interval over time, by source, as `query_latency` tells it."""
    values = asked.values(target=asked.target, part_ms=asked.bucket_s * 1000)
    sql = _facts(BUCKET, "$bucket_ms // 1000", targets=False)
    return Statement(sql, values, finish=_judging(asked.objective_ms))


def _judging(objective_ms: float) -> partial[pa.Table]:
    return partial(judge, objective_ms=objective_ms)


def _facts(bucket: str, width: str, *, targets: bool = True) -> str:
    """SQL for the rows that `judge` wants. Both words are ours."""
    known = f"""
        UNION ALL
        SELECT DISTINCT target, {bucket}, {width}, 'target', 0, NULL, NULL, NULL, NULL
        FROM database_state
        WHERE engine <> 'redis' AND {chosen("target", "target")}
    """
    return f"""
        WITH chosen AS (
            SELECT shape_id, target FROM query_shape
            WHERE category IN ('read', 'write') AND {chosen("target", "target")}
        ),
        stats AS (
            SELECT target, query_stat.* FROM query_stat JOIN chosen USING (shape_id) WHERE {IN_WINDOW}
        ),
        looks AS (
            SELECT ts, target, max(value) * 1000 AS gap_us
            FROM sample JOIN series USING (series_id)
            WHERE {IN_WINDOW} AND kind = 'database' AND metric = '{GAP_METRIC}'
                AND {chosen("target", "target")}
            GROUP BY ALL
        ),
        latencies AS (
            SELECT * FROM query_latency WHERE {IN_WINDOW} AND {chosen("target", "target")}
        )
        SELECT target, {bucket} AS bucket_at, {width} AS bucket_s, 'statistics' AS source,
            sum(calls)::BIGINT AS calls, sum(total_us) AS total_us,
            CASE WHEN count(squares_us2) = count(*) THEN sum(squares_us2) END AS squares_us2,
            CASE WHEN count(min_us) = count(*) THEN min(min_us) END AS low_us,
            max(least(coalesce(max_us, ceiling_us, total_us), total_us)) AS high_us
        FROM stats
        GROUP BY 1, 2, 3, shape_id, epoch_ms(ts) // $part_ms
        UNION ALL
        SELECT target, {bucket}, {width}, 'looks', sum(calls)::BIGINT, NULL, NULL, NULL, max(gap_us)
        FROM stats JOIN looks USING (target, ts)
        GROUP BY 1, 2, 3
        UNION ALL
        SELECT target, {bucket}, {width}, method, sum(calls)::BIGINT, NULL, NULL, low_us, high_us
        FROM latencies
        GROUP BY 1, 2, 3, method, low_us, high_us
        {known if targets else ""}
    """
