"""When to knock again at a server that did not let us in."""

from __future__ import annotations

import time
from collections.abc import Callable

LONGEST_PAUSE_S = 60.0
FREE_TRIES = 2
"""Failures in a row after which it is asked again at once: a restart is no reason to wait."""


class Backoff:
    """Longer and longer pauses, up to a minute: wrong passwords lock users out, full servers stay full."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._failures = 0
        self._next_try_s = float("-inf")

    @property
    def is_due(self) -> bool:
        """Whether it is time to try."""
        return self._clock() >= self._next_try_s

    def failed(self) -> None:
        """It did not work again."""
        self._failures += 1
        pause_s = 2.0 ** min(self._failures, 6) if self._failures > FREE_TRIES else 0.0
        self._next_try_s = self._clock() + min(pause_s, LONGEST_PAUSE_S)

    def succeeded(self) -> None:
        """It works."""
        self._failures = 0
        self._next_try_s = float("-inf")
