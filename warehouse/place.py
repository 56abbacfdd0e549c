"""Lets one long action of a kind run at a time."""

from __future__ import annotations

import threading

from warehouse.errors import RefusedError


class Place:
    """The only place of an action. Whoever took it leaves it once, from any thread."""

    def __init__(self, taken: str) -> None:
        """`taken` says in words that it runs already."""
        self._taken = taken
        self._free = threading.BoundedSemaphore(1)

    def take(self) -> None:
        """Raises RefusedError while somebody has it."""
        if not self._free.acquire(blocking=False):
            raise RefusedError(self._taken, "Try again when that has ended.", status=409)

    def leave(self) -> None:
        """Let the next one have it."""
        self._free.release()
