"""From looks at running queries to how long each execution took: pure arithmetic."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

STEP = 1.05
"""Bounds of durations are rounded outwards to powers of this."""

SLACK_US = 500.0
"""By how much later than a query's end its session may tell that it is idle."""


@dataclass(frozen=True, slots=True)
class Seen:
    """One session in one look; times are the server's, in µs. `until` is when an idle one ended its query."""

    database: int
    query_id: int | None
    started: int
    is_active: bool
    until: int | None


@dataclass(frozen=True, slots=True)
class Execution:
    """One execution that ended: whose it was, and within which bounds its duration lies, in µs."""

    database: int
    query_id: int | None
    low_us: float
    high_us: float


class Looks:
    """Compares each look with the one before. Sessions go by their process id."""

    def __init__(self) -> None:
        self._before: dict[int, Seen] = {}
        self._looked = 0

    def look(self, began: int, ended: int, sessions: Mapping[int, Seen]) -> list[Execution]:
        """Executions that ran in the look before and ended since then.

        What the sessions did was so at some moment between `began` and `ended`.
        """
        executions = []
        for pid, old in self._before.items():
            new = sessions.get(pid)
            if new is None or not new.is_active or new.started != old.started:
                executions.append(_ended(old, new, self._looked, ended))
        self._before = {pid: seen for pid, seen in sessions.items() if seen.is_active}
        self._looked = began
        return executions


def _ended(old: Seen, new: Seen | None, seen_at: int, gone_at: int) -> Execution:
    """Bounds of an execution's duration: its age when last seen, and the latest moment it can have ended."""
    low = seen_at - old.started
    high = gone_at - old.started
    if new is not None and new.started == old.started and new.until is not None:
        low = high = max(low, new.until - new.started)  # the session is idle and tells when it became so
    elif new is not None and new.started > old.started:
        high = min(high, new.started - old.started)  # it has begun another one since
    low = max(0, low)
    return Execution(old.database, old.query_id, max(0.0, low - SLACK_US), max(low, high))


def bucket(executions: Iterable[Execution]) -> dict[tuple[float, float], int]:
    """How many executions lie within which bounds, rounded outwards so that the bounds are few."""
    counts: dict[tuple[float, float], int] = {}
    for execution in executions:
        bounds = (_round_down(execution.low_us), _round_up(execution.high_us))
        counts[bounds] = counts.get(bounds, 0) + 1
    return counts


def _round_down(us: float) -> float:
    return 0.0 if us < 1 else STEP ** math.floor(math.log(us, STEP))


def _round_up(us: float) -> float:
    return float(STEP ** math.ceil(math.log(max(us, 1.0), STEP)))
