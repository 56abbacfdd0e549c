"""The one writer thread: every INSERT, each batch in a transaction of its own."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from datetime import datetime
from typing import TYPE_CHECKING, TypeVar

import duckdb
import pyarrow as pa

from warehouse.checks import Incoming
from warehouse.errors import InvalidInputError, StorageError
from warehouse.model import SERIES_PER_SOURCE, Receipt, now

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from warehouse.store import Store

log = logging.getLogger(__name__)

T = TypeVar("T")

WAITING_BATCHES = 64
"""Batches that may wait for the writer before new ones are told to come back."""

KEYS = """
    SELECT DISTINCT 'probe' AS kind, target, endpoint AS object, 'latency' AS metric, 'us' AS unit,
        'lower' AS direction
    FROM incoming_attempts
    UNION ALL
    SELECT kind, target, object, metric, unit, max(direction)
    FROM incoming_samples
    GROUP BY kind, target, object, metric, unit
"""

ATTEMPT_SERIES = """
    ON series.kind = 'probe' AND series.target = incoming.target
    AND series.object = incoming.endpoint AND series.metric = 'latency'
"""
SAMPLE_SERIES = "USING (kind, target, object, metric)"

OVERFLOW = ("overflow", "other", "other", "overflow_total")
"""The series under which rows of series past the limit are counted."""


class BusyError(StorageError):
    """More batches wait than the writer keeps; the sender should come back."""

    title = "The warehouse is busy"


class Writer:
    """Stores batches one after the other on a thread of its own."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._waiting: queue.Queue[tuple[Callable[[DuckDBPyConnection], object], Future[object]] | None] = (
            queue.Queue(WAITING_BATCHES)
        )
        self._thread = threading.Thread(target=self._work, name="writer", daemon=True)
        self._thread.start()

    def ingest(self, incoming: Incoming) -> Future[Receipt]:
        """Store a batch; the result is there after the commit.

        The future raises InvalidInputError (nothing stored) or StorageError. Raises BusyError at once.
        """
        return self.submit(lambda connection: store_batch(connection, incoming))

    def submit(self, work: Callable[[DuckDBPyConnection], T]) -> Future[T]:
        """Run `work` on the writer's connection, after what waits already."""
        future: Future[T] = Future()
        try:
            self._waiting.put_nowait((work, future))  # type: ignore[arg-type]
        except queue.Full:
            raise BusyError("too many batches wait to be stored", "Send it again in a moment.") from None
        return future

    def close(self) -> None:
        """Finish what waits, then stop."""
        self._waiting.put(None)
        self._thread.join()

    def _work(self) -> None:
        connection: DuckDBPyConnection | None = self._store.cursor()
        while (entry := self._waiting.get()) is not None:
            work, future = entry
            try:
                if connection is None:
                    self._store.reopen()
                    connection = self._store.cursor()
                future.set_result(work(connection))
            except duckdb.FatalException as error:
                log.exception("the database was invalidated; it is opened again for the next batch")
                connection = None
                future.set_exception(StorageError(str(error)))
            except duckdb.Error as error:
                log.exception("not stored")
                future.set_exception(StorageError(str(error)))
            except Exception as error:  # noqa: BLE001 - handed to whoever waits for the future
                future.set_exception(error)
        if connection is not None:
            connection.close()


def store_batch(connection: DuckDBPyConnection, incoming: Incoming) -> Receipt:
    """Store a batch in one transaction, its `batch_id` with it. A known `batch_id` changes nothing."""
    connection.execute("BEGIN")
    try:
        known = connection.execute(
            "SELECT attempts, samples, gaps, events FROM batch WHERE batch_id = ?", [incoming.batch_id]
        ).fetchall()
        if known:
            connection.execute("ROLLBACK")
            attempts, samples, gaps, events = known[0]
            return Receipt(
                batch_id=incoming.batch_id,
                stored=False,
                attempts=attempts,
                samples=samples,
                gaps=gaps,
                events=events,
            )
        receipt = _insert(connection, incoming)
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


