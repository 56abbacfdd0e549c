"""Deletes what is older than the configuration keeps, a day at a time."""

from __future__ import annotations

import logging
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

log = logging.getLogger(__name__)

EXTRA_BATCH_DAYS = 7
"""How much longer a `batch_id` is remembered than its rows, so that a late retry is still known."""

_AGED = (
    ("attempt", "ts", 0),
    ("sample", "ts", 0),
    ("gap", "until_ts", 0),
    ("event", "ts", 0),
    ("query_stat", "ts", 0),
    ("query_latency", "ts", 0),
    ("lock_wait", "ts", 0),
    ("database_state", "ts", 0),
)
_BATCHES = ("batch", "received_at", EXTRA_BATCH_DAYS)


_SPARED = {
    "event": "(source, job, ts) NOT IN (SELECT (source, job, max(ts)) FROM event GROUP BY source, job)",
    "database_state": "(source, target, part, ts) NOT IN (SELECT (source, target, part, max(ts)) "
    "FROM database_state GROUP BY source, target, part)",
}
"""The newest of these rows are the present state: they stay."""


def expire(connection: DuckDBPyConnection, at: datetime, raw_days: int) -> dict[str, int]:
    """Delete rows older than `raw_days` before `at` (UTC, naive); returns how many per table.

    The newest event of each job and state of each database stay: they are the present state. A query's
    shape goes with the last of its statistics. Each day of each table is a
    transaction of its own, so that batches wait for none of them long.
    """
    deleted = {}
    for table, column, extra_days in (*_AGED, _BATCHES):
        limit = at - timedelta(days=raw_days + extra_days)
        deleted[table] = _expire_table(connection, table, column, limit)
    if deleted["query_stat"]:
        deleted["query_shape"] = _expire_shapes(connection, at - timedelta(days=raw_days))
    if any(deleted.values()):
        log.info("retention deleted %s", ", ".join(f"{n} {table}s" for table, n in deleted.items() if n))
    return deleted


def _expire_table(connection: DuckDBPyConnection, table: str, column: str, limit: datetime) -> int:
    oldest = connection.execute(f"SELECT min({column}) FROM {table}").fetchall()[0][0]  # noqa: S608 - our own names
    spared = f"AND {_SPARED[table]}" if table in _SPARED else ""
    count = 0
    while oldest is not None and oldest < limit:
        oldest = min(oldest + timedelta(days=1), limit)
        rows = connection.execute(
            f"DELETE FROM {table} WHERE {column} < ? {spared}",  # noqa: S608 - our own names
            [oldest],
        ).fetchall()
        count += int(rows[0][0])
    return count


def _expire_shapes(connection: DuckDBPyConnection, limit: datetime) -> int:
    """Delete the shapes whose last statistics are gone, so that their source may have new ones."""
    rows = connection.execute(
        "DELETE FROM query_shape "
        "WHERE first_seen_at < ? AND shape_id NOT IN (SELECT shape_id FROM query_stat)",
        [limit],
    ).fetchall()
    return int(rows[0][0])
