"""Between which durations a percentile lies, from what a database tells of its calls.

Of a group of calls a server may tell only the number n, the sum, the sum of squares, and bounds a and M
that no call lies beyond. How many of them can lie above a duration T is then bounded by

- Markov's inequality for X - a:   #(X > T) <= n (m - a) / (T - a)                       for T > a
- Cantelli's inequality:           #(X > T) <= n v / (v + (T - m)^2)                     for T > m
- the sum, split at T:             #(X >= T) >= n (m - T) / (M - T)                      for T < m
- Cantelli's for the other side:   #(X >= T) >= n (m - T)^2 / (v + (m - T)^2)            for T < m

with the mean m and the variance v. Bounds of groups add up. A percentile of rank r is at most T when at most
n - r calls lie above T, and at least T when at least n - r + 1 calls do not lie below it.
(Cantelli 1928; Marshall & Olkin, Inequalities, on the sharpness of one-sided bounds.)
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]

P95 = 0.95
STEPS = 80
ROUNDING = 1e-9
"""Relative error that sums of doubles may carry; bounds are widened by it."""


@dataclass(frozen=True)
class Bracket:
    """The truth lies from `low_us` to `high_us`; None: no upper bound is known."""

    low_us: float
    high_us: float | None


@dataclass(frozen=True)
class Groups:
    """Groups of calls, one element each; durations in µs. Unknown squares are infinite."""

    calls: Numbers
    total: Numbers
    squares: Numbers
    least: Numbers
    longest: Numbers

    @classmethod
    def of(cls, calls: Numbers, total: Numbers, squares: Numbers, least: Numbers, longest: Numbers) -> Groups:
        """Groups with what is unknown (NaN) replaced by what is sure: from 0 to the sum."""
        mean = total / calls
        least = np.where(calls == 1, total, np.nan_to_num(least, nan=0.0))
        longest = np.where(calls == 1, total, np.where(np.isnan(longest), total, longest))
        return cls(
            calls,
            total,
            np.where(np.isnan(squares), np.inf, squares),
            np.minimum(least, mean) * (1 - ROUNDING),
            np.maximum(longest, mean) * (1 + ROUNDING),
        )

    @property
    def mean(self) -> Numbers:
        """Mean duration of each group."""
        return self.total / self.calls

    @property
    def variance(self) -> Numbers:
        """Variance of each group, never below 0, a little more than rounding can hide."""
        square = self.mean**2
        return np.maximum(self.squares / self.calls - square, 0.0) + 4 * ROUNDING * square


def rank(n: int, share: float = P95) -> int:
    """The nearest rank of a percentile among n values: ceil(share * n)."""
    return math.ceil(round(share * n, 9))


def most_above(groups: Groups, limit: float) -> float:
    """No more calls than this took longer than `limit`."""
    over, away = limit - groups.least, limit - groups.mean
    variance = groups.variance
    with np.errstate(divide="ignore", invalid="ignore"):
        markov = np.where(over > 0, (groups.mean - groups.least) / over, 1.0)
        cantelli = np.where((away > 0) & np.isfinite(variance), variance / (variance + away**2), 1.0)
    share = np.clip(np.minimum(markov, cantelli), 0.0, 1.0)
    most = np.floor(groups.calls * share * (1 + ROUNDING) + ROUNDING)
    return float(np.where(limit >= groups.longest, 0.0, np.minimum(most, groups.calls)).sum())


def least_from(groups: Groups, limit: float) -> float:
    """No fewer calls than this took `limit` or longer."""
    short, room = groups.mean - limit, groups.longest - limit
    variance = groups.variance
    with np.errstate(divide="ignore", invalid="ignore"):
        split = np.where((short > 0) & (room > 0), short / room, 0.0)
        cantelli = np.where((short > 0) & np.isfinite(variance), short**2 / (variance + short**2), 0.0)
    share = np.clip(np.maximum(split, cantelli), 0.0, 1.0)
    least = np.ceil(groups.calls * share * (1 - ROUNDING) - ROUNDING)
    return float(np.where(limit <= groups.least, groups.calls, np.maximum(least, 0.0)).sum())


def bracket(groups: Groups, share: float = P95) -> Bracket:
    """Where the nearest rank of all calls lies. There must be at least one call."""
    n = int(groups.calls.sum())
    above = n - rank(n, share)
    top = float(groups.longest.max())
    high = _least_that(lambda limit: most_above(groups, limit) <= above, top)
    low = _greatest_that(lambda limit: least_from(groups, limit) >= above + 1, top)
    return Bracket(min(low, high), high)


def _least_that(holds: Callable[[float], bool], top: float) -> float:
    """The least limit found for which a condition holds that holds from somewhere up to `top` on."""
    low, high = 0.0, top
    for _ in range(STEPS):
        middle = (low + high) / 2
        low, high = (low, middle) if holds(middle) else (middle, high)
    return high


def _greatest_that(holds: Callable[[float], bool], top: float) -> float:
    """The greatest limit found for which a condition holds that holds from 0 up to somewhere."""
    low, high = 0.0, top
    for _ in range(STEPS):
        middle = (low + high) / 2
        low, high = (middle, high) if holds(middle) else (low, middle)
    return low


def of_seen(
    low: Numbers, high: Numbers, calls: Numbers, n: int, gap_us: float, share: float = P95
) -> Bracket:
    """Where the nearest rank of `n` calls lies, when only the long ones were seen.

    `calls` of them were seen to take from `low` to `high`. What took `gap_us`, the longest pause between
    two looks, or longer was seen for sure; what was not seen took less.
    """
    wanted = n - rank(n, share) + 1
    if calls.sum() < wanted:
        return Bracket(0.0, gap_us)
    return Bracket(_from_above(low, calls, wanted), max(gap_us, _from_above(high, calls, wanted)))


def of_histogram(low: Numbers, high: Numbers, calls: Numbers, share: float = P95) -> Bracket:
    """The bucket in which the nearest rank lies; an open bucket has an infinite `high`."""
    wanted = int(calls.sum()) - rank(int(calls.sum()), share) + 1
    top = _from_above(high, calls, wanted)
    return Bracket(_from_above(low, calls, wanted), top if math.isfinite(top) else None)


def _from_above(values: Numbers, calls: Numbers, wanted: int) -> float:
    """The value of the `wanted`-th largest call."""
    order = np.argsort(-values, kind="stable")
    place = int(np.searchsorted(np.cumsum(calls[order]), wanted, side="left"))
    return float(values[order][place])
