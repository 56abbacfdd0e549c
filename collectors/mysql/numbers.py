"""What a MySQL or MariaDB server tells of itself as numbers."""

from __future__ import annotations

from collections.abc import Mapping

from collectors.mysql.session import Session
from collectors.numbers import Counters, Metrics, Numbers

METRICS: Metrics = {
    "connections": ("1", "lower"),
    "connections_active": ("1", "lower"),
    "connections_usable": ("1", None),
    "connections_used_ratio": ("ratio", "lower"),
    "aborted_connects_total": ("1", "lower"),
    "queries_per_s": ("1/s", None),
    "transactions_per_s": ("1/s", None),
    "rollbacks_per_s": ("1/s", "lower"),
    "cache_hit_ratio": ("ratio", "higher"),
    "blocks_read_per_s": ("1/s", "lower"),
    "deadlocks_total": ("1", "lower"),
    "lock_waits": ("1", "lower"),
    "longest_transaction_s": ("s", "lower"),
    "temp_disk_tables_total": ("1", "lower"),
    "replication_lag_s": ("s", "lower"),
    "database_bytes": ("bytes", None),
    "statements_calls_total": ("1", None),
    "statements_resets_total": ("1", None),
    "statistics_resets_total": ("1", None),
}
"""Every metric of a MySQL server: its unit, and which direction is better."""

COUNTERS = (
    *("Questions", "Com_commit", "Com_rollback", "Created_tmp_disk_tables", "Aborted_connects", "Uptime"),
    *("Innodb_buffer_pool_read_requests", "Innodb_buffer_pool_reads", "Innodb_deadlocks"),
)

SIZES = """
    SELECT table_schema, sum(data_length + index_length)
    FROM information_schema.tables
    WHERE table_schema NOT IN ('mysql', 'performance_schema', 'information_schema', 'sys')
    GROUP BY table_schema
"""

Status = Mapping[str, str]


class Growth:
    """What the server's counters grew by."""

    def __init__(self) -> None:
        self._counters = Counters()
        self._was_seen = False

    def grow(self, status: Status, numbers: Numbers) -> tuple[float, Mapping[str, float]] | None:
        """Seconds and growth since the last look; None at the first one, and after a restart or a flush."""
        grown = self._counters.grow({name: float(status[name]) for name in COUNTERS if name in status})
        numbers.add("statistics_resets_total", 1 if self._was_seen and grown is None else 0)
        self._was_seen = True
        return grown


def read_status(status: Status, usable: float, growth: Growth, numbers: Numbers) -> None:
    """SHOW GLOBAL STATUS as numbers; shares and rates are those of the interval.

    Transactions are those that were ended explicitly: with autocommit each statement is one of its own,
    and they are counted by `queries_per_s`.
    """
    connections = float(status["Threads_connected"])
    numbers.add("connections", connections)
    numbers.add("connections_active", float(status["Threads_running"]))
    numbers.add("connections_usable", usable)
    numbers.add("connections_used_ratio", connections / usable)
    numbers.add("lock_waits", _optional(status, "Innodb_row_lock_current_waits"))
    grown = growth.grow(status, numbers)
    if grown is None:
        return
    seconds, by = grown
    if seconds <= 0:
        return
    numbers.add("queries_per_s", by["Questions"] / seconds)
    numbers.add("transactions_per_s", (by["Com_commit"] + by["Com_rollback"]) / seconds)
    numbers.add("rollbacks_per_s", by["Com_rollback"] / seconds)
    requests, reads = by["Innodb_buffer_pool_read_requests"], by["Innodb_buffer_pool_reads"]
    numbers.add("cache_hit_ratio", max(0.0, 1 - reads / requests) if requests else None)
    numbers.add("blocks_read_per_s", reads / seconds)
    numbers.add("deadlocks_total", by.get("Innodb_deadlocks"))
    numbers.add("temp_disk_tables_total", by["Created_tmp_disk_tables"])
    numbers.add("aborted_connects_total", by["Aborted_connects"])


def read_sizes(session: Session, numbers: Numbers) -> None:
    """Bytes of the tables and indexes that the user may see, by database."""
    for schema, size in session.rows(SIZES):
        if size is not None:
            numbers.add("database_bytes", float(size), str(schema))


def _optional(status: Status, name: str) -> float | None:
    return float(status[name]) if name in status else None
