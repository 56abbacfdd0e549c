"""How sealed time stands: a number that moves whenever anything changes that its answers are made of."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

EVER = datetime.fromtimestamp(0, UTC).replace(tzinfo=None)
ENDLESS = EVER + timedelta(days=365_000)
"""Before and after all windows (naive, UTC)."""

MOST_MOVES = 64
"""So many moves are told apart: of two older ones it is known together since when they change."""


class Stand:
    """Moved by the writer's thread alone, read by any.

    It moves before a change is committed and once more after it. What was read while the number stayed the
    same, and is still that number, was made of rows that nobody was told to be others. A change that begins
    at an instant leaves what lies before it as it stood: sealing goes on at the end of time.
    """

    def __init__(self) -> None:
        self.number = 0
        self._moving = 0
        self._moves: tuple[tuple[int, datetime], ...] = ()

    def still(self) -> int | None:
        """The number; None while a change is under way.

        While it stays that number, every snapshot holds the same of what stands.
        """
        number = self.number
        return number if not self._moving and number == self.number else None

    def unchanged_until(self, number: int) -> datetime:
        """Before which instant (naive, UTC) all stands as it did when that was the number."""
        return min((since for at, since in self._moves if at > number), default=ENDLESS)

    def move(self, since: datetime = EVER) -> None:
        """Nothing that was read before of the time from `since` on is known to be so any more."""
        number = self.number + 1
        moves = [*(each for each in self._moves if each[1] < since), (number, since)]
        if len(moves) > MOST_MOVES:
            moves[:2] = [(moves[1][0], moves[0][1])]
        self._moves = tuple(moves)  # before the number: who sees that finds this
        self.number = number

    @contextmanager
    def moving(self, since: datetime = EVER) -> Iterator[None]:
        """Around all that may change cells, tiers, series, limits or rows that cells hold already.

        `since` is the first instant that an answer must reach to be another one than before.
        """
        self._moving += 1
        self.move(since)
        try:
            yield
        finally:
            self.move(since)
            self._moving -= 1
