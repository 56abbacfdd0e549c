"""The largest tables of the connected database: size, dead rows, and how long ago they were vacuumed."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

import psycopg
from psycopg import sql

from collectors.numbers import Numbers
from collectors.postgres.session import Extension, Session
from collectors.readings import Meter
from warehouse.model import Outcome

EVERY_S = 60.0
FREE_BOUND_MS = 1000
"""How long one look for free space in a table may take."""

PGSTATTUPLE = "pgstattuple"

TABLES = """
    WITH largest AS (
        SELECT s.*, c.reltuples
        FROM pg_stat_user_tables AS s JOIN pg_class AS c ON c.oid = s.relid
        WHERE c.relpersistence <> 't'
        ORDER BY greatest(c.relpages, (s.n_live_tup + s.n_dead_tup) / 50) DESC, s.relid
        LIMIT %s
    )
    SELECT relid::int8, schemaname::text || '.' || relname::text,
        CASE WHEN NOT EXISTS (
            SELECT FROM pg_locks
            WHERE pg_locks.relation = relid AND mode = 'AccessExclusiveLock' AND granted
        ) THEN pg_table_size(relid) END,
        greatest(n_live_tup, 0), n_live_tup, n_dead_tup,
        extract(epoch FROM now() - greatest(last_vacuum, last_autovacuum))::float8,
        extract(epoch FROM now() - greatest(last_analyze, last_autoanalyze))::float8,
        seq_scan, seq_tup_read
    FROM largest
"""

FREE = "SELECT approx_free_percent FROM {}.pgstattuple_approx(%s::oid)"


class Tables:
    """Samples the largest tables once a minute, and one of them at a time for its free space."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._read_at = float("-inf")
        self._scans = Meter()
        self._freed: dict[int, int] = {}
        """When each table was last looked at for free space, counted in looks."""
        self._looks = 0
        self._told_absent = False

    def forget(self) -> None:
        """The server is another one, or was restarted."""
        self._scans = Meter()
        self._freed.clear()

    def is_due(self) -> bool:
        """Whether a minute has passed."""
        return self._most > 0 and time.monotonic() - self._read_at >= EVERY_S

    def sample(self, session: Session, extension: Extension | None, numbers: Numbers) -> None:
        """Tell of the tables. Raises psycopg.Error."""
        self._read_at = time.monotonic()
        rows = session.query(TABLES, [self._most])
        for _, name, size, estimate, live, dead, vacuumed_s, analyzed_s, *_ in rows:
            numbers.add("table_bytes", size, name)
            numbers.add("table_rows", estimate, name)
            if live + dead > 0:
                numbers.add("table_dead_ratio", dead / (live + dead), name)
            numbers.add("vacuum_age_s", vacuumed_s, name)
            numbers.add("vacuum_never", None if vacuumed_s is not None else 1, name)
            numbers.add("analyze_age_s", analyzed_s, name)
        self._tell_scans(rows, numbers)
        self._tell_free(session, extension, rows, numbers)

    def _tell_scans(self, rows: Sequence[tuple[Any, ...]], numbers: Numbers) -> None:
        counters: Mapping[str, Mapping[str, float]] = {
            row[1]: {"scans": float(row[8] or 0), "rows": float(row[9] or 0)} for row in rows
        }
        for name, growth in self._scans.grow(counters).items():
            if min(growth.by.values()) >= 0:
                numbers.add("seq_scans_per_s", growth.by["scans"] / growth.seconds, name)
                numbers.add("sequential_rows_per_s", growth.by["rows"] / growth.seconds, name)

    def _tell_free(
        self, session: Session, extension: Extension | None, rows: Sequence[tuple[Any, ...]], numbers: Numbers
    ) -> None:
        """Free space of the table that was not looked at for longest: it may read the whole table."""
        if extension is None:
            if not self._told_absent:
                numbers.missing("table_free_ratio")
            self._told_absent = True
            return
        open_tables = [row for row in rows if row[2] is not None]
        if not open_tables:
            return
        self._looks += 1
        relation, name = min(open_tables, key=lambda row: self._freed.get(row[0], 0))[:2]
        self._freed[relation] = self._looks
        statement = sql.SQL(FREE).format(sql.Identifier(extension.schema))
        with session.bounded(FREE_BOUND_MS):
            try:
                numbers.add("table_free_ratio", session.query(statement, [relation])[0][0] / 100, name)
            except psycopg.errors.QueryCanceled:
                numbers.missing("table_free_ratio", name, Outcome.TIMEOUT)
            except (psycopg.errors.LockNotAvailable, psycopg.errors.UndefinedTable):
                return  # locked or dropped since it was listed
            except (psycopg.errors.FeatureNotSupported, psycopg.errors.InsufficientPrivilege):
                numbers.missing("table_free_ratio", name)