def _insert(connection: DuckDBPyConnection, incoming: Incoming) -> Receipt:
    for kind, table in incoming.tables.items():
        if table.num_rows or kind in ("attempts", "samples"):
            connection.register(f"incoming_{kind}", table)
    received_at = now().replace(tzinfo=None)
    overflowed = 0
    if incoming.rows("attempts") or incoming.rows("samples"):
        overflowed = _add_series(connection, incoming.source, received_at)
    if incoming.rows("attempts"):
        connection.execute(
            f"""
            INSERT INTO attempt
            SELECT incoming.at, series.series_id, incoming.outcome, incoming.status, incoming.dns_us,
                incoming.connect_us, incoming.tls_us, incoming.first_byte_us, incoming.total_us,
                incoming.bytes, incoming.loop_lag_us, incoming.deadline_us
            FROM incoming_attempts AS incoming
            JOIN series {ATTEMPT_SERIES}
            """  # noqa: S608 - a constant
        )
    if incoming.rows("samples"):
        connection.execute(
            f"""
            INSERT INTO sample
            SELECT incoming.at, series.series_id, incoming.value, incoming.outcome
            FROM incoming_samples AS incoming
            JOIN series {SAMPLE_SERIES}
            """  # noqa: S608 - a constant
        )
    if incoming.rows("gaps"):
        connection.execute(
            "INSERT INTO gap SELECT incoming.at, incoming.until, ?, job, reason, missed "
            "FROM incoming_gaps AS incoming",
            [incoming.source],
        )
    if incoming.rows("events"):
        connection.execute(
            "INSERT INTO event SELECT incoming.at, ?, job, state, text FROM incoming_events AS incoming",
            [incoming.source],
        )
    counts = [incoming.rows(kind) for kind in ("attempts", "samples", "gaps", "events")]
    connection.execute(
        "INSERT INTO batch VALUES (?, ?, ?, ?, ?, ?, ?)",
        [incoming.batch_id, incoming.source, received_at, *counts],
    )
    attempts, samples, gaps, events = counts
    return Receipt(
        batch_id=incoming.batch_id,
        stored=True,
        attempts=attempts,
        samples=samples,
        gaps=gaps,
        events=events,
        overflowed=overflowed,
    )


def _add_series(connection: DuckDBPyConnection, source: str, received_at: datetime) -> int:
    """Make the batch's new series, as far as the source may; refuse a unit that changed.

    Returns how many rows belong to series that found no place; they are counted, not kept.
    """
    keys = connection.execute(
        f"""
        SELECT keys.*, series.unit
        FROM ({KEYS}) AS keys LEFT JOIN series USING (kind, target, object, metric)
        WHERE series.unit IS DISTINCT FROM keys.unit
        """  # noqa: S608 - a constant
    ).fetchall()
    units = {tuple(key[:4]): key[6] for key in keys if key[6] is not None}
    for *name, given, _, _ in keys:
        known = units.setdefault(tuple(name), given)
        if known != given:
            raise InvalidInputError(f"{name[3]} is kept in {known!r}, given {given!r}", field="samples.unit")
    if not keys:
        return 0
    held = connection.execute("SELECT count(*) FROM series WHERE source = ?", [source]).fetchall()[0][0]
    room = max(0, SERIES_PER_SOURCE - held)
    new = pa.Table.from_pylist(
        [
            dict(zip(("kind", "target", "object", "metric", "unit", "direction"), key, strict=False))
            for key in keys
        ],
    ).slice(0, room)
    connection.register("new_series", new)
    connection.execute(
        "INSERT INTO series (kind, target, object, metric, unit, direction, source, first_seen_at) "
        "SELECT kind, target, object, metric, unit, direction, ?, ? FROM new_series",
        [source, received_at],
    )
    return _count_overflow(connection, source, received_at) if len(keys) > room else 0


def _count_overflow(connection: DuckDBPyConnection, source: str, received_at: datetime) -> int:
    """Count the rows whose series found no place, in one series for all of them."""
    overflowed = connection.execute(
        f"SELECT (SELECT count(*) FROM incoming_samples ANTI JOIN series {SAMPLE_SERIES}) "  # noqa: S608 - constants
        f"+ (SELECT count(*) FROM incoming_attempts AS incoming ANTI JOIN series {ATTEMPT_SERIES})"
    ).fetchall()[0][0]
    connection.execute(
        "INSERT INTO series (kind, target, object, metric, unit, direction, source, first_seen_at) "
        "VALUES (?, ?, ?, ?, '1', 'lower', ?, ?) ON CONFLICT DO NOTHING",
        [*OVERFLOW, source, received_at],
    )
    connection.execute(
        "INSERT INTO sample SELECT ?, series_id, ?, 'ok' FROM series "
        "WHERE (kind, target, object, metric) = (?, ?, ?, ?)",
        [received_at, overflowed, *OVERFLOW],
    )
    return int(overflowed)
