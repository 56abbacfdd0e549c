"""Who waits for a lock, for how long, and which session holds it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from collectors.names import clean_name
from collectors.postgres.session import Session
from collectors.postgres.shapes import ShapeBook
from warehouse.model import LockWait

MOST_WAITS = 200
"""Waits that one sample tells of, the longest first."""

PREPARED = "prepared transaction"
"""The state of a blocker without a session: pg_blocking_pids tells 0 for it."""

WAITS = """
    WITH waiter AS (
        SELECT pid, datid, datname, usename, application_name, query_id, state_change, query_start,
            usesysid = ANY(%s::oid[]) AS is_excluded, pg_blocking_pids(pid) AS blockers
        FROM pg_stat_activity
        WHERE wait_event_type = 'Lock'
    )
    SELECT waiter.datid::int8, waiter.datname::text, waiter.pid, waiter.usename::text,
        waiter.application_name, waiter.query_id,
        extract(epoch FROM clock_timestamp() - coalesce(wanted.waitstart, waiter.query_start))::float8,
        wanted.locktype, wanted.mode, (
            SELECT nspname || '.' || relname
            FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
            WHERE pg_class.oid = coalesce(wanted.relation, (
                SELECT relation FROM pg_locks AS held
                WHERE held.pid = waiter.pid AND held.locktype = 'tuple' AND held.granted LIMIT 1
            )) AND waiter.datname = current_database()
        ),
        blocker.pid, holder.usename::text, holder.application_name, holder.state, holder.datid::int8,
        holder.query_id,
        extract(epoch FROM clock_timestamp() - holder.xact_start)::float8
    FROM waiter
    CROSS JOIN LATERAL (SELECT DISTINCT unnest(waiter.blockers)) AS blocker(pid)
    LEFT JOIN pg_stat_activity AS holder ON holder.pid = blocker.pid
    LEFT JOIN LATERAL (
        SELECT * FROM pg_locks WHERE pg_locks.pid = waiter.pid AND NOT granted LIMIT 1
    ) AS wanted ON true
    WHERE NOT (waiter.is_excluded AND coalesce(holder.usesysid = ANY(%s::oid[]), false))
    ORDER BY 7 DESC NULLS LAST
    LIMIT %s
"""


def read_waits(
    session: Session, target: str, book: ShapeBook, excluded: Sequence[int], at: datetime
) -> list[LockWait]:
    """Every wait at this instant, once for each session that blocks it.

    A relation's name is known in the connected database only. Waits among excluded roles are left out.
    """
    rows = session.query(WAITS, [list(excluded), list(excluded), MOST_WAITS])
    return [_wait(row, target, book, at) for row in rows]


def _wait(row: Sequence[Any], target: str, book: ShapeBook, at: datetime) -> LockWait:
    database_oid, database, pid, user, application, query_id, waited_s, lock, mode, relation = row[:10]
    blocker_pid, holder, holder_application, state, holder_database, holder_query, transaction_s = row[10:]
    return LockWait(
        at=at,
        target=target,
        database=_name(database),
        waiter_pid=pid,
        waiter_user=_name(user),
        waiter_application=_name(application),
        waiter_shape=_shape(book, database_oid, query_id),
        waited_us=_micros(waited_s),
        lock=_name(lock),
        mode=_name(mode),
        relation=_name(relation),
        blocker_pid=blocker_pid,
        blocker_user=_name(holder),
        blocker_application=_name(holder_application),
        blocker_state=_name(state) if blocker_pid else PREPARED,
        blocker_shape=_shape(book, holder_database, holder_query),
        blocker_transaction_us=_micros(transaction_s),
    )


def _name(text: str | None) -> str:
    return clean_name(text) if text else ""


def _shape(book: ShapeBook, database: int | None, query_id: int | None) -> str | None:
    digest = None if database is None or query_id is None else book.get((database, query_id))
    return None if digest is None else digest.shape


def _micros(seconds: float | None) -> int | None:
    return None if seconds is None else max(0, round(seconds * 1e6))
