"""Two threads move rows on: one writes batches into the spool, one ships the oldest and deletes it."""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable
from datetime import datetime
from typing import Protocol, cast

from collectors.conditions import Conditions
from collectors.record import Measurement, Recorder, Row, lost_gap, rows_lost, span
from collectors.spool import Entry, Packed, Spool
from warehouse.client import pack
from warehouse.errors import PerfhouseError, RefusedError
from warehouse.model import Batch, GapReason, Receipt, now

log = logging.getLogger(__name__)

MOST_ROWS = 5000
"""Rows in one batch."""

HOPELESS = frozenset({400, 413, 415, 422})
"""Statuses after which sending the same bytes again cannot succeed, if the warehouse names the field."""

FIRST_PAUSE_S = 0.2
LONGEST_PAUSE_S = 5.0
IDLE_S = 0.5


class Sender(Protocol):
    """What ships a batch: the warehouse's client."""

    def send(self, batch_id: str, body: bytes) -> Receipt:
        """Send a batch; returns when it is stored."""
        ...


class Flusher:
    """Every `flush_s` writes what was recorded into the spool; what cannot be written waits in memory."""

    def __init__(
        self,
        recorder: Recorder,
        spool: Spool,
        conditions: Conditions,
        flush_s: float,
        on_safe: Callable[[datetime], None] = lambda _: None,
    ) -> None:
        """`on_safe` hears the instant until which all that was recorded is in the spool."""
        self._recorder = recorder
        self._spool = spool
        self._conditions = conditions
        self._flush_s = flush_s
        self._on_safe = on_safe
        self._pending: Packed | None = None
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._work, name="flusher", daemon=True)

    def start(self) -> None:
        """Begin to flush."""
        self._thread.start()

    def stop(self, patience_s: float) -> None:
        """Flush what is there for the last time."""
        self._stopping.set()
        self._thread.join(patience_s)

    def flush(self) -> bool:
        """Write all that is recorded; whether it is in the spool now."""
        while True:
            if self._pending is None:
                batch = self._recorder.take(MOST_ROWS)
                if batch is None:
                    self._conditions.unwritable.clear()
                    return True
                self._pending = self._pack(batch)
            if self._pending is not None:
                try:
                    self._spool.put(self._pending)
                except OSError as error:
                    self._conditions.unwritable.strike(f"the spool cannot be written: {error.strerror}")
                    return False
                self._pending = None

    def _pack(self, batch: Batch) -> Packed | None:
        rows = cast("list[Row]", batch.rows)
        first, last = span(rows)
        missed = sum(map(rows_lost, rows))
        try:
            body = pack(batch)
        except Exception as error:  # one bad batch must not hold up all that follow
            log.exception("a batch cannot be packed")
            self._conditions.refused.strike(f"a batch could not be packed ({type(error).__name__})")
            if missed:
                self._recorder.add([lost_gap(first, last, missed, GapReason.REFUSED)])
            return None
        measured = sum(isinstance(row, Measurement) for row in rows)
        return Packed(batch.batch_id, body, measured, missed, first, last)

    def _work(self) -> None:
        stopping = False
        while not stopping:
            stopping = self._stopping.wait(self._flush_s)
            at = now()
            try:
                if self.flush():
                    self._on_safe(at)
            except Exception:  # the thread lives as long as the daemon
                log.exception("flushing")


class Shipper:
    """Sends the oldest batch until the warehouse has it, then the next."""

    def __init__(self, recorder: Recorder, spool: Spool, sender: Sender, conditions: Conditions) -> None:
        self._recorder = recorder
        self._spool = spool
        self._sender = sender
        self._conditions = conditions
        self._failures = 0
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._work, name="shipper", daemon=True)

    def start(self) -> None:
        """Begin to ship."""
        self._thread.start()

    def stop(self, patience_s: float) -> bool:
        """Ship no more; what is on its way is waited for as long as patience lasts. Whether it ended."""
        self._stopping.set()
        self._thread.join(patience_s)
        return not self._thread.is_alive()

    def _work(self) -> None:
        while not self._stopping.is_set():
            entry = self._spool.claim(IDLE_S)
            if entry is not None and not self._ship(entry):
                self._stopping.wait(pause_after(self._failures))

    def _ship(self, entry: Entry) -> bool:
        """Send one batch; False when it stays and a pause is due."""
        began = time.monotonic()
        try:
            body = self._spool.read(entry)
            if body is not None:
                self._sender.send(entry.batch_id, body)
                self._spool.settle(entry)
        except Exception as error:  # noqa: BLE001 - told as a condition, and tried again
            if isinstance(error, RefusedError) and error.status in HOPELESS and error.field:
                self._refuse(entry, error)
            else:
                self._stay(entry, error, time.monotonic() - began)
                return False
        self._failures = 0
        self._conditions.away.clear()
        return True

    def _stay(self, entry: Entry, error: Exception, took_s: float) -> None:
        self._spool.release(entry)
        self._failures += 1
        self._conditions.away.strike(f"cannot ship: {_reason(error)}", took_s)
        if not isinstance(error, PerfhouseError | OSError | ValueError):
            log.error("shipping failed with %s", type(error).__name__, exc_info=error)

    def _refuse(self, entry: Entry, error: RefusedError) -> None:
        words = f"{error.field}: {error.message}" if error.field else error.message
        self._conditions.refused.strike(f"the warehouse refused a batch of {entry.rows} rows: {words}")
        log.warning("batch %s was refused: %s", entry.batch_id, words)
        self._spool.set_aside(entry)
        if entry.missed:
            self._recorder.add([lost_gap(entry.first, entry.last, entry.missed, GapReason.REFUSED)])


def _reason(error: Exception) -> str:
    """Why a batch stays, in words without secrets."""
    if isinstance(error, RefusedError):
        return f"the warehouse answers {error.status}: {error.message}"
    if isinstance(error, PerfhouseError):
        return error.message
    if isinstance(error, OSError):
        return f"a batch cannot be read: {error.strerror}"
    return f"what answers is not the warehouse ({type(error).__name__})"


def pause_after(failures: int) -> float:
    """Seconds to wait after so many failures in a row: doubled each time, at most 5, jittered downwards."""
    longest = min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2 ** min(failures, 16))
    return random.uniform(longest / 2, longest)  # noqa: S311 - spreads retries, guards nothing
