"""Interrupts statements whose time is over, by one thread for all of them."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from warehouse.leases import INTERRUPT_EVERY_S, Lease

log = logging.getLogger(__name__)

IDLE_S = 10.0
"""After so long without a statement the thread ends, until there is another one."""


class Deadlines:
    """Statements with the monotonic instants at which they are interrupted. Used by any thread.

    An interrupt is lost on a connection that runs nothing yet, so it is repeated until the end.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._due: dict[Lease, float] = {}
        self._is_watched = False
        self._wakes_at = 0.0

    @contextmanager
    def over(self, lease: Lease, until: float) -> Iterator[None]:
        """What runs on the lease within is interrupted from `until` on, and never after the end."""
        try:
            with self._changed:
                self._due[lease] = until
                if not self._is_watched:
                    threading.Thread(target=self._watch, name="deadlines", daemon=True).start()
                    self._is_watched = True
                elif until < self._wakes_at:
                    self._changed.notify()
            yield
        finally:
            with self._changed:
                del self._due[lease]

    def _watch(self) -> None:
        with self._changed:
            try:
                self._watch_until_idle()
            finally:
                self._is_watched = False

    def _watch_until_idle(self) -> None:
        idle_until = time.monotonic() + IDLE_S
        while self._due or time.monotonic() < idle_until:
            now = time.monotonic()
            if self._due:
                idle_until = now + IDLE_S
            overdue = [lease for lease, until in self._due.items() if until <= now]
            for lease in overdue:
                _interrupt(lease)
            coming = (until for until in self._due.values() if until > now)
            again = now + INTERRUPT_EVERY_S if overdue else idle_until
            self._wakes_at = min(again, *coming, idle_until)
            self._changed.wait(max(0.0, self._wakes_at - now))


def _interrupt(lease: Lease) -> None:
    """Interrupt it; whatever comes of that, the statements of others are watched on."""
    try:
        lease.interrupt()
    except Exception:
        log.exception("a statement past its deadline could not be interrupted")
