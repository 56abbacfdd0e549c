"""The server's numbers: connections, ages, and per database what its counters grew by."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from collectors.numbers import Numbers
from collectors.postgres.session import Session
from collectors.readings import Growth, Meter

MOST_DATABASES = 50
"""Databases that have numbers of their own: those with the most transactions."""

SIZES_EVERY_S = 300.0

ACTIVITY = """
    WITH excluded AS (
        SELECT coalesce(array_agg(oid), '{}') AS oids
        FROM pg_roles WHERE rolname = ANY(%s::text[]) OR rolname = current_user
    ),
    backend AS (
        SELECT usesysid <> ALL(oids) AS is_counted, state, wait_event_type,
            clock_timestamp() - xact_start AS transaction_age,
            clock_timestamp() - state_change AS state_age,
            clock_timestamp() - query_start AS query_age
        FROM pg_stat_activity, excluded
        WHERE backend_type = 'client backend'
    )
    SELECT
        pg_has_role('pg_read_all_stats', 'USAGE') AS may_read,
        (SELECT oids::int8[] FROM excluded) AS excluded,
        current_setting('track_io_timing')::bool AS times_io,
        current_setting('max_connections')::int
            - current_setting('superuser_reserved_connections')::int
            - coalesce(current_setting('reserved_connections', true), '0')::int AS usable,
        count(*) AS connections,
        count(*) FILTER (WHERE is_counted AND state = 'active') AS active,
        count(*) FILTER (WHERE is_counted AND state = 'idle') AS idle,
        count(*) FILTER (WHERE is_counted AND state LIKE 'idle in transaction%%') AS idle_in_transaction,
        count(*) FILTER (WHERE wait_event_type = 'Lock') AS waiting,
        max(extract(epoch FROM transaction_age)) FILTER (WHERE is_counted)::float8 AS transaction_s,
        max(extract(epoch FROM state_age))
            FILTER (WHERE is_counted AND state LIKE 'idle in transaction%%')::float8 AS idle_s,
        max(extract(epoch FROM query_age)) FILTER (WHERE is_counted AND state = 'active')::float8 AS query_s,
        CASE WHEN pg_is_in_recovery() THEN
            CASE WHEN pg_last_wal_receive_lsn() = pg_last_wal_replay_lsn() THEN 0
            ELSE extract(epoch FROM clock_timestamp() - pg_last_xact_replay_timestamp()) END
        END::float8 AS replication_lag_s,
        (SELECT max(age(datfrozenxid)) FROM pg_database) AS transaction_id_age
    FROM backend
"""

DATABASES = """
    SELECT d.oid::int8, d.datname::text, d.datistemplate, s.xact_commit, s.xact_rollback, s.blks_hit,
        s.blks_read, s.deadlocks, s.conflicts, s.temp_bytes, s.temp_files,
        extract(epoch FROM s.stats_reset)::float8
    FROM pg_database AS d LEFT JOIN pg_stat_database AS s ON s.datid = d.oid
"""
COUNTERS = (
    *("xact_commit", "xact_rollback", "blks_hit", "blks_read"),
    *("deadlocks", "conflicts", "temp_bytes", "temp_files", "stats_reset"),
)

WAL = "SELECT wal_bytes::float8 FROM pg_stat_wal"
CHECKPOINTS = "SELECT (checkpoints_timed + checkpoints_req)::float8 FROM pg_stat_bgwriter"
CHECKPOINTS_17 = "SELECT (num_timed + num_requested)::float8 FROM pg_stat_checkpointer"
SIZES = """
    SELECT datname::text, pg_database_size(oid)
    FROM pg_database
    WHERE datname = ANY(%s::text[])
        AND (pg_has_role('pg_read_all_stats', 'USAGE') OR has_database_privilege(oid, 'CONNECT'))
