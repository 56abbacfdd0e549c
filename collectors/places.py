"""Places for attempts in flight: each target has its own, so that one that hangs holds up no other."""

from __future__ import annotations

import asyncio
from typing import Literal


class Flight:
    """How many attempts are in flight over all targets, and the most there were."""

    def __init__(self, places_per_target: int) -> None:
        self._places_per_target = places_per_target
        self._now = 0
        self._most = 0

    def places(self) -> asyncio.Semaphore:
        """The places of one more target."""
        return _Places(self, self._places_per_target)

    def take_most(self) -> int:
        """The most at once since this was asked before."""
        most, self._most = self._most, self._now
        return most

    def change(self, by: int) -> None:
        """Attempts begin (1) or end (-1)."""
        self._now += by
        self._most = max(self._most, self._now)


class _Places(asyncio.Semaphore):
    """A semaphore whose use is counted."""

    def __init__(self, flight: Flight, value: int) -> None:
        super().__init__(value)
        self._flight = flight

    async def acquire(self) -> Literal[True]:
        """Wait for a place and take it."""
        await super().acquire()
        self._flight.change(1)
        return True

    def release(self) -> None:
        """Give a place back."""
        self._flight.change(-1)
        super().release()
