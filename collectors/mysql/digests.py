"""What the calls of one statement digest took between two looks: pure arithmetic over the server's rows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from warehouse.model import QueryLatency

PICOSECONDS = 1_000_000
"""In a microsecond: the unit of the server's timers."""

EXTENT = """
    SELECT now(6) AS perfhouse_watch, count(*), min(first_seen)
    FROM performance_schema.events_statements_summary_by_digest
"""
"""The server's clock, and what changes when the table is emptied."""

DIGESTS = """
    SELECT schema_name AS perfhouse_watch, digest, count_star, sum_timer_wait, min_timer_wait, max_timer_wait,
        sum_rows_sent, sum_rows_affected, sum_errors, sum_no_index_used, first_seen
    FROM performance_schema.events_statements_summary_by_digest
"""
SINCE = " WHERE last_seen >= %s"

TEXTS = """
    SELECT schema_name AS perfhouse_watch, digest, digest_text
    FROM performance_schema.events_statements_summary_by_digest
    WHERE digest IN %s
"""

HISTOGRAM = """
    SELECT bucket_timer_low AS perfhouse_watch, bucket_timer_high, count_bucket
    FROM performance_schema.events_statements_histogram_global
"""

SCHEMA, DIGEST, CALLS, TOTAL, LEAST, LONGEST, SENT, AFFECTED, ERRORS, UNINDEXED, FIRST_SEEN = range(11)
_MONOTONE = (CALLS, TOTAL, SENT, AFFECTED, ERRORS, UNINDEXED)

Row = Sequence[Any]


@dataclass
class Took:
    """The calls of one shape in one interval; durations in µs."""

    calls: int = 0
    total: float = 0.0
    least: float = math.inf
    known: float = 0.0
    ceiling: float = 0.0
    rows: int = 0
    errors: int = 0
    unindexed: int = 0
    is_partial: bool = False

    @property
    def longest(self) -> float | None:
        """The longest call, unless a longer one may hide where only a ceiling is known."""
        return self.known if self.known > 0 and self.known >= self.ceiling else None

    def add(self, earlier: Row | None, row: Row) -> None:
        """Add what one digest did since the earlier look.

        A digest that was not there before began with nothing. Of one that was reset only what came
        after is known.
        """
        is_reset = was_reset(earlier, row)
        before = None if is_reset else earlier
        grown = {column: int(row[column]) - (int(before[column]) if before else 0) for column in _MONOTONE}
        self.is_partial = self.is_partial or is_reset
        if grown[CALLS] <= 0:
            return
        duration, longest = grown[TOTAL] / PICOSECONDS, int(row[LONGEST]) / PICOSECONDS
        if grown[CALLS] == 1:
            self.known = max(self.known, duration)
            self.least = min(self.least, duration)
        else:
            self.least = min(self.least, int(row[LEAST]) / PICOSECONDS)
            if before is None or int(row[LONGEST]) > int(before[LONGEST]):
                self.known = max(self.known, longest)
            else:
                self.ceiling = max(self.ceiling, min(longest, duration))
        self.calls += grown[CALLS]
        self.total += duration
        self.rows += grown[SENT] + grown[AFFECTED]
        self.errors += grown[ERRORS]
        self.unindexed += grown[UNINDEXED]


def was_reset(earlier: Row | None, row: Row) -> bool:
    """Whether a digest's counters began anew between two looks."""
    return earlier is not None and (
        earlier[FIRST_SEEN] != row[FIRST_SEEN] or any(row[column] < earlier[column] for column in _MONOTONE)
    )


def histogram_growth(
    before: Sequence[Row] | None, rows: Sequence[Row], since: datetime, at: datetime, target: str
) -> list[QueryLatency]:
    """What came into each of the server's buckets between two looks; nothing where they were reset.

    Rows are (low, high, count) with bounds in picoseconds, as in MySQL 8's
    events_statements_histogram_global; its last bucket has no upper bound to speak of.
    """
    if before is None or [row[:2] for row in before] != [row[:2] for row in rows]:
        return []
    grown = [int(row[2]) - int(earlier[2]) for earlier, row in zip(before, rows, strict=True)]
    if any(count < 0 for count in grown):
        return []
    return [
        QueryLatency(
            at=at,
            since=since,
            target=target,
            database="",
            method="server_histogram",
            low_us=int(row[0]) / PICOSECONDS,
            high_us=None if place == len(rows) - 1 else int(row[1]) / PICOSECONDS,
            calls=count,
        )
        for place, (row, count) in enumerate(zip(rows, grown, strict=True))
        if count
    ]
