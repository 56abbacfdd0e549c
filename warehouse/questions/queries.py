"""Questions about what databases were asked: the slow queries, their trends, what they do."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from warehouse.model import QueryCategory
from warehouse.questions.asking import (
    IN_WINDOW,
    Nothing,
    Staged,
    Statement,
    Texts,
    Trend,
    Window,
    chosen,
)
from warehouse.questions.sums import summed
from warehouse.sum_cells import QUERIES

SUMS = """
    sum(calls)::BIGINT AS calls, sum(total_us) / 1000 AS total_ms,
    sum(total_us) / sum(calls) / 1000 AS mean_ms,
    greatest(max(max_us), max(ceiling_us)) / 1000 AS max_ms,
    coalesce(max(max_us) >= coalesce(max(ceiling_us), 0), FALSE) AS max_is_known,
    sum(rows)::BIGINT AS rows, sum(blocks_read)::BIGINT AS blocks_read, sum(io_us) / 1000 AS io_ms
"""
"""SQL for what the calls of cells took together. Means stand on sums; nothing is averaged twice.

The longest call is the ceiling where it may hide in an interval that tells only that.
"""

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


SHAPES = f"{chosen('target', 'target')} AND {chosen('database', 'database')}"
"""SQL for the condition of the chosen databases' shapes."""

CHOSEN_SHAPES = f"SELECT * FROM query_shape WHERE {SHAPES}"


def slow_queries(asked: SlowQueries) -> Staged:
    """The foremost query shapes by total, mean or longest time, calls, I/O (blocks) or rows.

    Statistics are deltas between two samples and count where the later one lies. `share` is of all time
    spent in queries of that target in the window, whatever the database and category. `last_seen_at` is
    the newest within the window. `max_ms` is a ceiling where
    `max_is_known` is false: the server tells only the longest call of its life. `is_partial`: counters
    were reset meanwhile, so the true numbers are higher.
    """
    order = f"{ORDERS[asked.by]} DESC NULLS LAST, target, database, shape"
    told = f"""
        , sums AS (
            SELECT shape_id, {SUMS},
                CASE WHEN count(squares_us2) = count(*)
                    THEN sqrt(greatest(sum(squares_us2) / sum(calls) - pow(sum(total_us) / sum(calls), 2), 0))
                END / 1000 AS sd_ms,
                sum(blocks_hit)::BIGINT AS blocks_hit, sum(blocks_dirtied)::BIGINT AS blocks_dirtied,
                sum(blocks_written)::BIGINT AS blocks_written, sum(temp_blocks)::BIGINT AS temp_blocks,
                sum(wal_bytes)::BIGINT AS wal_bytes, sum(errors)::BIGINT AS errors,
                sum(unindexed)::BIGINT AS unindexed, bool_or(is_partial) AS is_partial,
                max(last_at) AS last_seen_at, sum(intervals)::BIGINT AS intervals, bit_or(tags) AS tags
            FROM summed
            GROUP BY shape_id
        ),
        shared AS (
            SELECT query_shape.*, sums.* EXCLUDE (shape_id),
                total_ms / nullif(sum(total_ms) OVER (PARTITION BY target), 0) AS share
            FROM sums JOIN query_shape USING (shape_id)
        )
        SELECT target, database, shape, category, query, calls, total_ms, mean_ms, sd_ms, max_ms,
            max_is_known, rows, rows / calls AS rows_per_call, blocks_hit, blocks_read,
            blocks_hit / nullif(blocks_hit + blocks_read, 0) AS hit_ratio, blocks_dirtied, blocks_written,
            temp_blocks, io_ms, wal_bytes, errors, unindexed, share, is_partial, first_seen_at, last_seen_at,
            intervals, tags
        FROM shared
        WHERE {chosen("database", "database")} AND {chosen("category", "category")}
            AND {chosen("shape", "shape")}
        ORDER BY {order}
        LIMIT $limit
    """
    values = {
        "target": list(asked.target),
        "database": list(asked.database),
        "category": [category.value for category in asked.category],
        "shape": list(asked.shape),
        "limit": asked.limit,
    }
    which = chosen("target", "target")
    return summed(asked, QUERIES, values, which=which, told=told, order=order)


def _chosen(asked: Queries | QueryTrend | QueryLoad) -> dict[str, list[str]]:
    return {"target": list(asked.target), "database": list(asked.database)}


def query_trend(asked: QueryTrend) -> Staged:
    """What the calls of each shape took over time. `load` is how many of them ran at once on average."""
    return summed(
        asked,
        QUERIES,
        {**_chosen(asked), "shape": list(asked.shape)},
        which=f"{SHAPES} AND {chosen('shape', 'shape')}",
        told=f"""
            SELECT bucket_at, bucket_s, target, database, shape, calls, total_ms, mean_ms, max_ms,
                max_is_known, total_ms / (bucket_s * 1000) AS load, rows, io_ms, blocks_read, blocks_hit,
                is_partial, tags
            FROM (
                SELECT bucket_at, bucket_s, shape_id, {SUMS}, sum(blocks_hit)::BIGINT AS blocks_hit,
                    bool_or(is_partial) AS is_partial, bit_or(tags) AS tags
                FROM summed GROUP BY ALL
            ) JOIN query_shape USING (shape_id)
        """,
        order="bucket_at, target, database, shape",
    )


def query_load(asked: QueryLoad) -> Staged:
    """What queries took over time by what they do. `load` is how many of them ran at once on average."""
    return summed(
        asked,
        QUERIES,
        _chosen(asked),
        which=SHAPES,
        told="""
            SELECT bucket_at, bucket_s, target, category, sum(calls)::BIGINT AS calls,
                sum(total_us) / 1000 AS total_ms, sum(total_us) / 1000 / (bucket_s * 1000) AS load,
                bit_or(tags) AS tags
            FROM summed JOIN query_shape USING (shape_id)
            GROUP BY bucket_at, bucket_s, target, category
        """,
        order="bucket_at, target, category",
    )


def query_patterns(asked: Queries) -> Staged:
    """What the databases were asked, by what it does; shares are of the chosen databases' calls and time."""
    return summed(
        asked,
        QUERIES,
        _chosen(asked),
        which=SHAPES,
        told=f"""
            SELECT target, category, shapes, calls, total_ms, mean_ms, rows, blocks_read, io_ms,
                calls / sum(calls) OVER (PARTITION BY target) AS share_calls,
                total_ms / nullif(sum(total_ms) OVER (PARTITION BY target), 0) AS share_time, tags
            FROM (
                SELECT target, category, count(DISTINCT shape_id) AS shapes, {SUMS}, bit_or(tags) AS tags
                FROM summed JOIN query_shape USING (shape_id)
                GROUP BY target, category
            )
        """,
        order="target, total_ms DESC, category",
    )


def query_stats(asked: Queries) -> Statement:
    """Statistics of each shape and interval as they were measured, durations in microseconds."""
    return Statement(
        f"""
        WITH chosen AS ({CHOSEN_SHAPES})
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
