"""Who waits for whom in InnoDB, and with which statement."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

import pymysql

from collectors.mysql.session import Row, Session, part_of
from collectors.mysql.statements import Statements
from collectors.names import clean_name
from warehouse.model import LockWait

WAITS = """
    SELECT waits.waiting_pid AS perfhouse_watch, waiter.user, waiter.db, waits.waiting_lock_mode,
        waits.locked_table, waits.locked_type, TIMESTAMPDIFF(MICROSECOND, waits.wait_started, now(6)),
        waits.blocking_pid, blocker.user, blocker.command,
        TIMESTAMPDIFF(MICROSECOND, waits.blocking_trx_started, now(6))
    FROM sys.`x$innodb_lock_waits` AS waits
    LEFT JOIN information_schema.processlist AS waiter ON waiter.id = waits.waiting_pid
    LEFT JOIN information_schema.processlist AS blocker ON blocker.id = waits.blocking_pid
    ORDER BY waits.wait_started
    LIMIT 500
"""
"""Not more: each in a queue waits for all before it."""

STATEMENTS = """
    SELECT threads.processlist_id AS perfhouse_watch, statements.current_schema, statements.digest,
        statements.digest_text
    FROM performance_schema.threads AS threads
    JOIN performance_schema.events_statements_current AS statements USING (thread_id)
    WHERE threads.processlist_id IN %s AND statements.nesting_event_level = 0
        AND statements.digest IS NOT NULL
"""
"""The newest statement of each session: of one that waits the waiting one, else the last that ended."""


def read_waits(session: Session, statements: Statements, at: datetime, target: str) -> list[LockWait]:
    """Every wait at this instant, the longest first. Raises pymysql.Error."""
    waits = session.rows(WAITS)
    pids = {int(pid) for row in waits for pid in (row[0], row[7])}
    shapes = _shapes(session, statements, sorted(pids)) if pids else {}
    return [_wait(row, shapes, at, target) for row in waits]


def _shapes(session: Session, statements: Statements, pids: Sequence[int]) -> Mapping[int, str | None]:
    """What each session runs or ran last, as far as the server tells."""
    try:
        found = session.rows(STATEMENTS, [pids])
    except pymysql.Error as error:
        if part_of(error) is None:
            raise
        return {}
    return {
        int(pid): statements.name(str(schema or ""), str(digest), str(text or ""))
        for pid, schema, digest, text in found
    }


def _wait(row: Row, shapes: Mapping[int, str | None], at: datetime, target: str) -> LockWait:
    pid, user, database, mode, table, kind, waited, blocker, blocker_user, command, age = row
    return LockWait(
        at=at,
        target=target,
        database=_name(database),
        waiter_pid=int(pid),
        waiter_user=_name(user),
        waiter_application="",
        waiter_shape=shapes.get(int(pid)),
        waited_us=_micros(waited),
        lock=_name(kind),
        mode=_name(mode),
        relation=_name(table),
        blocker_pid=int(blocker),
        blocker_user=_name(blocker_user),
        blocker_application="",
        blocker_state="idle in transaction" if command == "Sleep" else "active",
        blocker_shape=shapes.get(int(blocker)),
        blocker_transaction_us=_micros(age),
    )


def _micros(value: object) -> int | None:
    return None if value is None else max(0, int(str(value)))


def _name(value: object) -> str:
    return clean_name(str(value)) if value else ""
