"""Series to compare with a baseline: one measure of one endpoint over runs, made into numbers to test."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from warehouse.analysis.resampling import STRONGEST_LAG
from warehouse.analysis.run_readings import ERRORS, PERCENTS, THROUGHPUT, Reading

FEWEST_ENDPOINTS = 3
"""The median over fewer endpoints tells nothing beside them."""

FEWEST_REQUESTS = 20
"""A share of errors or a rate stands on so many."""


def needed(measure: str) -> int:
    """Requests a run needs: a percentile stands on 10 beyond it."""
    return 1000 // (100 - PERCENTS[measure]) if measure in PERCENTS else FEWEST_REQUESTS


@dataclass(frozen=True)
class Series:
    """One measure of one endpoint: what each run of the baseline told, and the new one."""

    endpoint: str
    measure: str
    baseline: Sequence[Reading]
    now: Reading

    @property
    def unit(self) -> str:
        return {ERRORS: "ratio", THROUGHPUT: "1/s"}.get(self.measure, "ms")

    def usable(self) -> list[Reading]:
        """The baseline's runs with enough requests."""
        return [each for each in self.baseline if each.value is not None and each.n >= needed(self.measure)]

    def level(self) -> float | None:
        """The mean of its runs' numbers: in logarithms, of shares plainly; None without any."""
        values = [each.value for each in self.usable() if each.value is not None]
        if not values:
            return None
        if self.measure == ERRORS:
            return float(np.mean(values))
        return math.exp(float(np.mean(np.log(values)))) if min(values) > 0 else 0.0


def why_not(series: Series) -> str:
    """Why a series cannot be tested; empty where it can."""
    return next(_reasons(series), "")


def _reasons(series: Series) -> Iterator[str]:
    """What stands against a test, the first thing first."""
    now, usable, wanted = series.now, series.usable(), needed(series.measure)
    if not any(each.n for each in series.baseline):
        yield "nothing was measured in the baseline"
    if not usable:
        most = max((each.n for each in series.baseline), default=0)
        yield f"too few requests: {most} of the {wanted} that {series.measure} needs in the baseline"
    if now.value is None or not now.n:
        yield "nothing was measured"
    if now.n < wanted:
        yield f"too few requests: {now.n} of the {wanted} that {series.measure} needs"
    if any(each.is_above for each in usable):
        yield f"{series.measure} of the baseline falls on requests that timed out"
    if series.measure != ERRORS and not series.level():
        yield "the baseline is 0: no change relative to it can be told"
    if series.measure != ERRORS and not now.value:
        yield "it is 0: no change relative to the baseline can be told"
    if not any(each.variance is not None for each in (*usable, now)):
        yield "too short: its scatter within a run is not known"


@dataclass(frozen=True)
class Compared:
    """A series as numbers: in logarithms, shares of errors plainly.

    `difference` is the new run's less the mean of `runs` runs. `between` is the sample variance of those
    (0 of one), `within` the sampling variance of one run, `within_difference` that of the difference.
    `scale` is what a share is small or large beside, `step` half of what one error more or less makes.
    `absolute` is how large the difference is in ms. `values` are the baseline's, where no run is missing.
    """

    endpoint: str
    measure: str
    unit: str
    difference: float
    between: float
    within: float
    within_difference: float
    runs: int
    baseline: float | None
    now: float | None
    now_is_above: bool
    n_now: int
    n_baseline: int
    absolute: float = 0.0
    scale: float = 1.0
    step: float = 0.0
    values: tuple[float, ...] = ()


def compared(series: Series) -> Compared:
    """The numbers of a series that can be tested."""
    usable, now, is_share = series.usable(), series.now, series.measure == ERRORS
    numbers = [each.value for each in usable if each.value is not None]
    values = np.array(numbers if is_share else np.log(numbers), dtype=np.float64)
    own = now.value or 0.0
    total = sum(each.n for each in usable)
    scale, floor = 1.0, 0.0
    if is_share:
        failed = sum(each.n * value for each, value in zip(usable, numbers, strict=True)) + own * now.n
        scale = (failed + 0.5) / (total + now.n + 1)
        floor = scale * (1 - scale)
    of_one = max(_of_one_request((*usable, now)), floor)
    shares = [of_one / each.n for each in usable]
    level = series.level() or 0.0
    return Compared(
        endpoint=series.endpoint,
        measure=series.measure,
        unit=series.unit,
        difference=(own if is_share else math.log(own)) - float(values.mean()),
        between=float(values.var(ddof=1)) if len(values) > 1 else 0.0,
        within=float(np.mean(shares)),
        within_difference=of_one / now.n + float(np.sum(shares)) / len(shares) ** 2,
        runs=len(usable),
        baseline=level,
        now=now.value,
        now_is_above=now.is_above,
        n_now=now.n,
        n_baseline=total,
        absolute=abs(own - level),
        scale=scale,
        step=(1 / now.n + 1 / total) / 2 if is_share else 0.0,
        values=tuple(values.tolist()) if len(usable) == len(series.baseline) else (),
    )


def _of_one_request(readings: Sequence[Reading]) -> float:
    """The sampling variance of a run of one request, pooled over runs, widened for neighbouring blocks.

    A variance of n requests is n times smaller. Correlation of neighbouring blocks, which is 1 / blocks too
    small on average when estimated, widens it by (1 + r) / (1 - r), where that is positive.
    """
    known = [(each.variance * each.n, each.lag) for each in readings if each.variance is not None]
    lag = min(max(float(np.mean([lag for _, lag in known])), 0.0), STRONGEST_LAG)
    return float(np.mean([variance for variance, _ in known])) * (1 + lag) / (1 - lag)


def median_series(series: Sequence[Compared]) -> list[Compared]:
    """The median over endpoints of each percentile as a series of its own, where there are enough of them.

    Of each run it is the median of how far its endpoints lie from their own means. The sampling variance of
    a median of E is pi / (2 E) that of one.
    """
    told: dict[str, list[Compared]] = defaultdict(list)
    for each in series:
        if each.measure in PERCENTS and each.values and not each.now_is_above:
            told[each.measure].append(each)
    return [_median_of(own) for own in told.values() if len(own) >= FEWEST_ENDPOINTS]


def _median_of(series: Sequence[Compared]) -> Compared:
    values = np.array([each.values for each in series])
    medians = np.median(values - values.mean(axis=1, keepdims=True), axis=0)
    runs, share = values.shape[1], math.pi / 2 / len(series)
    difference = float(np.median([each.difference for each in series]))
    return Compared(
        endpoint="",
        measure=series[0].measure,
        unit="ms",
        difference=difference,
        between=float((medians**2).sum()) / (runs - 1) if runs > 1 else 0.0,
        within=share * float(np.mean([each.within for each in series])),
        within_difference=share * float(np.mean([each.within_difference for each in series])),
        runs=runs,
        baseline=None,
        now=None,
        now_is_above=False,
        n_now=sum(each.n_now for each in series),
        n_baseline=sum(each.n_baseline for each in series),
        absolute=float(np.median([each.absolute for each in series])),
    )
