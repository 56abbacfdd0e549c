"""Between which durations a percentile lies, from what a database tells of its calls.

Of a group of n calls a server may tell only the mean m, the mean square s, and bounds a and b that no call
lies beyond. With the variance v = s - m * m, how many of them lie above a duration T is then bounded by

- Markov's inequality for X - a:    #(X > T) <= n (m - a) / (T - a)                           for T > a
- Cantelli's inequality:            #(X > T) <= n v / (v + (T - m)^2)                         for T > m
- the mean of (b - X)(T - X):       #(X <= T) >= n (s - (b + T) m + b T) / ((b - a)(T - a))   for a < T < b
- the mean, split at T:             #(X >= T) >= n (m - T) / (b - T)                          for T < m
- Cantelli's for the other side:    #(X >= T) >= n (m - T)^2 / (v + (m - T)^2)                for T < m
- the mean of (X - a)(X - T):       #(X >= T) >= n (s - (a + T) m + a T) / ((b - a)(b - T))   for a < T < b

The means of the two products bound because each product is at most 0 on one side of T, and at most the
divisor on the other. Bounds of groups add up. A percentile of rank r is at most T when at most n - r calls
lie above T, and at least T when at least n - r + 1 calls do not lie below it.
(Cantelli 1928; Marshall & Olkin, Inequalities, on the sharpness of one-sided bounds.)
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]
Places = NDArray[np.int64]

P95 = 0.95
STEPS = 40
FINEST = 1e-9
"""How finely a bound is looked for, relative to the longest call there can have been."""

ROUNDING = 1e-9
"""Relative error that sums of doubles may carry; bounds are widened by it."""

SQUARES_ROUNDING = 1e-6
"""Relative error of sums of squares: they are differences of sums over a server's whole life."""


@dataclass(frozen=True)
class Bracket:
    """The truth lies from `low_us` to `high_us`; None: no upper bound is known."""

    low_us: float
    high_us: float | None


@dataclass(frozen=True)
class Groups:
    """Groups of calls, one element each; durations in µs.

    Of each group at least one call took `known` or longer.
    """

    calls: Numbers
    mean: Numbers
    square: Numbers
    variance: Numbers
    least: Numbers
    longest: Numbers
    known: Numbers

    @classmethod
    def of(
        cls,
        calls: Numbers,
        total: Numbers,
        squares: Numbers,
        least: Numbers,
        longest: Numbers,
        known: Numbers | None = None,
    ) -> Groups:
        """Groups with what is unknown (NaN) replaced by what is sure: durations from 0 to the sum.

        Squares that are unknown are at least what equal calls would have, and at most infinite.
        """
        mean = total / calls
        least = np.where(calls == 1, total, np.nan_to_num(least, nan=0.0))
        longest = np.where(calls == 1, total, np.where(np.isnan(longest), total, longest))
        square = squares / calls
        return cls(
            calls,
            mean,
            np.where(np.isnan(square), mean**2, np.maximum(square * (1 - SQUARES_ROUNDING), mean**2)),
            np.where(np.isnan(square), np.inf, np.maximum(square - mean**2, 0.0) + SQUARES_ROUNDING * square),
            np.minimum(least, mean) * (1 - ROUNDING),
            np.maximum(longest, mean) * (1 + ROUNDING),
            mean if known is None else np.where(np.isnan(known), mean, known),
        )


def rank(n: int, share: float = P95) -> int:
    """The nearest rank of a percentile among n values: ceil(share * n)."""
    return math.ceil(round(share * n, 9))


def most_above(groups: Groups, limit: Numbers) -> Numbers:
    """No more calls than this of each group took longer than its `limit`."""
    least, mean, longest, variance = groups.least, groups.mean, groups.longest, groups.variance
    over, away = limit - least, limit - mean
    with np.errstate(divide="ignore", invalid="ignore"):
        markov = np.where(over > 0, (mean - least) / over, 1.0)
        cantelli = np.where((away > 0) & np.isfinite(variance), variance / (variance + away**2), 1.0)
        middle = (groups.square - (longest + limit) * mean + longest * limit) / ((longest - least) * over)
        product = np.where((over > 0) & (limit < longest), 1 - middle, 1.0)
    share = np.clip(np.minimum(np.minimum(markov, cantelli), product), 0.0, 1.0)
    most = np.floor(groups.calls * share * (1 + ROUNDING) + ROUNDING * (1 + groups.calls))
    return np.where(limit >= longest, 0.0, np.minimum(most, groups.calls))


