"""Keeps the file writable: stops below the reserve, opens it again after a failure, goes on by itself."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from warehouse import notes
from warehouse.acks import Ack
from warehouse.checks import Incoming
from warehouse.errors import StoppedError, StorageError
from warehouse.model import Event, JobState, now
from warehouse.room import Room, Space
from warehouse.stand import Stand
from warehouse.sweep import Sweeper

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from warehouse.store import Store

log = logging.getLogger(__name__)

JOB = "storage"
FIRST_PAUSE_S = 1.0
LONGEST_PAUSE_S = 3.0
"""Between two attempts to open the file for writing while the disk is bad."""

QUIET_S = 10.0
"""A failure so soon after the file was opened again is no new one: the next attempt waits."""

HINT = "Nothing is lost: collectors keep their measurements. Writing goes on by itself when the disk is well."


class StorageState(StrEnum):
    """Whether batches are stored."""

    OK = "ok"
    CATCHING_UP = "catching_up"
    PAUSED = "paused"
    FAILING = "failing"


@dataclass(frozen=True)
class Condition:
    """How storing does, why, and since when."""

    state: StorageState
    reason: str
    since_at: datetime


class Keeper:
    """Hands the writer its connection while batches may be stored. Used by the writer's thread;

    `condition`, `tell` and `check` by any.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._room = Room(store.path.parent, store.settings.warehouse.reserve_mb)
        self._sweeper = Sweeper(store.settings.warehouse.memory_limit_mb)
        self._connection: DuckDBPyConnection | None = None
        self._untold: list[Event] = []
        self._telling = threading.Lock()
        self._log_bytes = 0
        self._next_attempt = 0.0
        self._pause_s = FIRST_PAUSE_S
        self._mended_at = -QUIET_S
        self.condition = Condition(StorageState.OK, "", now())
        self.losses: list[tuple[datetime, str]] = []
        self._tell_losses()
        if not store.writable:
            self._stop(StorageState.FAILING, store.trouble)

    @property
    def stand(self) -> Stand:
        """How sealed time stands in the file."""
        return self._store.stand

    @property
    def space(self) -> Space | None:
        """What the disk has now; None where it does not even tell that."""
        try:
            return self._room.look()
        except StorageError:
            return None

    def check(self) -> None:
        """Raises StoppedError when nothing is stored now."""
        now_ = self.condition
        if now_.state is not StorageState.OK:
            raise StoppedError(f"storage {now_.state}: {now_.reason}", HINT)

    def tell(self, events: Iterable[Event]) -> None:
        """Store events of the warehouse itself as soon as anything is stored."""
        with self._telling:
            self._untold += events

    def connection(self) -> DuckDBPyConnection:
        """The connection to write with. Raises StoppedError when nothing may be written now."""
        self._weigh()
        self.check()
        if self._connection is None:
            self._connection = self._store.cursor()
        return self._connection

    def stored(self, ack: Callable[[], Ack], *, is_new: bool) -> None:
        """Remember a batch that is about to be acknowledged, outside the write-ahead log."""
        log_bytes = self._store.sizes()[1]
        if log_bytes < self._log_bytes:
            self._store.acks.clear()
        if is_new and log_bytes:
            self._store.acks.note(ack())
        self._log_bytes = log_bytes

    def failed(self, error: duckdb.Error) -> None:
        """The disk or the database failed under the writer: open the file again, at once if possible."""
        log.error("the warehouse file fails: %s", error)
        self._stop(StorageState.FAILING, _first_line(error))
        if time.monotonic() - self._mended_at > QUIET_S:
            self._pause_s, self._next_attempt = FIRST_PAUSE_S, 0.0
        else:
            self._put_off()
            self.close()
            self._store.reopen_for_reading()
        self.tend()

    def tend(self) -> None:
        """Called often: stop or go on as the disk allows, open the file again where that is due."""
        if self._store.suspicion and self.condition.state is not StorageState.FAILING:
            self._stop(StorageState.FAILING, self._store.suspicion.splitlines()[0])
        if self.condition.state is StorageState.FAILING:
            self._mend()
        self._weigh()
        self._store.acks.sync()
        if self.condition.state is StorageState.OK:
            self._sweeper.look(self.connection())

    def take_untold(self) -> list[Event]:
        """What waits to be told; nothing while nothing is stored."""
        if self.condition.state is not StorageState.OK:
            return []
        with self._telling:
            events, self._untold = self._untold, []
        return events

    def exchanged(self) -> None:
        """Another file is open now, with a log of its own."""
        self._log_bytes = 0

    def close(self) -> None:
        """Give the connection back."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _weigh(self) -> None:
        """Stop below the reserve, go on above it."""
        state = self.condition.state
        try:
            space = self._room.look()
        except StorageError as error:
            if state is not StorageState.FAILING:
                self._stop(StorageState.FAILING, _first_line(error))
            return
        if state is StorageState.OK and not space.suffices():
            self._stop(StorageState.PAUSED, space.text)
        elif state is StorageState.PAUSED:
            if space.suffices(stopped=True):
                self._go_on()
            elif space.text != self.condition.reason:
                self.condition = Condition(state, space.text, self.condition.since_at)

    def _mend(self) -> None:
        """Open the file for writing when the disk seems well; until then no question is disturbed."""
        if time.monotonic() < self._next_attempt:
            return
        self.close()
        try:
            self._room.probe()
            self._store.reopen()
        except StorageError as error:
            self._put_off()
            if self._store.writable or self._store.suspicion or not self._store.readable:
                self._store.reopen_for_reading()
            self.condition = Condition(StorageState.FAILING, _first_line(error), self.condition.since_at)
            return
        self._mended_at, self._log_bytes = time.monotonic(), 0
        self._tell_losses()
        self._go_on()

    def _put_off(self) -> None:
        self._next_attempt = time.monotonic() + self._pause_s
        self._pause_s = min(self._pause_s * 2, LONGEST_PAUSE_S)

    def _stop(self, state: StorageState, reason: str) -> None:
        log.warning("storage %s: %s", state, reason)
        since = self.condition.since_at if self.condition.state is not StorageState.OK else now()
        self.condition = Condition(state, reason, since)
        self.tell([notes.event(JOB, JobState.FAILING, f"{state}: {reason}")])

    def _go_on(self) -> None:
        stopped = self.condition
        self.condition = Condition(StorageState.OK, "", now())
        for_s = (self.condition.since_at - stopped.since_at).total_seconds()
        text = f"stored again after {for_s:.0f} s ({stopped.state}: {stopped.reason})"
        log.info("%s", text)
        self.tell([notes.event(JOB, JobState.OK, text)])

    def _tell_losses(self) -> None:
        losses, self._store.losses = self._store.losses, []
        for loss in losses:
            self.losses.append((now(), loss.text))
            self.tell(notes.told_and_over(JOB, loss.text, "the file is open and sound again"))


def is_fault(error: duckdb.Error) -> bool:
    """Whether the disk or the database failed, not what was asked of it.

    DuckDB 2.0 raises some errors of the disk as its plain Error.
    """
    kinds = (duckdb.FatalException, duckdb.IOException, duckdb.TransactionException, duckdb.InternalException)
    return isinstance(error, kinds) or type(error) is duckdb.Error


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0]


def ack_of(incoming: Incoming) -> Ack:
    """What is remembered of a batch."""
    tables = [table for table in incoming.tables.values() if table.num_rows]
    spans = [pc.min_max(table["at"].cast(pa.int64())).as_py() for table in tables]
    return Ack(
        batch_id=incoming.batch_id,
        source=incoming.source,
        rows=sum(table.num_rows for table in tables),
        first_ms=min((span["min"] for span in spans), default=0),
        last_ms=max((span["max"] for span in spans), default=0),
    )
