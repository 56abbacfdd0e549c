"""Keeps the tiers up while the warehouse runs: on its own thread, beside ingest and questions."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, TypeVar

import duckdb

from warehouse import rollups, run_tiers, sum_tiers
from warehouse.errors import StorageError
from warehouse.leases import INTERRUPT_EVERY_S, CalledBackError, Lease
from warehouse.model import now
from warehouse.rebuild import Step, rebuild
from warehouse.stand import EVER

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from warehouse.store import Store
    from warehouse.writer import Writer

log = logging.getLogger(__name__)

T = TypeVar("T")

CLOSING_S = 10.0
"""How long a stop waits for the step that runs."""


class _Hands:
    """Reads on a lease, writes on the writer's thread, and only into the file that was read."""

    def __init__(self, store: Store, writer: Writer, ended: threading.Event) -> None:
        self._store, self._writer, self._ended = store, writer, ended
        self._lease: Lease | None = None
        self._read_of: int | None = None

    @contextmanager
    def reading(self) -> Iterator[DuckDBPyConnection]:
        """A connection that sees the rows of one moment."""
        with self._store.lend() as self._lease, self._lease.busy() as connection:
            self._read_of = self._store.generation
            connection.begin()
            yield connection
            connection.rollback()

    def begin(self) -> None:
        """What was read before stands for nothing that is written from now on."""
        self._read_of = None

    def write(self, work: Callable[[DuckDBPyConnection], T], since: datetime = EVER) -> T:
        """Run it after what waits already. Raises CalledBackError where another file is open meanwhile."""
        read_of, self._read_of = self._read_of, None

        def run(connection: DuckDBPyConnection) -> T:
            if read_of is not None and read_of != self._store.generation:
                raise CalledBackError("the warehouse opened its file again meanwhile", "It is tried again.")
            return work(connection)

        return self._writer.submit(run, since).result()

    def stopped(self) -> bool:
        """Whether the warehouse ends."""
        return self._ended.is_set()

    def interrupt(self) -> None:
        """End what is being computed."""
        if self._lease is not None:
            self._lease.interrupt()


class Upkeep:
    """The tiers of a running warehouse. `keep_up` by one thread at a time, `hold` and `stop` by any."""

    def __init__(self, store: Store, writer: Writer) -> None:
        self._ended = threading.Event()
        self._hands = _Hands(store, writer, self._ended)
        self._running = threading.Lock()

    def keep_up(self) -> None:
        """Seal what is old enough and renew what changed. What fails is tried again the next time."""
        with self._running:
            if self._ended.is_set():
                return
            self._hands.begin()
            try:
                at = now().replace(tzinfo=None)
                for tier in (rollups, sum_tiers, run_tiers):
                    if not self._ended.is_set():
                        tier.keep_up(self._hands, at)
            except (StorageError, duckdb.Error) as error:
                if not self._ended.is_set():
                    log.warning("rollups wait: %s", error)

    @contextmanager
    def hold(self) -> Iterator[None]:
        """Nothing is sealed or renewed meanwhile; what runs comes to its end first."""
        with self._running:
            yield

    def rebuild(self) -> Iterator[Step]:
        """Compute all cells anew and tell the differences; nothing is sealed meanwhile. See `rebuild`."""
        with self._running:
            self._hands.begin()
            yield from rebuild(self._hands, now().replace(tzinfo=None))

    def stop(self) -> None:
        """Begin nothing more, and wait for what runs: the writer must not end before it."""
        self._ended.set()
        until = time.monotonic() + CLOSING_S
        while not self._running.acquire(timeout=INTERRUPT_EVERY_S):
            self._hands.interrupt()
            if time.monotonic() > until:
                log.warning("rollups did not end in %.0f s", CLOSING_S)
                return
        self._running.release()
