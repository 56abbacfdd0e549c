"""The one writer thread: whatever changes rows waits its turn here."""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, TypeVar

import duckdb

from warehouse.acks import Ack
from warehouse.checks import Incoming
from warehouse.errors import StorageError
from warehouse.ingest import store_batch
from warehouse.keeper import Keeper, ack_of, is_fault
from warehouse.model import Event, Receipt, now
from warehouse.notes import batch_of
from warehouse.salvage import storage_error
from warehouse.stand import EVER

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

log = logging.getLogger(__name__)

T = TypeVar("T")

Entry = tuple["Callable[[], object]", "Future[object]", str]
"""Work for the writer's thread, where its result goes, and why batches wait for it."""

HELD_S = 1.0
"""After how long it is told what batches wait for."""

LONG_WORK = "a long piece of work on its rows"

TEND_S = 0.5
"""How often the file is looked after, at the latest."""

WAITING_BATCHES = 64
"""Batches that may wait for the writer before new ones are told to come back."""


class BusyError(StorageError):
    """More batches wait than the writer keeps; the sender should come back."""

    title = "The warehouse is busy"


@dataclass(frozen=True)
class Held:
    """What batches wait for, and since when."""

    reason: str
    since_at: datetime


class Writer:
    """Stores batches one after the other on a thread of its own, which also tends the file."""

    def __init__(self, keeper: Keeper) -> None:
        self._keeper = keeper
        self.changes = 0
        """How often anything was done that may change what load agents are told: all but batches."""
        self._running: Held | None = None
        self._running_since = 0.0
        self._waiting: queue.Queue[Entry | None] = queue.Queue(WAITING_BATCHES)
        self._thread = threading.Thread(target=self._work, name="writer", daemon=True)
        self._thread.start()

    def ingest(self, incoming: Incoming) -> Future[Receipt]:
        """Store a batch; the result is there after the commit.

        The future raises InvalidInputError (nothing stored) or StorageError. Raises at once BusyError, or
        StoppedError while nothing is stored.
        """
        self._keeper.check()
        return self.quietly(lambda connection: self._store(connection, incoming))

    def store(self, work: Callable[[DuckDBPyConnection], bool], ack: Ack) -> Future[bool]:
        """Store what is a batch of its own kind by `work`, which says whether it was new. As `ingest`."""

        def run() -> bool:
            with self._keeper.stand.moving():
                is_new = work(self._keeper.connection())
            self._keeper.stored(lambda: ack, is_new=is_new)
            return is_new

        self._keeper.check()
        return self._put(run)

    def quietly(self, work: Callable[[DuckDBPyConnection], T]) -> Future[T]:
        """As `submit`, of what does not count as a change by itself, for agents or for what is kept."""
        return self._put(lambda: work(self._keeper.connection()))

    def submit(self, work: Callable[[DuckDBPyConnection], T], since: datetime = EVER) -> Future[T]:
        """Run `work` on the writer's connection, after what waits already.

        `since` is from when on it may change what is kept: see `Stand.moving`.
        """
        return self.apart(lambda: work(self._keeper.connection()), since=since)

    def apart(self, work: Callable[[], T], reason: str = LONG_WORK, since: datetime = EVER) -> Future[T]:
        """Run `work` on the writer's thread, after what waits already, also while nothing is stored.

        `reason` says what batches wait for meanwhile.
        """

        def run() -> T:
            try:
                with self._keeper.stand.moving(since):
                    return work()
            finally:
                self.changes += 1

        return self._put(run, reason)

    @property
    def held(self) -> Held | None:
        """What batches wait for, where it has run for long; by itself None again when that has ended."""
        running = self._running
        return running if running and time.monotonic() - self._running_since >= HELD_S else None

    def _put(self, work: Callable[[], T], reason: str = LONG_WORK) -> Future[T]:
        future: Future[T] = Future()
        try:
            self._waiting.put_nowait((work, future, reason))  # type: ignore[arg-type]
        except queue.Full:
            raise BusyError("too many batches wait to be stored", "Send it again in a moment.") from None
        return future

    def close(self) -> None:
        """Finish what waits, then stop."""
        self._waiting.put(None)
        self._thread.join()

    def _work(self) -> None:
        tended_at = time.monotonic()
        while True:
            with suppress(queue.Empty):
                entry = self._waiting.get(timeout=TEND_S)
                if entry is None:
                    break
                self._run(*entry)
            if time.monotonic() - tended_at >= TEND_S:
                tended_at = time.monotonic()
                self._tend()
        self._tend()
        self._keeper.close()

    def _run(self, work: Callable[[], object], future: Future[object], reason: str = LONG_WORK) -> None:
        if not future.set_running_or_notify_cancel():
            return
        self._running_since, self._running = time.monotonic(), Held(reason, now())
        try:
            future.set_result(work())
        except duckdb.Error as error:
            future.set_exception(storage_error(error))
            if is_fault(error):
                self._fail(error)
            else:
                log.exception("not stored")
        except Exception as error:  # noqa: BLE001 - handed to whoever waits for the future
            future.set_exception(error)
        finally:
            self._running = None

    def _store(self, connection: DuckDBPyConnection, incoming: Incoming) -> Receipt:
        receipt = store_batch(connection, incoming, self._keeper.stand)
        self._keeper.stored(lambda: ack_of(incoming), is_new=receipt.stored)
        return receipt

    def _fail(self, error: duckdb.Error) -> None:
        """Let the keeper open the file again."""
        try:
            self._keeper.failed(error)
        except Exception:  # the thread lives as long as the warehouse; it is tried again
            log.exception("opening the warehouse file again")

    def _tend(self) -> None:
        """Let the keeper look after the file, and store what it has to tell."""
        try:
            self._keeper.tend()
            events = self._keeper.take_untold()
            if events:
                self._tell(events)
        except Exception:  # the thread lives as long as the warehouse
            log.exception("tending the warehouse file")

    def _tell(self, events: list[Event]) -> None:
        """Store events of the warehouse itself; what the disk does not take waits."""
        stored: Future[object] = Future()
        batch = batch_of(events)
        self._run(lambda: self._store(self._keeper.connection(), batch), stored)
        if isinstance(stored.exception(), StorageError):
            self._keeper.tell(events)
