"""How sealed time stands: a number that moves whenever anything changes that its answers are made of."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


class Stand:
    """Moved by the writer's thread alone, read by any.

    It moves before a change is committed and once more after it. What was read while the number stayed the
    same, and is still that number, was made of rows that nobody was told to be others.
    """

    def __init__(self) -> None:
        self.number = 0
        self._moving = 0

    def still(self) -> int | None:
        """The number; None while a change is under way.

        While it stays that number, every snapshot holds the same of what stands.
        """
        number = self.number
        return number if not self._moving and number == self.number else None

    def move(self) -> None:
        """Nothing that was read before is known to be so any more."""
        self.number += 1

    @contextmanager
    def moving(self) -> Iterator[None]:
        """Around all that may change cells, tiers, series, limits or rows that cells hold already."""
        self._moving += 1
        self.move()
        try:
            yield
        finally:
            self.move()
            self._moving -= 1
