"""What a MySQL or MariaDB server tells of itself as numbers."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from dataclasses import dataclass

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
    *("Questions", "Com_commit", "Com_rollback", "Created_tmp_disk_tables", "Aborted_connects"),
    *("Innodb_buffer_pool_read_requests", "Innodb_buffer_pool_reads", "Innodb_deadlocks"),
    *("Uptime", "Uptime_since_flush_status"),
)
GAUGES = ("Threads_connected", "Threads_running", "Innodb_row_lock_current_waits")
"""The server's names for what is read of its status."""

DEADLOCKS = """
    SELECT count AS perfhouse_watch FROM information_schema.innodb_metrics
    WHERE name = 'lock_deadlocks' AND status = 'enabled'
"""
"""Where MySQL counts what MariaDB has in its status."""

LATE_S = 5.0
"""How far the server's own uptime may stay behind our clock before it must have started anew."""

_SIZES = """
    SELECT substring_index(name, '/', 1) AS perfhouse_watch, sum(file_size)
    FROM information_schema.innodb_tablespaces
    WHERE name LIKE '%/%' AND name NOT LIKE 'mysql/%' AND name NOT LIKE 'sys/%'
    GROUP BY 1
"""
MYSQL_SIZES, MARIADB_SIZES = _SIZES, _SIZES.replace("innodb_tablespaces", "innodb_sys_tablespaces")

MYSQL_STATUS = """
    SELECT variable_name AS perfhouse_watch, variable_value FROM performance_schema.global_status
    WHERE variable_name IN %s
"""
MARIADB_STATUS = MYSQL_STATUS.replace("performance_schema", "information_schema")

_ENCODED = re.compile(r"@([0-9a-f]{4})")

_OWN = """
    SELECT variable_value AS perfhouse_watch FROM performance_schema.session_status
    WHERE variable_name = 'Created_tmp_disk_tables'
"""
MYSQL_OWN, MARIADB_OWN = _OWN, _OWN.replace("performance_schema", "information_schema")

Status = Mapping[str, float]


@dataclass(frozen=True)
class Own:
    """What we ourselves have added to the server's counters."""

    statements: int = 0
    disk_tables: float = 0.0
    connection: int = 0
    """Which of our connections `disk_tables` is counted on."""

    def since(self, before: Own) -> Own:
        """What was added since then."""
        is_same = self.connection == before.connection
        disk_tables = self.disk_tables - (before.disk_tables if is_same else 0.0)
        return Own(self.statements - before.statements, disk_tables)


def read_status(session: Session) -> dict[str, float]:
    """The server's status variables that matter; those it does not have are absent."""
    statement = MARIADB_STATUS if session.is_mariadb else MYSQL_STATUS
    told = {str(name).lower(): str(value) for name, value in session.rows(statement, [[*COUNTERS, *GAUGES]])}
    return {name: float(told[name.lower()]) for name in (*COUNTERS, *GAUGES) if name.lower() in told}


def read_own(session: Session) -> Own:
    """What this watch has added so far. Raises pymysql.Error."""
    rows = session.rows(MARIADB_OWN if session.is_mariadb else MYSQL_OWN)
    return Own(session.asked, float(rows[0][0]) if rows else 0.0, session.connections)


class Growth:
    """What the server's counters grew by."""

    def __init__(self) -> None:
        self._counters = Counters()
        self._before: tuple[float, float, Own] | None = None
        self.has_begun_anew = False
        """Whether the server was restarted, or told to forget, since the previous look."""

    def forget(self) -> None:
        """The server is another one."""
        self._counters.forget()
        self._before = None

    def read(self, status: Status, deadlocks: float | None, own: Own, numbers: Numbers) -> None:
        """Shares and rates of the interval; nothing at the first look, and after a restart or a flush.

        What is our own is taken off. Transactions are those that were ended explicitly: with autocommit
        each statement is one of its own.
        """
        counters = {name: status[name] for name in COUNTERS if name in status}
        if deadlocks is not None:
            counters["Innodb_deadlocks"] = deadlocks
        grown = self._counters.grow(counters)
        before, self._before = self._before, (time.monotonic(), status.get("Uptime", 0.0), own)
        self.has_begun_anew = before is not None and (grown is None or _is_young(before, self._before))
        numbers.add("statistics_resets_total", int(self.has_begun_anew))
        if grown is None or before is None or self.has_begun_anew:
            return
        seconds, by = grown
        if "Innodb_deadlocks" in by:
            numbers.add("deadlocks_total", by["Innodb_deadlocks"])
        else:
            numbers.missing("deadlocks_total")
        ours = own.since(before[2])
        if "Created_tmp_disk_tables" in by:
            others = max(0.0, by["Created_tmp_disk_tables"] - ours.disk_tables)
            numbers.add("temp_disk_tables_total", others)
        numbers.add("aborted_connects_total", by.get("Aborted_connects"))
        if seconds > 0:
            _add_rates(by, seconds, ours.statements, numbers)


def _add_rates(by: Status, seconds: float, own: int, numbers: Numbers) -> None:
    commits, rollbacks = by.get("Com_commit"), by.get("Com_rollback")
    if "Questions" in by:
        numbers.add("queries_per_s", max(0.0, by["Questions"] - own) / seconds)
    if commits is not None and rollbacks is not None:
        numbers.add("transactions_per_s", (commits + rollbacks) / seconds)
        numbers.add("rollbacks_per_s", rollbacks / seconds)
    requests, reads = by.get("Innodb_buffer_pool_read_requests"), by.get("Innodb_buffer_pool_reads")
    if requests is not None and reads is not None:
        numbers.add("cache_hit_ratio", max(0.0, 1 - reads / requests) if requests else None)
        numbers.add("blocks_read_per_s", reads / seconds)


def _is_young(before: tuple[float, float, Own], present: tuple[float, float, Own]) -> bool:
    """Whether the server's uptime grew by clearly less than the time that passed."""
    return present[1] - before[1] < (present[0] - before[0]) * 0.9 - LATE_S


def read_gauges(status: Status, usable: float, numbers: Numbers) -> None:
    """How the server is now."""
    connections = status.get("Threads_connected")
    numbers.add("connections", connections)
    numbers.add("connections_active", status.get("Threads_running"))
    numbers.add("connections_usable", usable)
    if connections is not None and usable:
        numbers.add("connections_used_ratio", connections / usable)
    numbers.add("lock_waits", status.get("Innodb_row_lock_current_waits"))


def read_deadlocks(session: Session) -> float | None:
    """How many there were in the server's life, where its status does not tell. Raises pymysql.Error."""
    rows = session.rows(DEADLOCKS)
    return float(rows[0][0]) if rows else None


def read_sizes(session: Session, numbers: Numbers) -> None:
    """Bytes of InnoDB's files by database: reading them opens no table. Raises pymysql.Error."""
    for schema, size in session.rows(MARIADB_SIZES if session.is_mariadb else MYSQL_SIZES):
        name = _ENCODED.sub(lambda code: chr(int(code[1], 16)), str(schema))
        numbers.add("database_bytes", None if size is None else float(size), name)
