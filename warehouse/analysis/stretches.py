"""Cuts a baseline's period into stretches as long as the window that is compared with it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

MOST_STRETCHES = 30
FEWEST_ALIKE = 3
"""So many at the same time of day are better than more at others."""

MOST_TIME = timedelta(hours=30)
"""So much of the period is read at most, but for the fewest stretches."""

DAY = timedelta(days=1)

Interval = tuple[datetime, datetime]

SAME_TIME = "at the same time of day"
OTHER_TIMES = "one after another, at other times of day"


@dataclass(frozen=True)
class Stretches:
    """Parts of a period, the oldest first, and how they were chosen, in words."""

    intervals: tuple[Interval, ...]
    how: str


def stretches(period: Interval, window: Interval) -> Stretches:
    """Those a whole number of days away from the window, where there are three; else one after another.

    None overlaps the window. The newest are taken, or of those one after another as many evenly spread;
    none at all where the period is shorter than the window.
    """
    length = window[1] - window[0]
    most = max(FEWEST_ALIKE, min(MOST_STRETCHES, MOST_TIME // length))
    alike = _daily(period, window)
    if len(alike) >= FEWEST_ALIKE:
        return Stretches(tuple(alike[-most:]), SAME_TIME)
    count = (period[1] - period[0]) // length
    ends = [period[1] - length * place for place in range(count)]
    found = [each for each in ((end - length, end) for end in reversed(ends)) if not _overlap(each, window)]
    if len(found) > most:
        found = [found[place * len(found) // most] for place in range(most)]
    return Stretches(tuple(found), OTHER_TIMES)


def _daily(period: Interval, window: Interval) -> list[Interval]:
    """The window moved by whole days, as far as all of it lies in the period. The days are UTC's."""
    first = -((window[0] - period[0]) // DAY)
    last = (period[1] - window[1]) // DAY
    moved = ((window[0] + DAY * day, window[1] + DAY * day) for day in range(first, last + 1))
    return [each for each in moved if not _overlap(each, window)]


def _overlap(a: Interval, b: Interval) -> bool:
    return a[0] < b[1] and b[0] < a[1]
