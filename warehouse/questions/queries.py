"""Questions about what databases were asked: the slow queries, their trends, what they do."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from warehouse.model import QueryCategory
from warehouse.questions.asking import (
    BUCKET,
    IN_WINDOW,
    Nothing,
    Statement,
    Texts,
    Trend,
    Window,
    chosen,
)

MAX = """
    max(CASE WHEN max_us IS NOT NULL THEN max_us ELSE ceiling_us END) / 1000 AS max_ms,
    coalesce(max(max_us) >= max(CASE WHEN max_us IS NULL THEN ceiling_us ELSE 0 END), FALSE) AS max_is_known
"""
"""SQL for the longest call, or the ceiling where the longest may hide in an interval that tells only that."""

SUMS = f"""
    sum(calls)::BIGINT AS calls, sum(total_us) / 1000 AS total_ms,
    sum(total_us) / sum(calls) / 1000 AS mean_ms, {MAX},
    sum(rows)::BIGINT AS rows, sum(blocks_read)::BIGINT AS blocks_read, sum(io_us) / 1000 AS io_ms
"""
"""SQL for what calls took together. Means stand on sums; nothing is averaged twice."""

ORDERS = {
    "total": "total_ms",
    "mean": "mean_ms",
    "max": "max_ms",
    "calls": "calls",
    "io": "coalesce(blocks_read, 0) + coalesce(temp_blocks, 0)",
    "rows": "rows",
}


class Queries(Window):
    """The chosen databases of the chosen targets; none named means all."""

    target: Texts = ()
    database: Texts = ()


class SlowQueries(Queries):
    """The foremost `limit` shapes by one measure, of the categories and shapes named, or of all."""

    category: Annotated[tuple[QueryCategory, ...], Field(max_length=10)] = ()
    shape: Texts = ()
    by: Literal["total", "mean", "max", "calls", "io", "rows"] = "total"
    limit: Annotated[int, Field(ge=1, le=1000)] = 100


class QueryTrend(Trend):
    """The chosen shapes over time; none named means all."""

    target: Texts = ()
    database: Texts = ()
    shape: Texts = ()


class QueryLoad(Trend):
    """The chosen databases over time; none named means all."""

    target: Texts = ()
    database: Texts = ()


def chosen_shapes(*more: str) -> str:
    """SQL for the chosen shapes."""
    filters = [chosen("target", "target"), chosen("database", "database"), *more]
    return f"SELECT * FROM query_shape WHERE {' AND '.join(filters)}"


def slow_queries(asked: SlowQueries) -> Statement:
    """The foremost query shapes by total, mean or longest time, calls, I/O (blocks) or rows.

    Statistics are deltas between two samples and count where the later one lies. `share` is of all time
    spent in queries of that target in the window, whatever the database and category. `last_seen_at` is
    the newest within the window. `max_ms` is a ceiling where
    `max_is_known` is false: the server tells only the longest call of its life. `is_partial`: counters
    were reset meanwhile, so the true numbers are higher.
    """
    return Statement(
        f"""
        WITH chosen AS (SELECT * FROM query_shape WHERE {chosen("target", "target")}),
        summed AS (
            SELECT shape_id, {SUMS},
                CASE WHEN count(squares_us2) = count(*)
                    THEN sqrt(greatest(sum(squares_us2) / sum(calls) - pow(sum(total_us) / sum(calls), 2), 0))
                END / 1000 AS sd_ms,
                sum(blocks_hit)::BIGINT AS blocks_hit, sum(blocks_dirtied)::BIGINT AS blocks_dirtied,
                sum(blocks_written)::BIGINT AS blocks_written, sum(temp_blocks)::BIGINT AS temp_blocks,
                sum(wal_bytes)::BIGINT AS wal_bytes, sum(errors)::BIGINT AS errors,
                sum(unindexed)::BIGINT AS unindexed, bool_or(is_partial) AS is_partial,
                max(ts) AS last_seen_at, count(*) AS intervals
            FROM query_stat
            WHERE {IN_WINDOW} AND shape_id IN (SELECT shape_id FROM chosen)
            GROUP BY shape_id
        ),
        shared AS (
            SELECT chosen.*, summed.* EXCLUDE (shape_id),
                total_ms / nullif(sum(total_ms) OVER (PARTITION BY target), 0) AS share
            FROM summed JOIN chosen USING (shape_id)
        )
        SELECT target, database, shape, category, query, calls, total_ms, mean_ms, sd_ms, max_ms,
            max_is_known, rows, rows / calls AS rows_per_call, blocks_hit, blocks_read,
            blocks_hit / nullif(blocks_hit + blocks_read, 0) AS hit_ratio, blocks_dirtied, blocks_written,
            temp_blocks, io_ms, wal_bytes, errors, unindexed, share, is_partial, first_seen_at, last_seen_at,
            intervals
        FROM shared
        WHERE {chosen("database", "database")} AND {chosen("category", "category")}
            AND {chosen("shape", "shape")}
        ORDER BY {ORDERS[asked.by]} DESC NULLS LAST, target, database, shape
        LIMIT $limit
        """,
        asked.values(
            target=asked.target,
            database=asked.database,
            category=[category.value for category in asked.category],
            shape=asked.shape,
            limit=asked.limit,
        ),
    )


def query_trend(asked: QueryTrend) -> Statement:
    """What the calls of each shape took over time. `load` is how many of them ran at once on average."""
    return Statement(
        f"""
        WITH chosen AS ({chosen_shapes(chosen("shape", "shape"))}),
        grouped AS (
            SELECT {BUCKET} AS bucket_at, shape_id, {SUMS}, sum(blocks_hit)::BIGINT AS blocks_hit,
                bool_or(is_partial) AS is_partial
            FROM query_stat
            WHERE {IN_WINDOW} AND shape_id IN (SELECT shape_id FROM chosen)
            GROUP BY 1, 2
        )
        SELECT bucket_at, $bucket_ms // 1000 AS bucket_s, target, database, shape, calls, total_ms, mean_ms,
            max_ms, max_is_known, total_ms / $bucket_ms AS load, rows, io_ms, blocks_read, blocks_hit,
            is_partial
        FROM grouped JOIN chosen USING (shape_id)
        """,
        asked.values(target=asked.target, database=asked.database, shape=asked.shape),
        order="bucket_at, target, database, shape",
    )


def query_load(asked: QueryLoad) -> Statement:
    """What queries took over time by what they do. `load` is how many of them ran at once on average."""
    return Statement(
        f"""
        WITH chosen AS ({chosen_shapes()})
        SELECT {BUCKET} AS bucket_at, $bucket_ms // 1000 AS bucket_s, target, category,
            sum(calls)::BIGINT AS calls, sum(total_us) / 1000 AS total_ms,
            sum(total_us) / 1000 / $bucket_ms AS load
        FROM query_stat JOIN chosen USING (shape_id)
        WHERE {IN_WINDOW}
        GROUP BY ALL
        """,
        asked.values(target=asked.target, database=asked.database),
        order="bucket_at, target, category",
    )


def query_patterns(asked: Queries) -> Statement:
    """What the databases were asked, by what it does; shares are of the chosen databases' calls and time."""
    return Statement(
        f"""
        WITH chosen AS ({chosen_shapes()}),
        summed AS (
            SELECT target, category, count(DISTINCT shape_id) AS shapes, {SUMS}
            FROM query_stat JOIN chosen USING (shape_id)
            WHERE {IN_WINDOW}
            GROUP BY target, category
        )
        SELECT target, category, shapes, calls, total_ms, mean_ms, rows, blocks_read, io_ms,
            calls / sum(calls) OVER (PARTITION BY target) AS share_calls,
            total_ms / nullif(sum(total_ms) OVER (PARTITION BY target), 0) AS share_time
        FROM summed
        """,
        asked.values(target=asked.target, database=asked.database),
        order="target, total_ms DESC, category",
    )


def query_stats(asked: Queries) -> Statement:
    """Statistics of each shape and interval as they were measured, durations in microseconds."""
    return Statement(
        f"""
        WITH chosen AS ({chosen_shapes()})
        SELECT ts AS "at", since_ts AS since, target, database, shape,
            query_stat.* EXCLUDE (ts, since_ts, shape_id)
        FROM query_stat JOIN chosen USING (shape_id)
        WHERE {IN_WINDOW}
        """,
        asked.values(target=asked.target, database=asked.database),
        order='"at", target, database, shape',
        raw=True,
    )


def query_shapes(_: Nothing) -> Statement:
    """Every query shape that is kept: its text without literals, what it does, when it was first seen."""
    return Statement(
        "SELECT target, database, shape, category, query, first_seen_at FROM query_shape",
        order="target, database, shape",
    )
