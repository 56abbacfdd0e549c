"""Samples one MySQL or MariaDB server: statements, connections, locks, and what its counters did."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

import pymysql

from collectors.mysql.numbers import METRICS, Growth, read_sizes, read_status
from collectors.mysql.session import Row as ServerRow
from collectors.mysql.session import Session, part_of
from collectors.mysql.statements import DIGESTS, HISTOGRAM, Statements, histogram_growth
from collectors.names import clean_name
from collectors.numbers import Numbers
from collectors.parts import Parts
from collectors.record import Row
from collectors.trouble import TroubleError
from warehouse.model import DatabaseCondition as Condition
from warehouse.model import Engine, LockWait, now
from warehouse.settings import DatabaseSettings

SELDOM_S = 300.0

NO_TABLE = (1146, 1109)
"""The numbers of "no such table": this server does not measure it."""

FACTS = """
    SELECT version(), @@performance_schema,
        (SELECT count(*) FROM performance_schema.setup_consumers
            WHERE name = 'statements_digest' AND enabled = 'YES')
"""

LOCKS = """
    SELECT waits.waiting_pid, waiter.user, waiter.db, waits.waiting_lock_mode, waits.locked_table,
        waits.locked_type, TIMESTAMPDIFF(MICROSECOND, waits.wait_started, now(6)), waits.blocking_pid,
        blocker.user, blocker.command, TIMESTAMPDIFF(MICROSECOND, waits.blocking_trx_started, now(6))
    FROM sys.`x$innodb_lock_waits` AS waits
    LEFT JOIN information_schema.processlist AS waiter ON waiter.id = waits.waiting_pid
    LEFT JOIN information_schema.processlist AS blocker ON blocker.id = waits.blocking_pid
