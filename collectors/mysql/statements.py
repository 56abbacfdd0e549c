"""What the calls of each statement digest took between two looks: pure arithmetic over the server's rows."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from collectors.names import clean_name
from collectors.sqltext import Dialect, QueryDigest, digest_query
from warehouse.model import QueryLatency, QueryShape, QueryStat

PICOSECONDS = 1_000_000
"""In a microsecond: the unit of the server's timers."""

DIGESTS = """
    SELECT schema_name, digest, digest_text, count_star, sum_timer_wait, min_timer_wait, max_timer_wait,
        sum_rows_sent, sum_rows_affected, sum_errors, sum_no_index_used, first_seen
    FROM performance_schema.events_statements_summary_by_digest
"""

SCHEMA, DIGEST, TEXT, CALLS, TOTAL, LEAST, LONGEST, SENT, AFFECTED, ERRORS, UNINDEXED, FIRST_SEEN = range(12)
_MONOTONE = (CALLS, TOTAL, SENT, AFFECTED, ERRORS, UNINDEXED)

HISTOGRAM = """
    SELECT bucket_timer_low, bucket_timer_high, count_bucket
    FROM performance_schema.events_statements_histogram_global
"""

Row = Sequence[Any]
Key = tuple[str, str]

_MANY = re.compile(r"\?\s*(,\s*\.\.\.)")
_ANY_LIST = re.compile(r"\(\s*\.\.\.\s*\)")
_OURS = re.compile(
    r"\bperformance_schema\b|\binformation_schema\b|^SHOW\b|^SET NAMES\b|`sys`|\bsys\.", re.IGNORECASE
)
"""The watching user's own statements: digests do not tell whose they are."""


@dataclass
class _Sum:
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


class Statements:
    """Remembers the digests' counters, and which shape each digest is."""

    def __init__(self, target: str) -> None:
        self._target = target
        self._before: Mapping[Key, Row] | None = None
        self._seen_at: datetime | None = None
        self._digests: dict[Key, QueryDigest | None] = {}
        self._told: set[tuple[str, str]] = set()
        self.resets = 0

    def take(self, rows: Iterable[Row], at: datetime) -> tuple[list[QueryShape], list[QueryStat]]:
        """New shapes, and what the calls since the previous look took. The first look only sets the mark."""
        present = {(str(row[SCHEMA] or ""), str(row[DIGEST] or "")): row for row in rows}
        before, since = self._before, self._seen_at
        self._before, self._seen_at = present, at
        self.resets = 0
        if before is None or since is None:
            return [], []
        sums: dict[tuple[str, str], _Sum] = {}
        for key, row in present.items():
            earlier = before.get(key)
            if row is earlier or (earlier is not None and _same(earlier, row)):
                continue
            digest = self._digest_of(key, row)
            if digest is not None:
                self.resets += _add(sums.setdefault((key[0], digest.shape), _Sum()), earlier, row)
        stats = [
            self._stat(database, shape, total, since, at)
            for (database, shape), total in sums.items()
            if total.calls > 0
        ]
        return self._new_shapes(sums, at), stats

    def _digest_of(self, key: Key, row: Row) -> QueryDigest | None:
        """The shape of a digest; None for those of the watching user."""
        if key not in self._digests:
            text = str(row[TEXT] or "")
            plain = _ANY_LIST.sub("(?)", _MANY.sub("?", text))
            self._digests[key] = None if _OURS.search(text) else digest_query(plain, Dialect.MYSQL)
        return self._digests[key]

    def _new_shapes(self, sums: Iterable[tuple[str, str]], at: datetime) -> list[QueryShape]:
        by_shape = {(key[0], digest.shape): digest for key, digest in self._digests.items() if digest}
        new = [used for used in sums if used not in self._told]
        self._told.update(new)
        return [
            QueryShape(
                at=at,
                target=self._target,
                database=clean_name(database) if database else "",
                shape=shape,
                category=by_shape[database, shape].category,
                query=by_shape[database, shape].query,
            )
            for database, shape in new
        ]

    def _stat(self, database: str, shape: str, total: _Sum, since: datetime, at: datetime) -> QueryStat:
        return QueryStat(
            at=at,
            since=since,
            target=self._target,
            database=clean_name(database) if database else "",
            shape=shape,
            calls=total.calls,
            total_us=total.total,
            min_us=total.least if math.isfinite(total.least) else None,
            max_us=total.longest,
            ceiling_us=max(total.known, total.ceiling),
            rows=total.rows,
            errors=total.errors,
            unindexed=total.unindexed,
            is_partial=total.is_partial,
        )


def _same(earlier: Row, row: Row) -> bool:
    return bool(earlier[CALLS] == row[CALLS] and earlier[FIRST_SEEN] == row[FIRST_SEEN])


def _add(total: _Sum, earlier: Row | None, row: Row) -> bool:
    """Add what one digest did since the earlier look; whether it had been reset in between.

    A digest that was not there before began with nothing. Of one that was reset only what came after
    is known.
    """
    is_reset = earlier is not None and (
        earlier[FIRST_SEEN] != row[FIRST_SEEN] or any(row[column] < earlier[column] for column in _MONOTONE)
    )
    from_nothing = earlier is None or is_reset
    grown = {column: int(row[column]) - (0 if from_nothing else int(earlier[column])) for column in _MONOTONE}  # type: ignore[index]
    if grown[CALLS] <= 0:
        return is_reset
    duration = grown[TOTAL] / PICOSECONDS
    longest = int(row[LONGEST]) / PICOSECONDS
    rose = from_nothing or int(row[LONGEST]) > int(earlier[LONGEST])  # type: ignore[index]
    if grown[CALLS] == 1:
        total.known = max(total.known, duration)
        total.least = min(total.least, duration)
    else:
        total.least = min(total.least, int(row[LEAST]) / PICOSECONDS)
        if rose:
            total.known = max(total.known, longest)
        else:
            total.ceiling = max(total.ceiling, min(longest, duration))
    total.calls += grown[CALLS]
    total.total += duration
    total.rows += grown[SENT] + grown[AFFECTED]
    total.errors += grown[ERRORS]
    total.unindexed += grown[UNINDEXED]
    total.is_partial = total.is_partial or is_reset
    return is_reset


def histogram_growth(
    before: Sequence[Row] | None, rows: Sequence[Row], since: datetime, at: datetime, target: str
) -> list[QueryLatency]:
    """What came into each of the server's buckets between two looks; nothing where they were reset.

    Rows are (low, high, count) with bounds in picoseconds, as in MySQL 8's
    events_statements_histogram_global; its last bucket has no upper bound to speak of.
    """
    if before is None or len(before) != len(rows):
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
