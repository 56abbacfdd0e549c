"""Samples one MySQL or MariaDB server: statements, connections, locks, and what its counters did."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

import pymysql

from collectors.mysql.digests import HISTOGRAM, histogram_growth
from collectors.mysql.locks import read_waits
from collectors.mysql.numbers import (
    METRICS,
    Growth,
    read_deadlocks,
    read_gauges,
    read_own,
    read_sizes,
    read_status,
)
from collectors.mysql.session import Row as ServerRow
from collectors.mysql.session import Session, number_of, part_of
from collectors.mysql.statements import Statements
from collectors.names import clean_name
from collectors.numbers import Numbers
from collectors.parts import Parts
from collectors.record import Row
from collectors.trouble import TroubleError
from warehouse.model import DatabaseCondition as Condition
from warehouse.model import Engine, now
from warehouse.settings import DatabaseSettings

SELDOM_S = 300.0
INCOMPLETE_FOR_S = 600.0
"""For so long after a statement found no place the statistics are called incomplete."""

SYNTAX = 1064
"""The number of "not a statement": an older server has another word for it."""

FACTS = "SELECT @@hostname AS perfhouse_watch, @@port, @@server_id, @@performance_schema, @@max_connections"

CONSUMERS = """
    SELECT count(*) AS perfhouse_watch FROM performance_schema.setup_consumers
    WHERE name IN ('statements_digest', 'global_instrumentation') AND enabled = 'YES'
"""

LONGEST = """
    SELECT max(TIMESTAMPDIFF(MICROSECOND, trx_started, now(6))) AS perfhouse_watch
    FROM information_schema.innodb_trx
