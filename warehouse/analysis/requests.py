"""The requests of one load test as arrays: the ground that criteria, comparison and saturation stand on."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]
Chosen = Bools | NDArray[np.intp] | slice
"""Which elements: a mark on each, their places, or a slice."""

Span = tuple[float, float]
"""From when to before when, in seconds since the run's start."""


@dataclass(frozen=True)
class Percentile:
    """A nearest rank in ms over `n` requests; `is_above`: it falls on a timeout, the truth lies above."""

    value: float | None
    n: int
    is_above: bool = False


@dataclass(frozen=True)
class Requests:
    """One element a request, in any order. Setup, teardown and token requests are none of them.

    `at_s` is when it started, in seconds since the run's start; `corrected_us` runs from when it was due to
    its end. `is_timeout` implies `is_failed`.
    """

    at_s: Floats
    corrected_us: Ints
    is_failed: Bools
    is_timeout: Bools
    endpoint: Ints

    @classmethod
    def of_columns(
        cls, at_s: ArrayLike, corrected_us: ArrayLike, outcomes: ArrayLike, endpoint: ArrayLike
    ) -> Requests:
        """From columns; `outcomes` are the words of `warehouse.model.Outcome`."""
        words = np.asarray(outcomes)
        return cls(
            np.asarray(at_s, dtype=np.float64),
            np.asarray(corrected_us, dtype=np.int64),
            np.asarray(words != "ok"),
            np.asarray(words == "timeout"),
            np.asarray(endpoint, dtype=np.int64),
        )

    @classmethod
    def joined(cls, parts: Sequence[Requests]) -> Requests:
        """All of them, one after the other."""
        if not parts:
            return cls.of_columns([], [], np.array([], dtype=str), [])
        names = ("at_s", "corrected_us", "is_failed", "is_timeout", "endpoint")
        return cls(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))

    def __len__(self) -> int:
        return len(self.at_s)

    def where(self, kept: Chosen) -> Requests:
        return Requests(
            self.at_s[kept],
            self.corrected_us[kept],
            self.is_failed[kept],
            self.is_timeout[kept],
            self.endpoint[kept],
        )

    def of(self, endpoints: Sequence[int]) -> Requests:
        """Those of some endpoints."""
        return self.where(np.isin(self.endpoint, endpoints))

    def within(self, spans: Sequence[Span]) -> Requests:
        """Those that started within one of the spans."""
        kept = np.zeros(len(self), dtype=np.bool_)
        for low, high in spans:
            kept |= (self.at_s >= low) & (self.at_s < high)
        return self.where(kept)

    @property
    def ranked(self) -> Bools:
        """Those that percentiles stand on: answered as they should be, or timed out.

        What failed otherwise tells no latency of the endpoint.
        """
        ranked: Bools = ~self.is_failed | self.is_timeout
        return ranked

    def percentile(self, percent: int) -> Percentile:
        """The nearest rank of the corrected times; a timeout ranks above every answer."""
        return percentile(self.corrected_us[~self.is_failed], self.corrected_us[self.is_timeout], percent)

    def mean_ms(self) -> float | None:
        """The mean of the corrected times; None without any, and where a timeout hides one."""
        answered = self.corrected_us[~self.is_failed]
        return None if not len(answered) or self.is_timeout.any() else float(answered.mean()) / 1000

    def error_ratio(self) -> float | None:
        return float(self.is_failed.mean()) if len(self) else None


def nearest_rank(n: int, percent: int) -> int:
    """Which of n values in order the percentile is, counted from 1: ceil(n * percent / 100)."""
    return max(1, -(-n * percent // 100))


def percentile(answered: Ints, timeouts: Ints, percent: int) -> Percentile:
    """The nearest rank in ms of times in µs; where it falls on a timeout, how long that was waited for.

    That is a lower bound of the truth: at most rank - 1 requests can have taken less.
    """
    n = len(answered) + len(timeouts)
    if not n:
        return Percentile(None, 0)
    place = nearest_rank(n, percent) - 1
    if place < len(answered):
        return Percentile(float(np.partition(answered, place)[place]) / 1000, n)
    place -= len(answered)
    return Percentile(float(np.partition(timeouts, place)[place]) / 1000, n, is_above=True)


def whole_seconds(length_s: float) -> int:
    """Full seconds of a length, forgiving what adding up floats takes away."""
    return math.floor(length_s + 1e-6)
