"""Stores a batch: every row of it in one transaction, its `batch_id` with them."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import ExitStack
from datetime import datetime
from typing import TYPE_CHECKING

import duckdb

from warehouse import tiers, versions
from warehouse.cells import DAY
from warehouse.checks import Incoming
from warehouse.model import Receipt, now
from warehouse.series import ATTEMPT_SERIES, SAMPLE_SERIES, add_series
from warehouse.shapes import add_shapes, insert_stats
from warehouse.stand import EVER, Stand

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

log = logging.getLogger(__name__)

COUNTED = ("attempts", "samples", "gaps", "events")
"""The kinds of rows that a receipt counts one by one; the others but versions are rows about databases."""

INSERTS = {
    "attempts": f"""
        INSERT INTO attempt
        SELECT incoming.at, series.series_id, incoming.outcome, incoming.status, incoming.dns_us,
            incoming.connect_us, incoming.tls_us, incoming.first_byte_us, incoming.total_us,
            incoming.bytes, incoming.loop_lag_us, incoming.deadline_us
        FROM incoming_attempts AS incoming
        JOIN series {ATTEMPT_SERIES}
        """,  # noqa: S608 - a constant
    "samples": f"""
        INSERT INTO sample
        SELECT incoming.at, series.series_id, incoming.value, incoming.outcome
        FROM incoming_samples AS incoming
        JOIN series {SAMPLE_SERIES}
        """,  # noqa: S608 - a constant
    "gaps": """
        INSERT INTO gap
        SELECT incoming.at, incoming.until, $source, job, reason, missed
        FROM incoming_gaps AS incoming
        """,
    "events": """
        INSERT INTO event
        SELECT incoming.at, $source, job, state, text
        FROM incoming_events AS incoming
        """,
    "query_latencies": """
        INSERT INTO query_latency
        SELECT incoming.at, since, target, database, method, low_us, high_us, calls
        FROM incoming_query_latencies AS incoming
        """,
    "lock_waits": """
        INSERT INTO lock_wait
        SELECT incoming.at, target, database, waiter_pid, waiter_user, waiter_application, waiter_shape,
            waited_us, lock, mode, relation, blocker_pid, blocker_user, blocker_application,
            blocker_state, blocker_shape, blocker_transaction_us
        FROM incoming_lock_waits AS incoming
        """,
    "database_states": """
        INSERT INTO database_state
        SELECT incoming.at, $source, target, engine, part, state, text
        FROM incoming_database_states AS incoming
        """,
}
"""How the rows of each kind are stored, once those they refer to are there."""


def store_batch(connection: DuckDBPyConnection, incoming: Incoming, stand: Stand) -> Receipt:
    """Store a batch in one transaction, its `batch_id` with it. A known `batch_id` changes nothing.

    The stand moves where the batch brings new series, the text of a known query, or rows of time that may be
    sealed.
    """
    with ExitStack() as moved:
        return _store(connection, incoming, lambda since: moved.enter_context(stand.moving(since)))


def _store(connection: DuckDBPyConnection, incoming: Incoming, move: Callable[[datetime], None]) -> Receipt:
    connection.execute("BEGIN")
    try:
        known = connection.execute(
            f"SELECT {', '.join(COUNTED)}, database_rows FROM batch WHERE batch_id = ?",  # noqa: S608 - constants
            [incoming.batch_id],
        ).fetchall()
        if known:
            connection.execute("ROLLBACK")
            return _receipt(incoming.batch_id, known[0], stored=False)
        receipt = _insert(connection, incoming, move)
        connection.execute("COMMIT")
        return receipt
    except BaseException:
        _roll_back(connection)
        raise


def _roll_back(connection: DuckDBPyConnection) -> None:
    try:
        connection.execute("ROLLBACK")
    except duckdb.Error as error:
        log.debug("already rolled back: %s", error)


def _receipt(
    batch_id: str, counts: tuple[int, ...] | list[int], *, stored: bool, overflowed: int = 0
) -> Receipt:
    by_kind = dict(zip((*COUNTED, "database_rows"), counts, strict=True))
    return Receipt(batch_id=batch_id, stored=stored, overflowed=overflowed, **by_kind)


def _insert(connection: DuckDBPyConnection, incoming: Incoming, move: Callable[[datetime], None]) -> Receipt:
    received_at = now().replace(tzinfo=None)
    for kind, table in incoming.tables.items():
        connection.register(f"incoming_{kind}", table)
    known = _series(connection)
    overflowed, filled = _add_referred(connection, incoming, received_at)
    for kind, statement in INSERTS.items():
        if incoming.rows(kind):
            source = {"source": incoming.source} if "$source" in statement else {}
            connection.execute(statement, source)
    if incoming.rows("query_stats"):
        insert_stats(connection)
    if incoming.rows("versions"):
        versions.note(connection, incoming.tables["versions"], incoming.source)
    late = tiers.note_late(connection, incoming)
    if filled or _series(connection) != known:
        move(EVER)
    elif late is not None:
        move(tiers.floor(late, DAY))
    counts = [incoming.rows(kind) for kind in COUNTED]
    counts.append(sum(incoming.rows(kind) for kind in incoming.tables if kind not in (*COUNTED, "versions")))
    connection.execute(
        f"INSERT INTO batch (batch_id, source, received_at, {', '.join(COUNTED)}, database_rows) "  # noqa: S608 - constants
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        [incoming.batch_id, incoming.source, received_at, *counts],
    )
    return _receipt(incoming.batch_id, counts, stored=True, overflowed=overflowed)


def _series(connection: DuckDBPyConnection) -> int:
    """How many series there are."""
    return int(connection.execute("SELECT count(*) FROM series").fetchall()[0][0])


def _add_referred(
    connection: DuckDBPyConnection, incoming: Incoming, received_at: datetime
) -> tuple[int, bool]:
    """Make the series and query shapes that the rows refer to.

    How many rows found no series, and whether known shapes were told of for the first time.
    """
    overflowed, filled = 0, False
    if incoming.rows("attempts") or incoming.rows("samples"):
        overflowed = add_series(connection, incoming.source, received_at)
    if incoming.rows("query_shapes") or incoming.rows("query_stats"):
        filled = add_shapes(connection, incoming.source)
    return overflowed, filled