"""


@dataclass(frozen=True)
class Activity:
    """What pg_stat_activity tells, in the order of the query. `None`: the role may not read it."""

    may_read: bool
    excluded: Sequence[int]
    times_io: bool
    usable: int
    connections: int
    active: int
    idle: int
    idle_in_transaction: int
    waiting: int
    transaction_s: float | None
    idle_s: float | None
    query_s: float | None
    replication_lag_s: float | None
    transaction_id_age: int


class Server:
    """Samples the numbers of one server; growth stands on the previous sample."""

    def __init__(self, exclude_users: Sequence[str]) -> None:
        self._exclude_users = list(exclude_users)
        self._databases, self._wide = Meter(), Meter()
        self._sized_at = float("-inf")

    def forget(self) -> None:
        """The server is another one, or was restarted."""
        self._databases, self._wide = Meter(), Meter()

    def read_activity(self, session: Session, numbers: Numbers) -> Activity:
        """Connections and ages. Without the right to read all statistics there is none but the age of ids."""
        activity = Activity(*session.query(ACTIVITY, [self._exclude_users])[0])
        numbers.add("transaction_id_age", activity.transaction_id_age)
        numbers.add("replication_lag_s", activity.replication_lag_s)
        numbers.add("connections_usable", activity.usable)
        if not activity.may_read:
            return activity
        numbers.add("connections", activity.connections)
        if activity.usable > 0:
            numbers.add("connections_used_ratio", activity.connections / activity.usable)
        numbers.add("connections_active", activity.active)
        numbers.add("connections_idle", activity.idle)
        numbers.add("connections_idle_in_transaction", activity.idle_in_transaction)
        numbers.add("connections_waiting", activity.waiting)
        numbers.add("lock_waits", activity.waiting)
        # Where no transaction is open, none is open for longer than 0 s.
        numbers.add("longest_transaction_s", max(0.0, activity.transaction_s or 0.0))
        numbers.add("longest_idle_in_transaction_s", max(0.0, activity.idle_s or 0.0))
        numbers.add("longest_query_s", max(0.0, activity.query_s or 0.0))
        return activity

    def read_databases(self, session: Session, numbers: Numbers, own: int) -> Mapping[int, str]:
        """Each database's growth since the previous sample; the names of all databases by oid.

        `own` transactions of ours were counted in the connected database so far: they are left out.
        """
        rows = session.query(DATABASES)
        busiest = sorted(rows, key=lambda row: (row[3] or 0, row[1]), reverse=True)
        told = [row for row in busiest if not row[2]][:MOST_DATABASES]
        counters = {
            row[1]: {name: float(value or 0) for name, value in zip(COUNTERS, row[3:], strict=True)}
            for row in told
        }
        if session.facts.database in counters:
            counters[session.facts.database]["own"] = float(own)
        for name, growth in self._databases.grow(counters).items():
            _tell_database(name, growth, numbers)
        self._read_sizes(session, [row[1] for row in told], numbers)
        return {row[0]: row[1] for row in rows}

    def read_wide(self, session: Session, numbers: Numbers) -> None:
        """What grows for the whole server: WAL and checkpoints."""
        checkpoints = CHECKPOINTS_17 if session.facts.has_checkpointer else CHECKPOINTS
        counters = {"wal": _first(session.query(WAL)), "checkpoints": _first(session.query(checkpoints))}
        growth = self._wide.grow({"": counters}).get("")
        if growth is None or min(growth.by.values()) < 0:
            return
        numbers.add("wal_bytes_per_s", growth.by["wal"] / growth.seconds)
        numbers.add("checkpoints_total", growth.by["checkpoints"])

    def _read_sizes(self, session: Session, names: list[str], numbers: Numbers) -> None:
        if time.monotonic() - self._sized_at < SIZES_EVERY_S:
            return
        self._sized_at = time.monotonic()
        for name, size in session.query(SIZES, [names]):
            numbers.add("database_bytes", size, name)


def _tell_database(name: str, growth: Growth, numbers: Numbers) -> None:
    """One database's growth; nothing where its counters were reset in between."""
    by = growth.by
    if by["stats_reset"] or min(by.values()) < 0:
        return
    commits = max(0.0, by["xact_commit"] - by.get("own", 0.0))
    numbers.add("transactions_per_s", (commits + by["xact_rollback"]) / growth.seconds, name)
    numbers.add("rollbacks_per_s", by["xact_rollback"] / growth.seconds, name)
    numbers.add("blocks_read_per_s", by["blks_read"] / growth.seconds, name)
    blocks = by["blks_hit"] + by["blks_read"]
    if blocks:
        numbers.add("cache_hit_ratio", by["blks_hit"] / blocks, name)
    numbers.add("deadlocks_total", by["deadlocks"], name)
    numbers.add("conflicts_total", by["conflicts"], name)
    numbers.add("temp_bytes", by["temp_bytes"], name)
    numbers.add("temp_files_total", by["temp_files"], name)


def _first(rows: Sequence[tuple[Any, ...]]) -> float:
    return float(rows[0][0] or 0) if rows else 0.0
