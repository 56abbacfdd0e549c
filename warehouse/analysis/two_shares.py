"""How much a share of failures differs between two spans of time, with the interval of the difference.

The interval is Newcombe's hybrid score interval (1998, Interval estimation for the difference between
independent proportions: comparison of eleven methods, Stat. Med. 17, method 10): the limits that Wilson's
score gives each share, put together. It holds where one share, or both, are 0.

Failures come together: within a point of time they are alike, so that a hundred attempts tell less than a
hundred. Each side counts as its number of attempts divided by its design effect (Rao and Scott 1992, A
simple method for the analysis of clustered binary data, Biometrics 48): the variance of the share as a
ratio over points (Cochran 1977, Sampling Techniques, 6.3), as many times as large as that of independent
attempts; at least 1. Likeness of one point and the next is not accounted for.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from warehouse.analysis.requests import Floats
from warehouse.analysis.robust import Z

FEWEST_POINTS = 5
"""Of fewer points the design effect is not known by themselves: the other side's counts too."""


@dataclass(frozen=True)
class Counted:
    """Failures and attempts of each point of a span."""

    failures: Floats
    attempts: Floats

    @property
    def n(self) -> float:
        """How many attempts there are."""
        return float(self.attempts.sum())

    @property
    def share(self) -> float:
        """The share of failures, over all points together."""
        return float(self.failures.sum()) / self.n

    @property
    def points(self) -> int:
        """Points that have any attempt."""
        return int((self.attempts > 0).sum())


@dataclass(frozen=True)
class Difference:
    """The share of a span less that of the one before, with its 95 % interval, and the design effects."""

    size: float
    low: float
    high: float
    effect_before: float
    effect_after: float


def difference(before: Counted, after: Counted) -> Difference | None:
    """How much the share of failures differs; None where either span has no attempts."""
    if not before.n or not after.n:
        return None
    own = [design_effect(before), design_effect(after)]
    effects = [
        max(own) if side.points < FEWEST_POINTS else effect
        for side, effect in zip((before, after), own, strict=True)
    ]
    low, high = newcombe(
        (after.share, after.n / effects[1]),
        (before.share, before.n / effects[0]),
    )
    return Difference(after.share - before.share, low, high, *effects)


def newcombe(one: tuple[float, float], other: tuple[float, float]) -> tuple[float, float]:
    """The 95 % interval of one share less another; each is a share and of how many, which may be a part."""
    (p, q), (low, high) = (one[0], other[0]), wilson(*one)
    other_low, other_high = wilson(*other)
    size = p - q
    return size - math.hypot(p - low, other_high - q), size + math.hypot(high - p, q - other_low)


def wilson(share: float, n: float) -> tuple[float, float]:
    """The 95 % score interval of a share of n (Wilson 1927), without a correction for continuity."""
    middle = share + Z**2 / (2 * n)
    reach = Z * math.sqrt(share * (1 - share) / n + Z**2 / (4 * n**2))
    total = 1 + Z**2 / n
    return max((middle - reach) / total, 0.0), min((middle + reach) / total, 1.0)


def design_effect(counted: Counted) -> float:
    """How many times as large the variance of the share is as of independent attempts; at least 1."""
    points, n, share = counted.points, counted.n, counted.share
    if points < 2 or not 0 < share < 1:
        return 1.0
    residuals = counted.failures - share * counted.attempts
    variance = points / (points - 1) * float(np.sum(residuals**2)) / n**2
    return max(1.0, variance / (share * (1 - share) / n))
