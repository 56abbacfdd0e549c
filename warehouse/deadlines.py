"""Interrupts statements whose time is over: one thread for all of them, while there are any."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from warehouse.leases import INTERRUPT_EVERY_S, Lease

IDLE_S = 10.0
"""After so long without a statement the thread ends, until there is another one."""


class Deadlines:
    """Statements with the monotonic instants at which they are interrupted. Used by any thread.

    An interrupt is lost on a connection that runs nothing yet, so it is repeated until the end.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._due: dict[Lease, float] = {}
        self._thread: threading.Thread | None = None
        self._wakes_at = 0.0

    @contextmanager
    def over(self, lease: Lease, until: float) -> Iterator[None]:
        """What runs on the lease within is interrupted from `until` on, and never after the end."""
        with self._changed:
            self._due[lease] = until
            if self._thread is None:
                self._thread = threading.Thread(target=self._watch, name="deadlines", daemon=True)
                self._thread.start()
            elif until < self._wakes_at:
                self._changed.notify()
        try:
            yield
        finally:
            with self._changed:
                del self._due[lease]

    def _watch(self) -> None:
        with self._changed:
            idle_until = time.monotonic() + IDLE_S
            while True:
                now = time.monotonic()
                if self._due:
                    idle_until = now + IDLE_S
                elif now >= idle_until:
                    self._thread = None
                    return
                overdue = [lease for lease, until in self._due.items() if until <= now]
                for lease in overdue:
                    lease.interrupt()
                coming = (until for until in self._due.values() if until > now)
                again = now + INTERRUPT_EVERY_S if overdue else idle_until
                self._wakes_at = min(again, *coming, idle_until)
                self._changed.wait(self._wakes_at - now)