"""


class MySqlCollector:
    """Called from one thread at a time."""

    def __init__(self, settings: DatabaseSettings) -> None:
        self._target = clean_name(settings.name)
        self._session = Session(settings)
        self._parts = Parts(self._target, Engine.MYSQL)
        self._statements = Statements(self._target)
        self._growth = Growth()
        self._histogram: tuple[datetime, Sequence[ServerRow]] | None = None
        self._sized_at: float | None = None

    def collect(self) -> Sequence[Row]:
        """Everything at this instant; counters stand on the previous look, so the first has none."""
        at = now()
        numbers = Numbers(self._target, METRICS, at)
        rows: list[Row] = []
        try:
            with self._session.bounded():
                self._greet()
                rows += self._read_statements(at, numbers)
                rows += self._read_locks(at)
                self._read_numbers(numbers)
        except TroubleError as trouble:
            self._parts.say("connection", trouble.condition, trouble.text)
        return [*rows, *numbers.samples, *self._parts.rows(at)]

    def close(self) -> None:
        """Give the connection back."""
        self._session.close()

    def _greet(self) -> None:
        """Who answers there."""
        version = str(self._session.rows("SELECT version()")[0][0])
        is_mariadb = "mariadb" in version.lower()
        self._parts.engine = Engine.MARIADB if is_mariadb else Engine.MYSQL
        name = "MariaDB" if is_mariadb else "MySQL"
        self._parts.say("connection", Condition.OK, f"{name} {version.partition('-')[0]}")

    def _part(self, part: str, read: Callable[[], Sequence[Row]]) -> Sequence[Row]:
        """One part, whose lack of a privilege or a table leaves the others alone."""
        try:
            rows = read()
        except pymysql.Error as error:
            trouble = part_of(error)
            if trouble is None and error.args and error.args[0] in NO_TABLE:
                trouble = TroubleError(Condition.NOT_MEASURABLE, "this server does not keep it")
            if trouble is None:
                raise
        except TroubleError as known:
            trouble = known
        else:
            return rows
        self._parts.say(part, trouble.condition, trouble.text)
        return []

    def _read_statements(self, at: datetime, numbers: Numbers) -> Sequence[Row]:
        def digests() -> Sequence[Row]:
            _, is_on, is_digesting = self._session.rows(FACTS)[0]
            if not int(is_on):
                raise TroubleError(Condition.NOT_LOADED, "performance_schema is off")
            if not int(is_digesting):
                raise TroubleError(Condition.NOT_LOADED, "the consumer statements_digest is off")
            lost = int(self._status("Performance_schema_digest_lost"))
            shapes, stats = self._statements.take(self._session.rows(DIGESTS), at)
            numbers.add("statements_resets_total", 1 if self._statements.resets else 0)
            numbers.add("statements_calls_total", sum(stat.calls for stat in stats))
            state = Condition.INCOMPLETE if lost else Condition.OK
            text = f"the digest table is full: {lost} statements found no place in it" if lost else ""
            self._parts.say("statements", state, text)
            return [*shapes, *stats]

        told = self._part("statements", digests)
        return [*told, *self._part("histogram", lambda: self._read_histogram(at))]

    def _read_histogram(self, at: datetime) -> Sequence[Row]:
        buckets = self._session.rows(HISTOGRAM)
        before, self._histogram = self._histogram, (at, buckets)
        self._parts.say("histogram", Condition.OK, f"{len(buckets)} buckets")
        return [] if before is None else histogram_growth(before[1], buckets, before[0], at, self._target)

    def _read_locks(self, at: datetime) -> Sequence[Row]:
        def waits() -> Sequence[Row]:
            found = [_lock_wait(row, at, self._target) for row in self._session.rows(LOCKS)]
            self._parts.say("locks", Condition.OK, "")
            return found

        return self._part("locks", waits)

    def _read_numbers(self, numbers: Numbers) -> None:
        status = {str(name): str(value) for name, value in self._session.rows("SHOW GLOBAL STATUS")}
        usable = float(self._session.rows("SELECT @@max_connections")[0][0])
        read_status(status, usable, self._growth, numbers)
        self._part("transactions", lambda: self._read_transactions(numbers))
        self._part("replication", lambda: self._read_replication(numbers))
        if self._sized_at is None or time.monotonic() - self._sized_at >= SELDOM_S:
            self._sized_at = time.monotonic()
            read_sizes(self._session, numbers)

    def _read_transactions(self, numbers: Numbers) -> Sequence[Row]:
        oldest = self._session.rows(
            "SELECT max(TIMESTAMPDIFF(MICROSECOND, trx_started, now(6))) FROM information_schema.innodb_trx"
        )[0][0]
        numbers.add("longest_transaction_s", max(0.0, float(oldest or 0) / 1e6))
        self._parts.say("transactions", Condition.OK, "")
        return []

    def _read_replication(self, numbers: Numbers) -> Sequence[Row]:
        replicas: Sequence[Mapping[str, Any]] = self._session.records("SHOW REPLICA STATUS")
        names = ("Seconds_Behind_Source", "Seconds_Behind_Master")
        lags = [next((each[name] for name in names if name in each), None) for each in replicas]
        known = [float(lag) for lag in lags if lag is not None]
        if known:
            numbers.add("replication_lag_s", max(known))
        if replicas:
            runs = len(known) == len(lags)
            state, text = (Condition.OK, "") if runs else (Condition.DOWN, "it is stopped")
            self._parts.say("replication", state, text)
        return []

    def _status(self, name: str) -> str:
        rows = self._session.rows(f"SHOW GLOBAL STATUS LIKE '{name}'")
        return str(rows[0][1]) if rows else "0"


def _lock_wait(row: ServerRow, at: datetime, target: str) -> LockWait:
    pid, user, database, mode, table, kind, waited, blocker, blocker_user, command, age = row
    return LockWait(
        at=at,
        target=target,
        database=_name(database),
        waiter_pid=int(pid),
        waiter_user=_name(user),
        waiter_application="",
        waited_us=_micros(waited),
        lock=_name(kind),
        mode=_name(mode),
        relation=_name(table),
        blocker_pid=int(blocker),
        blocker_user=_name(blocker_user),
        blocker_application="",
        blocker_state="idle in transaction" if command == "Sleep" else "active",
        blocker_transaction_us=_micros(age),
    )


def _micros(value: object) -> int | None:
    return None if value is None else max(0, int(str(value)))


def _name(value: object) -> str:
    return clean_name(str(value)) if value else ""
