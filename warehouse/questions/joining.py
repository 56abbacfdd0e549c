"""Which tiers a window is read from: sealed cells where whole ones lie in it, else single attempts. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from warehouse.cells import DAY, FIVE_MINUTES, HOUR

RAW = 0
"""The width of a piece that is read from single attempts."""

CELL_WIDTHS = (DAY, HOUR, FIVE_MINUTES)
TAGS = {RAW: 1, FIVE_MINUTES: 2, HOUR: 4, DAY: 8}
"""A bit for each tier, of which a row is told to stem."""

LEFT_OUT = 16
"""The bit of a row of whose time a part could not be read."""

NAMES = {DAY: "1d", HOUR: "1h", FIVE_MINUTES: "5m", RAW: "raw"}

EVER = datetime.fromtimestamp(0, UTC).replace(tzinfo=None)
"""Before anything that is measured."""

Interval = tuple[datetime, datetime]


def tier_text(tags: int) -> str:
    """What a row stems from: `1h`, `1d+1h+raw`."""
    names = [NAMES[width] for width in NAMES if tags & TAGS[width]]
    return "+".join(names) + (" (a part left out)" if tags & LEFT_OUT else "")


@dataclass(frozen=True)
class Holdings:
    """What the warehouse holds (UTC, naive); None: no such thing.

    Single attempts since `raw_from` (None: all), cells of hours since `cells_from` (None: all), those of 5
    minutes since `fine_cells_from` (None: all) and their histograms since `fine_from`, those of days since
    `days_from` (None: all); cells sealed until `sealed`, those of days until `days`. Before `oldest` there
    was nothing (None: not known). `dirty` are hours (Unix) of series whose cells are not right.
    """

    sealed: datetime | None = None
    days: datetime | None = None
    raw_from: datetime | None = None
    cells_from: datetime | None = None
    fine_from: datetime | None = None
    fine_cells_from: datetime | None = None
    dirty: frozenset[tuple[int, int]] = frozenset()
    days_from: datetime | None = None
    oldest: datetime | None = None

    def cells(self, width_s: int, *, merged: bool) -> Interval | None:
        """Since when and until when there are cells of a width, with histograms where they are merged."""
        until = self.days if width_s == DAY else self.sealed
        if until is None:
            return None
        since = (self.days_from if width_s == DAY else self.cells_from) or EVER
        if width_s == FIVE_MINUTES and self.fine_cells_from is not None:
            since = max(since, self.fine_cells_from)
        if width_s == FIVE_MINUTES and merged:
            if self.fine_from is None:
                return None
            since = max(since, self.fine_from)
        return (since, floor(until, width_s))


@dataclass
class Reading:
    """Which intervals are read in which way.

    `exact` cells are rows of the answer as they are; `parts` of the widths are merged by their histograms;
    of `raw` intervals the attempts themselves are ranked, of `binned` ones they join the histograms.
    `left_out` are the buckets of which a part cannot be read.
    """

    width_s: int
    exact: list[Interval] = field(default_factory=list)
    parts: dict[int, list[Interval]] = field(default_factory=lambda: defaultdict(list))
    raw: list[Interval] = field(default_factory=list)
    binned: list[Interval] = field(default_factory=list)
    left_out: list[Interval] = field(default_factory=list)


def usable_width(width_s: int, start: datetime, held: Holdings, *, merged: bool) -> int:
    """The width itself, or where neither attempts nor cells of it reach back to `start`, the next that do."""
    raw_reaches = held.raw_from is None or start >= held.raw_from
    if raw_reaches or width_s >= DAY:
        return width_s
    cells = held.cells(HOUR, merged=merged)
    hours_reach = cells is not None and cells[0] <= start
    if width_s >= HOUR:
        return width_s if hours_reach else DAY
    fine = held.cells(FIVE_MINUTES, merged=merged or width_s > FIVE_MINUTES)
    if fine is not None and fine[0] <= start:
        return max(width_s, FIVE_MINUTES)
    return HOUR if hours_reach else DAY


def plan(buckets: Iterable[Interval], width_s: int, held: Holdings, *, merged: bool, small: bool) -> Reading:
    """How to read the buckets, each clipped to the window. `small`: so few attempts that ranking is cheap."""
    reading = Reading(width_s)
    whole = None if merged or width_s not in CELL_WIDTHS else held.cells(width_s, merged=False)
    alike = held.cells(width_s, merged=True) if width_s in CELL_WIDTHS and not small else None
    full = timedelta(seconds=width_s)
    for start, end in buckets:
        if whole and end - start == full and whole[0] <= start and end <= whole[1]:
            _add(reading.exact, (start, end))
            continue
        if alike and end - start == full and alike[0] <= start and end <= alike[1]:
            _add(reading.parts[width_s], (start, end))
            continue
        pieces, missing = _cover(start, end, largest(width_s), held, small=small)
        if missing:
            reading.left_out.append((start, end))
        is_raw = all(width == RAW for width, _ in pieces)
        for width, interval in pieces:
            if width != RAW:
                _add(reading.parts[width], interval)
            else:
                _add(reading.raw if is_raw else reading.binned, interval)
    return reading


def largest(width_s: int) -> int:
    """The widest cells that fit into a bucket; RAW where none do."""
    return next((width for width in CELL_WIDTHS if width_s % width == 0), RAW)


def _cover(
    start: datetime, end: datetime, widest: int, held: Holdings, *, small: bool
) -> tuple[list[tuple[int, Interval]], bool]:
    """The pieces of an interval, whole cells as wide as they fit, and whether a part of it is missing."""
    if small and (held.raw_from is None or start >= held.raw_from):
        return [(RAW, (start, end))], False
    for width in CELL_WIDTHS:
        cells = held.cells(width, merged=True) if width <= widest else None
        if cells is None:
            continue
        first, last = ceiling(max(start, cells[0]), width), floor(min(end, cells[1]), width)
        if first < last:
            before, gap = _cover(start, first, width - 1, held, small=False) if start < first else ([], False)
            after, hole = _cover(last, end, widest, held, small=False) if last < end else ([], False)
            return [*before, (width, (first, last)), *after], gap or hole
    readable = max(start, held.raw_from or start)
    pieces = [(RAW, (readable, end))] if readable < end else []
    return pieces, min(readable, end) > max(start, held.oldest or start)


def _add(intervals: list[Interval], new: Interval) -> None:
    """Add an interval that begins where the last one ends to that one."""
    if intervals and intervals[-1][1] == new[0]:
        intervals[-1] = (intervals[-1][0], new[1])
    else:
        intervals.append(new)


def buckets_of(start: datetime, end: datetime, width_s: int) -> Sequence[Interval]:
    """The buckets of a window, clipped to it."""
    step = timedelta(seconds=width_s)
    found = []
    edge = floor(start, width_s)
    while edge < end:
        found.append((max(edge, start), min(edge + step, end)))
        edge += step
    return found


def numbers_within(interval: Interval, width_s: int) -> tuple[int, int]:
    """The numbers of the first bucket that lies wholly in the interval, and of the one after the last."""
    return hour_of(ceiling(interval[0], width_s), width_s), hour_of(interval[1], width_s)


def start_of(number: int, width_s: int) -> datetime:
    """When the bucket of that number begins, or whatever else of that width."""
    return EVER + timedelta(seconds=number * width_s)


def hours_within(intervals: Iterable[Interval]) -> set[int]:
    """The Unix hours that the intervals touch."""
    return {hour for start, end in intervals for hour in range(_unix(start) // HOUR, -(-_unix(end) // HOUR))}


def floor(instant: datetime, width_s: int) -> datetime:
    """The last multiple of the width (Unix time) that is not after the instant."""
    return instant - (instant - EVER) % timedelta(seconds=width_s)


def ceiling(instant: datetime, width_s: int) -> datetime:
    """The first multiple of the width that is not before the instant."""
    down = floor(instant, width_s)
    return down if down == instant else down + timedelta(seconds=width_s)


def _unix(instant: datetime) -> int:
    return (instant - EVER) // timedelta(seconds=1)


def hour_of(instant: datetime, width_s: int = HOUR) -> int:
    """The number of the hour, or of the bucket of another width, that an instant lies in, since 1970."""
    return _unix(instant) // width_s
