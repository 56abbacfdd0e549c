"""Whether a series moved at a moment: its level before and after, by medians of points, and how surely."""

from __future__ import annotations

import math
from dataclasses import dataclass

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
    """Medians before and after, their difference in standard errors, and the points on either side."""

    before: float
    after: float
    score: float
    points_before: int
    points_after: int

    @property
    def coincides(self) -> bool:
        """Whether the series moved, by more than it does by itself."""
        size = abs(self.after - self.before)
        return abs(self.score) >= COINCIDES and size > SMALLEST * abs(self.before)


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
