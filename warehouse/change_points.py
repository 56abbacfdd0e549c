"""Change points as they are found and told: of which series, when, from what to what, how surely."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from warehouse.analysis.together import Move
from warehouse.watched import SOURCES, Metric, Watched

NEAR_POINTS = 6
"""Change points so few points apart are one regression."""


class Verdict(StrEnum):
    """Which way a change went."""

    REGRESSION = "regression"
    IMPROVEMENT = "improvement"


@dataclass(frozen=True)
class Found:
    """A change point of a series: when (UTC, naive), from what to what, how sure, after how many points.

    Ratios are relative sizes; None where it was nothing before. Of shares of errors the interval is that
    of the difference, after less before. `looked_back`: found in what was measured before the series was
    watched. `since`: when the level before began, where a change that is known made it.
    """

    series: Watched
    metric: Metric
    at: datetime
    before: float
    after: float
    size: float | None
    low: float | None
    high: float | None
    confidence: float
    point_s: int | None
    points_after: int
    looked_back: bool = False
    low_difference: float | None = None
    high_difference: float | None = None
    since: datetime | None = None

    @property
    def verdict(self) -> Verdict:
        """Whether it got worse or better."""
        worse = self.metric.regressed(self.before, self.after)
        return Verdict.REGRESSION if worse else Verdict.IMPROVEMENT

    @property
    def near(self) -> timedelta:
        """How far from it other change points may lie that moved with it."""
        return timedelta(seconds=NEAR_POINTS * (self.point_s or 0))


def found_of(row: Mapping[str, Any]) -> Found | None:
    """The change point that a row of its table keeps; None of a series that is not watched in even steps."""
    source = SOURCES.get(row["kind"])
    metrics = () if source is None else source.metrics
    for metric in metrics:
        if metric.name == row["metric"]:
            return Found(
                Watched(row["kind"], row["target"], row["object"], row["metric"]),
                metric,
                row["ts"].replace(tzinfo=None),
                *(row[name] for name in ("before", "after", "size_ratio", "low_ratio", "high_ratio")),
                *(row[name] for name in ("confidence", "point_s", "points_after", "looked_back")),
                *(row[name] for name in ("low_difference", "high_difference")),
            )
    return None


@dataclass(frozen=True)
class Judged:
    """Up to which instant a target's series were judged; how many there are, how many of them have the
    points that are wanted, and how many the longest has.
    """

    kind: str
    target: str
    until: datetime
    series: int
    ready: int
    points: int
    wanted: int
    point_s: int | None


@dataclass(frozen=True)
class CoMovement:
    """A series that moved when one was found to; `share` of the difference `of_ms` that it may explain."""

    series: Watched
    unit: str
    move: Move
    share: float | None
    of_ms: float | None
