"""Whether a series moved at a moment: its level before and after, by medians of points, and how surely.

What the same hours of other days bring is no move: a load that falls every evening falls with whatever
happens then.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from warehouse.analysis.requests import Floats
from warehouse.analysis.robust import scatter

FEWEST = 3
"""Points that are needed on either side."""

MEDIAN_ERROR = math.sqrt(math.pi / 2)
"""How much larger the standard error of a median is than that of a mean, for normal values."""

LEAST_SPREAD = 0.01
"""Points of one level are taken to scatter by this share of it at least."""

COINCIDES, SMALLEST = 5.0, 0.1
"""A series moved if the difference is so many standard errors, and such a share of the level before."""


@dataclass(frozen=True)
class Move:
    """Medians before and after, their difference in standard errors, and the points on either side.

    `usual` is what of the difference other days have too; the score is that of the rest.
    """

    before: float
    after: float
    score: float
    points_before: int
    points_after: int
    usual: float = 0.0

    @property
    def rest(self) -> float:
        """The difference that other days do not have."""
        return self.after - self.before - self.usual

    @property
    def coincides(self) -> bool:
        """Whether the series moved, by more than it does by itself."""
        return abs(self.score) >= COINCIDES and abs(self.rest) > SMALLEST * abs(self.before)

    @property
    def error(self) -> float:
        """The standard error of the rest of the difference."""
        return abs(self.rest / self.score) if self.score else math.inf


def move(before: Floats, after: Floats) -> Move | None:
    """How a series moved between points before and after a moment; None where either has too few.

    Points may be NaN. The standard error stands on the larger scatter of the two sides.
    """
    before, after = before[np.isfinite(before)], after[np.isfinite(after)]
    if min(len(before), len(after)) < FEWEST:
        return None
    low, high = float(np.median(before)), float(np.median(after))
    spread = max(scatter(before), scatter(after), LEAST_SPREAD * max(abs(low), abs(high)), 1e-12)
    error = MEDIAN_ERROR * spread * math.sqrt(1 / len(before) + 1 / len(after))
    return Move(low, high, (high - low) / error, len(before), len(after))


def beyond(moved: Move, others: Sequence[Move]) -> Move:
    """A move without the usual one: the median of what the same hours of other days bring.

    How far that may be off is told by its own standard errors and by how the days differ, whichever is more.
    """
    known = [each for each in others if math.isfinite(each.error)]
    if not known:
        return moved
    by = np.array([each.after - each.before for each in known])
    usual = float(np.median(by))
    own = math.sqrt(float(np.mean([each.error**2 for each in known])))
    off = MEDIAN_ERROR * max(own, scatter(by)) / math.sqrt(len(known))
    rest = moved.after - moved.before - usual
    return replace(moved, usual=usual, score=rest / math.hypot(moved.error, off))
