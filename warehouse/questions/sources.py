"""The SQL that reads a window's raw rows and cells, tier by tier, dirty hours from the raw rows. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise

from warehouse.cells import DAY, HOUR, TABLES
from warehouse.objectives import ABOVE
from warehouse.questions.joining import RAW, TAGS, Holdings, Interval, Reading, hours_within

Pairs = Sequence[tuple[int, int]]

SHORT_LIST = 200
MOST_REACHES = 8
"""So many stretches are read one by one; each costs a statement of its own."""


@dataclass(frozen=True)
class Source:
    """Rows of one tier and interval.

    `only` are (series, number of the hour, or other unit, since 1970) to take, `but` (series, hour) to leave.
    """

    width_s: int
    start: datetime
    end: datetime
    only: Pairs | None = None
    but: Pairs = ()
    unit_s: int = HOUR

    @property
    def condition(self) -> str:
        """The condition on `ts`."""
        return f"ts >= {literal(self.start)} AND ts < {literal(self.end)}"

    def sql(self, columns: str, series: str, of: str = "", *, table: str = "", key: str = "series_id") -> str:
        """Select the columns of the cells, of their outcomes or of their counts against limits (`above`).

        `series` is a condition on `series_id`, or the `key` there is in its stead; `table` names another than
        those of attempts.
        """
        conditions = [self.condition, series]
        if self.only is not None:
            conditions.append(f"({key}, epoch_ms(ts) // {self.unit_s * 1000}) IN ({_pairs(self.only)})")
        if self.but:
            conditions.append(f"({key}, epoch_ms(ts) // {HOUR * 1000}) NOT IN ({_pairs(self.but)})")
        table = table or ("attempt" if self.width_s == RAW else TABLES[self.width_s])
        if of == "outcome":
            table = "attempt_cell_outcome"
            conditions.append(f"width_s = {self.width_s}")
        elif of == "above":
            table = ABOVE
            conditions.append(f"width_s = {self.width_s}")
        return f"SELECT {columns} FROM {table} WHERE {' AND '.join(conditions)}"


@dataclass(frozen=True)
class Sources:
    """What is read: cells as they are, cells to merge, attempts to rank, attempts that join histograms."""

    exact: tuple[Source, ...]
    parts: tuple[Source, ...]
    raw: tuple[Source, ...]
    binned: tuple[Source, ...]


def sources_of(reading: Reading, held: Holdings) -> Sources:
    """What is read for a plan, with the cells of dirty hours replaced by their attempts."""
    exact: list[Source] = []
    parts: list[Source] = []
    raw = [Source(RAW, *interval) for interval in reading.raw]
    binned = [Source(RAW, *interval) for interval in reading.binned]
    for interval in reading.exact:
        clean, hours, attempts = _split(reading.width_s, interval, held)
        exact += clean
        parts += hours
        if reading.width_s == DAY:
            binned += attempts
        else:
            raw += attempts
    for width_s, intervals in reading.parts.items():
        for interval in intervals:
            clean, hours, attempts = _split(width_s, interval, held)
            parts += [*clean, *hours]
            binned += attempts
    return Sources(tuple(exact), tuple(parts), tuple(raw), tuple(binned))


def _split(
    width_s: int, interval: Interval, held: Holdings
) -> tuple[list[Source], list[Source], list[Source]]:
    """Clean cells of an interval; for dirty days the cells of their clean hours; attempts of dirty hours."""
    within = hours_within([interval])
    dirty = sorted(pair for pair in held.dirty if pair[1] in within)
    if not dirty:
        return [Source(width_s, *interval)], [], []
    attempts = [Source(RAW, *reach, only=dirty) for reach in reaches(interval, {hour for _, hour in dirty})]
    if width_s != DAY:
        return [Source(width_s, *interval, but=dirty)], [], attempts
    days = sorted({(series, hour // 24) for series, hour in dirty})
    clean = [Source(DAY, *interval, but=[(series, day * 24) for series, day in days])]
    hours = [
        Source(HOUR, *reach, only=days, but=dirty, unit_s=DAY)
        for reach in reaches(interval, {day * 24 + hour for _, day in days for hour in range(24)})
    ]
    return clean, hours, attempts


def reaches(interval: Interval, hours: Iterable[int]) -> list[Interval]:
    """The parts of an interval that the hours lie in: those that touch as one, the nearest as one if many."""
    found: list[Interval] = []
    for hour in sorted(hours):
        start = datetime.fromtimestamp(hour * HOUR, UTC).replace(tzinfo=None)
        reach = (max(start, interval[0]), min(start + timedelta(hours=1), interval[1]))
        if reach[0] >= reach[1]:
            continue
        if found and found[-1][1] == reach[0]:
            found[-1] = (found[-1][0], reach[1])
        else:
            found.append(reach)
    while len(found) > MOST_REACHES:
        gaps = [after[0] - before[1] for before, after in pairwise(found)]
        place = gaps.index(min(gaps))
        found[place : place + 2] = [(found[place][0], found[place + 1][1])]
    return found


def union(sources: Iterable[Source], columns: str, series: str, of: str = "") -> str:
    """The rows of all sources; `{tag}` in the columns becomes the bit of each one's tier."""
    return "\nUNION ALL ".join(
        source.sql(columns.replace("{tag}", str(TAGS[source.width_s])), series, of) for source in sources
    )


def either(attempts: Sequence[Source], columns: str, series: str) -> str:
    """The rows of sources of single attempts, in one go where none of them leaves any out."""
    if any(source.only is not None for source in attempts):
        return f"SELECT * FROM ({union(attempts, columns, series)})"
    times = " OR ".join(f"({source.condition})" for source in attempts)
    return f"SELECT {columns} FROM attempt WHERE ({times}) AND {series}"


def of_series(numbers: Sequence[int], *, every: bool) -> str:
    """The condition on `series_id`: one of so many, or any."""
    if every:
        return "TRUE"
    if len(numbers) <= SHORT_LIST:
        return f"series_id IN ({', '.join(map(str, numbers)) or 'NULL'})"
    return f"series_id IN (SELECT unnest([{', '.join(map(str, numbers))}]))"


def literal(instant: datetime) -> str:
    """An instant (UTC, naive) as its column has it, so that the comparison reads no more than it must.

    Attempts are kept in whole milliseconds: one within a millisecond stands for the next whole one.
    """
    up = instant + timedelta(microseconds=-instant.microsecond % 1000)
    return f"TIMESTAMP_MS '{up:%Y-%m-%d %H:%M:%S}.{up.microsecond // 1000:03}'"


def _pairs(pairs: Pairs) -> str:
    series, units = (", ".join(str(pair[place]) for pair in pairs) for place in (0, 1))
    return f"SELECT unnest([{series}]), unnest([{units}])"
