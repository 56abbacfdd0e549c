"""How late the event loop runs while a probe attempt is in flight."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

TICK_S = 0.005


@dataclass(eq=False)
class Watch:
    """The worst lateness seen by one attempt."""

    worst_s: float = 0.0

    def see(self, late_s: float) -> None:
        """Keep the worst."""
        self.worst_s = max(self.worst_s, late_s)


class LagTicker:
    """A tick every 5 ms that runs only while somebody watches; it comes late when the loop is busy."""

    def __init__(self) -> None:
        self._watches: list[Watch] = []
        self._due = 0.0
        self._handle: asyncio.TimerHandle | None = None

    @contextmanager
    def watch(self) -> Iterator[Watch]:
        """Watch the loop for the time of the block."""
        watch = Watch()
        self._watches.append(watch)
        if self._handle is None:
            self._schedule()
        try:
            yield watch
        finally:
            watch.see(time.perf_counter() - self._due)
            self._watches.remove(watch)
            if not self._watches and self._handle is not None:
                self._handle.cancel()
                self._handle = None

    def _schedule(self) -> None:
        self._due = time.perf_counter() + TICK_S
        self._handle = asyncio.get_running_loop().call_later(TICK_S, self._tick)

    def _tick(self) -> None:
        late = time.perf_counter() - self._due
        for watch in self._watches:
            watch.see(late)
        self._schedule()
