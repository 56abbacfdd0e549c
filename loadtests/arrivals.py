"""Arrivals at a rate, whatever the target does: an open load. What waits too long is dropped and counted."""

from __future__ import annotations

import random
import time
from typing import Literal

import gevent
from gevent.queue import SimpleQueue

LONGEST_WAIT_NS = 10_000_000_000
"""An arrival that found no free user for so long is dropped."""

IDLE_S = 0.05
"""How long to wait before looking again while there are no users."""


class Arrivals:
    """Hands arrivals to a process's users: `rate_per_s` in all when the plan's most users are there.

    While fewer of the `most_users` are started, proportionally fewer arrive, so that a preset's stages
    shape an open load too. `dropped` counts arrivals that waited for more than 10 s.
    """

    def __init__(self, kind: Literal["constant", "poisson"], rate_per_s: float, most_users: int) -> None:
        self._kind = kind
        self._rate_of_user = rate_per_s / most_users
        self._waiting: SimpleQueue[int] = SimpleQueue()
        self.users = 0
        """Users of this process that may take arrivals."""
        self.dropped = 0

    @property
    def backlog(self) -> int:
        """Arrivals that wait for a user."""
        return int(self._waiting.qsize())

    def take(self) -> int:
        """Wait for an arrival; when it was due, on `time.monotonic_ns`."""
        while True:
            due_ns = int(self._waiting.get())
            if time.monotonic_ns() - due_ns <= LONGEST_WAIT_NS:
                return due_ns
            self.dropped += 1

    def give_back(self, due_ns: int) -> None:
        """Another user takes this arrival."""
        self._waiting.put(due_ns)

    def run(self) -> None:
        """Let them arrive, for ever."""
        due_ns = time.monotonic_ns()
        while True:
            if not self.users:
                gevent.sleep(IDLE_S)
                due_ns = time.monotonic_ns()
                continue
            due_ns += self._gap_ns()
            late_ns = time.monotonic_ns() - due_ns
            if late_ns < 0:
                gevent.sleep(-late_ns / 1e9)
            self._waiting.put(due_ns)
            self._drop_old()

    def _gap_ns(self) -> int:
        rate = self._rate_of_user * self.users
        gap_s = 1 / rate if self._kind == "constant" else random.expovariate(rate)
        return round(gap_s * 1e9)

    def _drop_old(self) -> None:
        """Forget what waited too long, so that a backlog stays bounded."""
        oldest_ns = time.monotonic_ns() - LONGEST_WAIT_NS
        while self.backlog and self._waiting.peek() < oldest_ns:
            self._waiting.get()
            self.dropped += 1
