"""Query shapes and what their calls took: shapes are kept once, past the limit they share one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from warehouse.model import SHAPES_PER_SOURCE

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

OTHER = "other"
"""The shape under which the calls of shapes past the limit are kept, one per database."""

NEW_SHAPES = """
    WITH given AS (
        SELECT target, database, shape, arg_min(category, incoming.at) AS category,
            arg_min(query, incoming.at) AS query, min(incoming.at) AS first_seen_at
        FROM incoming_query_shapes AS incoming
        GROUP BY ALL
    ),
    used AS (
        SELECT target, database, shape, min(since) AS first_seen_at
        FROM incoming_query_stats
        GROUP BY ALL
    )
    SELECT target, database, shape, coalesce(category, 'unknown') AS category, query,
        coalesce(given.first_seen_at, used.first_seen_at) AS first_seen_at
    FROM given FULL JOIN used USING (target, database, shape)
    ANTI JOIN query_shape USING (target, database, shape)
    ORDER BY first_seen_at, target, database, shape
"""

STATS_WITH_SHAPES = f"""
    incoming_query_stats AS incoming
    LEFT JOIN query_shape AS own
        ON own.target = incoming.target AND own.database = incoming.database
        AND own.shape = incoming.shape
    LEFT JOIN query_shape AS other
        ON other.target = incoming.target AND other.database = incoming.database
        AND other.shape = '{OTHER}'
"""
SHAPE_OF_STAT = "coalesce(own.shape_id, other.shape_id)"
"""SQL for a batch's statistics and the shape each is kept under."""

COLUMNS = "(target, database, shape, category, query, source, first_seen_at)"


def add_shapes(connection: DuckDBPyConnection, source: str) -> bool:
    """Make the batch's new shapes, as far as the source may; fill in texts that were missing.

    Whether there were such.
    """
    filled = connection.execute(
        """
        UPDATE query_shape SET query = given.query, category = given.category
        FROM incoming_query_shapes AS given
        WHERE query_shape.query IS NULL AND query_shape.shape <> $other
            AND query_shape.target = given.target AND query_shape.database = given.database
            AND query_shape.shape = given.shape
        """,
        {"other": OTHER},
    ).fetchall()[0][0]
    held = connection.execute(
        "SELECT count(*) FROM query_shape WHERE source = ? AND NOT is_old", [source]
    ).fetchall()[0][0]
    room = max(0, SHAPES_PER_SOURCE - held)
    connection.execute(
        f"INSERT INTO query_shape {COLUMNS} "  # noqa: S608 - constants
        f"SELECT target, database, shape, category, query, $source, first_seen_at "
        f"FROM ({NEW_SHAPES}) LIMIT {room}",
        {"source": source},
    )
    connection.execute(
        f"INSERT INTO query_shape {COLUMNS} "  # noqa: S608 - constants
        "SELECT target, database, $other, 'unknown', NULL, $source, min(since) "
        "FROM incoming_query_stats ANTI JOIN query_shape USING (target, database, shape) "
        "GROUP BY target, database ON CONFLICT DO NOTHING",
        {"other": OTHER, "source": source},
    )
    return bool(filled)


def insert_stats(connection: DuckDBPyConnection) -> None:
    """Store what the calls took, under `other` where the shape found no place."""
    connection.execute(
        f"""
        INSERT INTO query_stat
        SELECT incoming.at, since, {SHAPE_OF_STAT}, calls, total_us, squares_us2,
            min_us, max_us, ceiling_us, rows, blocks_hit, blocks_read, blocks_dirtied, blocks_written,
            temp_blocks, io_us, wal_bytes, errors, unindexed, is_partial
        FROM {STATS_WITH_SHAPES}
        """  # noqa: S608 - constants
    )
