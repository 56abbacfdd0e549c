"""Rows that wait in memory to become a batch: bounded, safe between threads."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable
from datetime import datetime, timedelta
from itertools import islice
from uuid import uuid4

from warehouse.model import (
    MAX_FUTURE,
    MAX_PAST,
    RECORDS,
    Attempt,
    Batch,
    DatabaseState,
    Event,
    Gap,
    GapReason,
    LockWait,
    QueryLatency,
    QueryShape,
    QueryStat,
    Sample,
    Version,
    now,
)

Measurement = Attempt | Sample | QueryStat | QueryLatency | LockWait
"""Rows that are lost measurements when they are lost."""

Row = Measurement | Gap | Event | QueryShape | DatabaseState | Version

DAEMON = "daemon"
"""The job under which the daemon tells of itself."""

MOST_ROWS = 100_000
"""Rows kept in memory while the spool cannot be written; beyond, the oldest are dropped and counted."""

MOST_MISSED = 2**31 - 1

_MARGIN = timedelta(minutes=1)


class Recorder:
    """Collects rows from every thread and hands them out as batches, in the order they came."""

    def __init__(self, source: str, most_rows: int = MOST_ROWS) -> None:
        self._source = source
        self._most_rows = most_rows
        self._rows: deque[Row] = deque()
        self._lock = threading.Lock()
        self.dropped = 0

    def __len__(self) -> int:
        return len(self._rows)

    def add(self, rows: Iterable[Row]) -> None:
        """Keep rows for the next batch."""
        with self._lock:
            self._rows.extend(rows)
            surplus = len(self._rows) - self._most_rows
            if surplus > 0:
                # The gap that tells of them takes a place too.
                self._drop(surplus + 1)

    def take(self, most: int) -> Batch | None:
        """The oldest rows as a batch; None when there are none."""
        with self._lock:
            rows = list(islice(self._rows, most))
            for _ in rows:
                self._rows.popleft()
        if not rows:
            return None
        by_kind: dict[str, tuple[Row, ...]] = {
            kind: tuple(row for row in rows if isinstance(row, record)) for kind, record in RECORDS.items()
        }
        by_kind["gaps"] = tuple(merge_gaps(row for row in rows if isinstance(row, Gap)))
        return Batch.model_validate({"batch_id": uuid4().hex, "source": self._source, **by_kind})

    def _drop(self, count: int) -> None:
        """Drop the oldest rows and put one gap in their place."""
        lost = [self._rows.popleft() for _ in range(count)]
        self.dropped += sum(isinstance(row, Measurement) for row in lost)
        missed = sum(rows_lost(row) for row in lost)
        if missed:
            first, last = span(lost)
            self._rows.appendleft(lost_gap(first, last, missed, GapReason.SPOOL_FULL))


def rows_lost(row: Row) -> int:
    """Measurements that are gone with this row: itself, or those whose absence it tells of.

    The time a clock stepped over may never have passed: nothing is lost with the word of it.
    """
    if isinstance(row, Gap):
        return 0 if row.reason is GapReason.CLOCK_STEP else row.missed
    return int(isinstance(row, Measurement))


def span(rows: Iterable[Row]) -> tuple[datetime, datetime]:
    """The first and last instant that the rows speak of."""
    rows = list(rows)
    return (
        min(row.at for row in rows),
        max(row.until if isinstance(row, Gap) else row.at for row in rows),
    )


def lost_gap(first: datetime, last: datetime, missed: int, reason: GapReason) -> Gap:
    """The daemon's gap for rows that were measured and then lost."""
    return Gap(
        at=held(first),
        until=held(max(first, last)),
        job=DAEMON,
        reason=reason,
        missed=min(missed, MOST_MISSED),
    )


def held(instant: datetime) -> datetime:
    """The instant, or the nearest one the warehouse takes, so that the word of a loss arrives."""
    present = now()
    return min(max(instant, present - MAX_PAST + _MARGIN), present + MAX_FUTURE - _MARGIN)


def merge_gaps(gaps: Iterable[Gap]) -> list[Gap]:
    """Gaps of one job and reason that follow one another, as one."""
    merged: dict[tuple[str, GapReason], list[Gap]] = {}
    for gap in gaps:
        run = merged.setdefault((gap.job, gap.reason), [])
        if run and run[-1].at <= gap.at <= run[-1].until:
            run[-1] = run[-1].model_copy(
                update={
                    "until": max(run[-1].until, gap.until),
                    "missed": min(run[-1].missed + gap.missed, MOST_MISSED),
                }
            )
        else:
            run.append(gap)
    return [gap for run in merged.values() for gap in run]
