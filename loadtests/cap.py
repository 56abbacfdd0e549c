"""Keeps a process below its share of the most requests a second that a target may be given."""

from __future__ import annotations

import time

BURST_S = 0.05
"""As many requests as fit into this time may come at once."""


class Cap:
    """A bucket that leaks at `per_s` (GCRA, ITU-T I.371): each request gets the next free slot.

    `held` counts requests that had to wait for theirs, `held_ns` how long in all, `waiting` those that do
    now: the load that the cap took away is told, not hidden.
    """

    def __init__(self, per_s: float) -> None:
        self._spacing_ns = round(1e9 / per_s)
        self._next_ns = 0
        self.held = 0
        self.held_ns = 0
        self.waiting = 0

    def reserve(self, now_ns: int) -> int:
        """Take the next slot; how long to wait for it, in ns."""
        slot = max(self._next_ns, now_ns - round(BURST_S * 1e9))
        self._next_ns = slot + self._spacing_ns
        return max(0, slot - now_ns)

    def pass_through(self) -> int:
        """Wait for the next slot; how long that was, in ns."""
        wait_ns = self.reserve(time.monotonic_ns())
        if wait_ns == 0:
            return 0
        self.held += 1
        self.held_ns += wait_ns
        self.waiting += 1
        try:
            time.sleep(wait_ns / 1e9)
        finally:
            self.waiting -= 1
        return wait_ns