def least_from(groups: Groups, limit: Numbers) -> Numbers:
    """No fewer calls than this of each group took its `limit` or longer."""
    least, mean, longest, variance = groups.least, groups.mean, groups.longest, groups.variance
    short, room = mean - limit, longest - limit
    with np.errstate(divide="ignore", invalid="ignore"):
        split = np.where((short > 0) & (room > 0), short / room, 0.0)
        cantelli = np.where((short > 0) & np.isfinite(variance), short**2 / (variance + short**2), 0.0)
        middle = (groups.square - (least + limit) * mean + least * limit) / ((longest - least) * room)
        product = np.where((limit > least) & (room > 0), middle, 0.0)
    share = np.clip(np.maximum(np.maximum(split, cantelli), product), 0.0, 1.0)
    sure = np.ceil(groups.calls * share * (1 - ROUNDING) - ROUNDING * (1 + groups.calls))
    sure = np.where(limit <= groups.known, np.maximum(sure, 1.0), sure)
    return np.where(limit <= least, groups.calls, sure)


def brackets(groups: Groups, places: Places, share: float = P95) -> list[Bracket]:
    """Where the nearest rank of all calls of each place lies. Places are numbered from 0; none is empty."""

    def summed(values: Numbers) -> Numbers:
        sums: Numbers = np.bincount(places, weights=values).astype(np.float64)
        return sums

    n = summed(groups.calls)
    above = n - np.array([rank(int(calls), share) for calls in n])
    top = np.zeros(len(n))
    np.maximum.at(top, places, groups.longest)
    high = _turning(lambda limit: summed(most_above(groups, limit[places])) > above, top)[1]
    low = _turning(lambda limit: summed(least_from(groups, limit[places])) > above, top)[0]
    return [Bracket(float(min(one, two)), float(two)) for one, two in zip(low, high, strict=True)]


def bracket(groups: Groups, share: float = P95) -> Bracket:
    """Where the nearest rank of all calls lies. There must be at least one call."""
    return brackets(groups, np.zeros(len(groups.calls), dtype=np.int64), share)[0]


def _turning(holds: Callable[[Numbers], NDArray[np.bool_]], top: Numbers) -> tuple[Numbers, Numbers]:
    """A limit for which a condition holds and one for which it does not, next to one another.

    The condition holds at 0 and not at `top`; in between it is halved on a logarithmic scale.
    """
    low, high = np.zeros_like(top), top.copy()
    for _ in range(STEPS):
        middle = np.sqrt(np.maximum(low, top * FINEST) * high)
        held = holds(middle)
        low, high = np.where(held, middle, low), np.where(held, high, middle)
    return low, high


def of_intervals(
    low: Numbers, high: Numbers, calls: Numbers, n: int | None = None, share: float = P95
) -> Bracket:
    """Where the nearest rank of n calls (all, unless told) lies, of which so many each took from low to high.

    This holds a histogram, and what was seen of running queries, of which those that were not seen took
    less than the longest pause between two looks. What has no upper bound has an infinite `high`.
    """
    n = int(calls.sum()) if n is None else n
    wanted = n - rank(n, share) + 1
    top = _from_above(high, calls, wanted)
    return Bracket(_from_above(low, calls, wanted), top if math.isfinite(top) else None)


def _from_above(values: Numbers, calls: Numbers, wanted: int) -> float:
    """The value of the `wanted`-th largest call."""
    order = np.argsort(-values, kind="stable")
    place = int(np.searchsorted(np.cumsum(calls[order]), wanted, side="left"))
    return float(values[order][place])
