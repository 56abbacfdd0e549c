"""What the calls of a statement took between two readings of its counters: pure arithmetic."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

Row = tuple[Any, ...]
"""One row of pg_stat_statements, its columns in the order of `COLUMNS`; times in milliseconds."""

COLUMNS = (
    *("dbid", "userid", "toplevel", "queryid", "calls", "total", "minimum", "maximum", "deviation", "rows"),
    *("blocks_hit", "blocks_read", "blocks_dirtied", "blocks_written", "temp_blocks", "io", "wal_bytes"),
    *("stats_since", "minmax_since"),
)
KEY = slice(0, 4)
CALLS, TOTAL, MINIMUM, MAXIMUM, DEVIATION, ROWS = range(4, 10)
IO = COLUMNS.index("io")
STATS_SINCE, MINMAX_SINCE = COLUMNS.index("stats_since"), COLUMNS.index("minmax_since")
COUNTS = tuple(range(ROWS, STATS_SINCE))
"""Rows, blocks, time of input and output, WAL: what simply adds up."""

_MONOTONE = (CALLS, TOTAL, *COUNTS)


@dataclass(slots=True)
class Took:
    """What calls took together, in milliseconds; `counts` are those of `COUNTS`, None where not told.

    No call took less than `least` (None: not known) or more than `ceiling`; `longest` is the longest one
    where it is known.
    """

    since: datetime
    calls: int
    total: float
    squares: float
    least: float | None
    longest: float | None
    ceiling: float
    counts: list[float | None]
    is_partial: bool

    def add(self, other: Took) -> None:
        """Count the other's calls too."""
        longest = [each.longest for each in (self, other) if each.longest is not None]
        unknown = [each.ceiling for each in (self, other) if each.longest is None]
        is_known = bool(longest) and max(longest) >= max(unknown, default=0.0)
        self.longest = max(longest) if is_known else None
        self.least = None if self.least is None or other.least is None else min(self.least, other.least)
        self.ceiling = max(self.ceiling, other.ceiling)
        self.since = min(self.since, other.since)
        self.calls += other.calls
        self.total += other.total
        self.squares += other.squares
        self.counts = [
            None if mine is None or theirs is None else mine + theirs
            for mine, theirs in zip(self.counts, other.counts, strict=True)
        ]
        self.is_partial = self.is_partial or other.is_partial


def was_reset(old: Row, new: Row) -> bool:
    """Whether the counters began anew: 17 and newer say so, and before that a counter falls.

    A reset that was followed by more calls than there were before is not seen before 17: then less is
    counted than was executed, never more.
    """
    if old[STATS_SINCE] != new[STATS_SINCE]:
        return True
    if any(new[at] is not None and old[at] is not None and new[at] < old[at] for at in _MONOTONE):
        return True
    return new[MINMAX_SINCE] is None and bool(new[MAXIMUM] < old[MAXIMUM])


def difference(old: Row | None, new: Row, since: datetime, *, is_partial: bool) -> Took | None:
    """What the calls since the old reading took; None where there was none.

    Without an old reading the statement is new: all its calls are since then. `is_partial`: some may
    have been forgotten in the meantime.
    """
    reset = old is not None and was_reset(old, new)
    base = None if old is None or reset else old
    calls = new[CALLS] - (base[CALLS] if base else 0)
    if calls <= 0:
        return None
    total = max(0.0, new[TOTAL] - (base[TOTAL] if base else 0.0))
    least, longest, ceiling = _bounds(base, new, calls, total)
    squares = _squares(new) - (_squares(base) if base else 0.0)
    return Took(
        since=since,
        calls=calls,
        total=total,
        # By the inequality of Cauchy and Schwarz, and because no call took longer than the ceiling.
        squares=max(total * total / calls, min(squares, total * ceiling)),
        least=least,
        longest=longest,
        ceiling=ceiling,
        counts=[
            None if new[at] is None else max(0, new[at] - ((base[at] or 0) if base else 0)) for at in COUNTS
        ],
        is_partial=is_partial or reset,
    )


def _bounds(base: Row | None, new: Row, calls: int, total: float) -> tuple[float | None, float | None, float]:
    """The shortest, the longest where known, and what none exceeded, of an interval's calls."""
    if calls == 1:
        return total, total, total
    if base is not None and base[MINMAX_SINCE] != new[MINMAX_SINCE]:
        return None, None, total  # extremes of calls before and after they were reset
    least = min(new[MINIMUM], total / calls)
    ceiling = max(total / calls, min(new[MAXIMUM], total))
    is_ours = base is None or new[MAXIMUM] > base[MAXIMUM]
    return least, ceiling if is_ours else None, ceiling


def _squares(row: Row) -> float:
    """The sum of the squared durations: calls * (variance + mean²), the deviation being the population's."""
    calls, total, deviation = row[CALLS], row[TOTAL], row[DEVIATION]
    return float(calls * deviation * deviation + total * total / calls) if calls else 0.0