"""

OFF = "performance_schema is off: without it the server counts no statements"
CONSUMER_OFF = "the consumer statements_digest or global_instrumentation of performance_schema is off"
FULL = "the digest table is full: statements it has not met before are told together"
NO_HISTOGRAM = "MariaDB keeps no histogram of its statements' durations"


class MySqlCollector:
    """Called from one thread at a time."""

    def __init__(self, settings: DatabaseSettings) -> None:
        self._target = clean_name(settings.name)
        self._session = Session(settings)
        self._parts = Parts(self._target, Engine.MYSQL)
        self._statements = Statements(self._target)
        self._growth = Growth()
        self._identity: ServerRow = ()
        self._histogram: tuple[datetime, Sequence[ServerRow]] | None = None
        self._sized_at = self._homeless_at = float("-inf")

    def collect(self) -> Sequence[Row]:
        """Everything at this instant; counters stand on the previous look, so the first has none."""
        at = now()
        numbers = Numbers(self._target, METRICS, at)
        rows: list[Row] = []
        if self._session.is_due:
            try:
                with self._session.bounded():
                    self._look(rows, numbers, at)
            except TroubleError as trouble:
                self._parts.say("connection", trouble.condition, trouble.text)
        return [*rows, *numbers.samples, *self._parts.rows(at)]

    def close(self) -> None:
        """Give the connection back."""
        self._session.close()

    def _look(self, rows: list[Row], numbers: Numbers, at: datetime) -> None:
        """Everything, added to `rows` and `numbers` as it comes. Raises pymysql.Error."""
        session = self._session
        self._parts.engine = Engine.MARIADB if session.is_mariadb else Engine.MYSQL
        *identity, is_counting, usable = session.rows(FACTS)[0]
        if self._identity != tuple(identity):
            self._identity = tuple(identity)
            self._statements.forget()
            self._growth.forget()
            self._histogram = None
        name = "MariaDB" if session.is_mariadb else "MySQL"
        self._parts.say("connection", Condition.OK, f"{name} {session.version.partition('-')[0]}")
        own, status = read_own(session), read_status(session)
        read_gauges(status, float(usable), numbers)
        deadlocks = self._read_transactions(status, numbers)
        self._growth.read(status, deadlocks, own, numbers)
        rows += self._part("statements", lambda: self._read_statements(bool(is_counting), at, numbers))
        rows += self._part("histogram", lambda: self._read_histogram(at))
        rows += self._part("locks", lambda: self._read_locks(at))
        rows += self._statements.shapes(at)
        self._part("replication", lambda: self._read_replication(numbers))
        if time.monotonic() - self._sized_at >= SELDOM_S:
            self._sized_at = time.monotonic()
            self._part("sizes", lambda: self._read_sizes(numbers))

    def _part(self, part: str, read: Callable[[], Sequence[Row]]) -> Sequence[Row]:
        """One part, whose lack of a privilege or a table, or slowness, leaves the others alone."""
        try:
            return read()
        except pymysql.Error as error:
            trouble = part_of(error)
            if trouble is None:
                raise
        except TroubleError as known:
            trouble = known
        self._parts.say(part, trouble.condition, trouble.text)
        return []

    def _read_statements(self, is_counting: bool, at: datetime, numbers: Numbers) -> Sequence[Row]:
        if not is_counting:
            raise TroubleError(Condition.NOT_LOADED, OFF)
        if int(self._session.rows(CONSUMERS)[0][0]) < 2:
            raise TroubleError(Condition.NOT_LOADED, CONSUMER_OFF)
        stats = self._statements.take(self._session, at)
        numbers.add("statements_resets_total", int(self._statements.was_reset))
        numbers.add("statements_calls_total", sum(stat.calls for stat in stats))
        if self._statements.homeless:
            self._homeless_at = time.monotonic()
        is_full = time.monotonic() - self._homeless_at < INCOMPLETE_FOR_S
        self._parts.say("statements", *((Condition.INCOMPLETE, FULL) if is_full else (Condition.OK, "")))
        return stats

    def _read_histogram(self, at: datetime) -> Sequence[Row]:
        if self._session.is_mariadb:
            raise TroubleError(Condition.NOT_MEASURABLE, NO_HISTOGRAM)
        before = None if self._growth.has_begun_anew else self._histogram
        buckets = self._session.rows(HISTOGRAM)
        self._histogram = (at, buckets)
        self._parts.say("histogram", Condition.OK, f"{len(buckets)} buckets")
        return [] if before is None else histogram_growth(before[1], buckets, before[0], at, self._target)

    def _read_locks(self, at: datetime) -> Sequence[Row]:
        waits = read_waits(self._session, self._statements, at, self._target)
        self._parts.say("locks", Condition.OK, "")
        return waits

    def _read_transactions(self, status: Mapping[str, float], numbers: Numbers) -> float | None:
        """The longest transaction; also how many deadlocks there were, where the status has no word of it."""
        deadlocks: list[float | None] = [None]

        def transactions() -> Sequence[Row]:
            longest = self._session.rows(LONGEST)[0][0]
            numbers.add("longest_transaction_s", max(0.0, float(longest or 0) / 1e6))
            if "Innodb_deadlocks" not in status:
                deadlocks[0] = read_deadlocks(self._session)
            self._parts.say("transactions", Condition.OK, "")
            return []

        self._part("transactions", transactions)
        return deadlocks[0]

    def _read_sizes(self, numbers: Numbers) -> Sequence[Row]:
        read_sizes(self._session, numbers)
        self._parts.say("sizes", Condition.OK, "")
        return []

    def _read_replication(self, numbers: Numbers) -> Sequence[Row]:
        lags = replica_lags(self._replicas())
        known = [lag for lag in lags if lag is not None]
        if known:
            numbers.add("replication_lag_s", max(known))
        if lags:
            is_running = len(known) == len(lags)
            told = (Condition.OK, "a replica") if is_running else (Condition.DOWN, "a stopped replica")
            self._parts.say("replication", *told)
        return []

    def _replicas(self) -> Sequence[Mapping[str, Any]]:
        if self._session.is_mariadb:
            return self._session.records("SHOW ALL SLAVES STATUS")
        try:
            return self._session.records("SHOW REPLICA STATUS")
        except pymysql.Error as error:
            if number_of(error) != SYNTAX:
                raise
            return self._session.records("SHOW SLAVE STATUS")


def replica_lags(replicas: Sequence[Mapping[str, Any]]) -> list[float | None]:
    """Seconds behind, of each source that the server replicates; None where that is stopped."""
    names = ("Seconds_Behind_Source", "Seconds_Behind_Master")
    found = [next((each[name] for name in names if each.get(name) is not None), None) for each in replicas]
    return [None if lag is None else float(lag) for lag in found]
