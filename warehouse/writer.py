"""The one writer thread: whatever changes rows waits its turn here."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TYPE_CHECKING, TypeVar

import duckdb

from warehouse.checks import Incoming
from warehouse.errors import StorageError
from warehouse.ingest import store_batch
from warehouse.model import Receipt

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from warehouse.store import Store

log = logging.getLogger(__name__)

T = TypeVar("T")

WAITING_BATCHES = 64
"""Batches that may wait for the writer before new ones are told to come back."""


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
