"""What one run tells of an endpoint: percentiles, share of errors, requests per second, with scatter.

A run is a load test's steady phase or a stretch of time in which probes were sent. How far its number may
lie from what it would have been had the run gone on is told by blocks of time (`resampling`): requests of
one block are not independent, blocks nearly are. The share of requests above a percentile varies between
blocks as a ratio of sums does (Cochran 1977, Sampling Techniques, 6.3); the percentiles at that share more
and less turn it into a variance of the percentile's logarithm (Woodruff 1952, Confidence intervals for
medians and other position measures, J. Am. Stat. Assoc. 47).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from warehouse.analysis.requests import Floats, Requests, nearest_rank
from warehouse.analysis.resampling import FEWEST_BLOCKS, Blocks, residuals_of

PERCENTS = {"p50": 50, "p95": 95, "p99": 99}
ERRORS, THROUGHPUT = "errors", "throughput"


@dataclass(frozen=True)
class Reading:
    """One measure of one run: ms, a share, or requests per second; None where nothing was measured.

    `n` is over how many requests. `is_above`: the percentile falls on a timeout, the truth lies above.
    `variance` is the sampling variance within the run if its blocks were independent, of the logarithm
    (of a share: of itself), None where blocks are too few; `lag` is how alike neighbouring blocks are.
    """

    value: float | None
    n: int
    variance: float | None = None
    lag: float = 0.0
    is_above: bool = False


NOTHING = Reading(None, 0)


def readings(blocks: Blocks) -> dict[str, Reading]:
    """Every measure of the requests in a run's blocks."""
    told = {name: _percentile(blocks, percent) for name, percent in PERCENTS.items()}
    return {**told, ERRORS: _errors(blocks), THROUGHPUT: _throughput(blocks)}


def _percentile(blocks: Blocks, percent: int) -> Reading:
    own = blocks.requests
    found = own.percentile(percent)
    if found.value is None or found.is_above:
        return Reading(found.value, found.n, is_above=found.is_above)
    above = (own.corrected_us > found.value * 1000) & ~own.is_failed | own.is_timeout
    variance, lag = _of_ratio(blocks, blocks.sums(above.astype(float)), blocks.sums(own.ranked.astype(float)))
    if variance is None:
        return Reading(found.value, found.n)
    share = percent / 100
    deviation = math.sqrt(max(variance, share * (1 - share) / found.n))
    return Reading(found.value, found.n, _width(own, percent, deviation) ** 2, lag)


def _width(own: Requests, percent: int, deviation: float) -> float:
    """Half the distance between the percentiles a deviation (a share) more and less, in logarithms.

    Where the upper one falls on a timeout the distance to the lower one stands for it.
    """
    times = np.sort(own.corrected_us[~own.is_failed])
    n = len(times) + int(own.is_timeout.sum())
    low, high = percent / 100 - deviation, percent / 100 + deviation
    first, last = max(0, math.floor(low * n) - 1), min(n - 1, math.ceil(high * n) - 1)
    middle = nearest_rank(n, percent) - 1
    logs = np.log(np.maximum(times[[first, middle, min(last, len(times) - 1)]], 1))
    if last >= len(times):
        return float(logs[1] - logs[0])
    return float(logs[2] - logs[0]) / 2


def _errors(blocks: Blocks) -> Reading:
    own = blocks.requests
    share = own.error_ratio()
    variance, lag = _of_ratio(blocks, blocks.sums(own.is_failed.astype(float)), blocks.sums())
    return Reading(share, len(own), variance, lag)


def _throughput(blocks: Blocks) -> Reading:
    n, seconds = len(blocks.requests), float(blocks.seconds.sum())
    if not n or not seconds:
        return Reading(None if not seconds else 0.0, n)
    rate = n / seconds
    variance, lag = _of_ratio(blocks, blocks.sums(), blocks.seconds)
    return Reading(rate, n, None if variance is None else variance / rate**2, lag)


def _of_ratio(blocks: Blocks, above: Floats, below: Floats) -> tuple[float | None, float]:
    """The variance of one sum divided by another by independent blocks, and its residuals' correlation."""
    count, total = len(blocks), float(below.sum())
    if count < FEWEST_BLOCKS or not total:
        return None, 0.0
    residuals = residuals_of(blocks, above, below)
    power = float((residuals**2).sum())
    neighbours = blocks.level[1:] == blocks.level[:-1]
    lag = float((residuals[1:] * residuals[:-1])[neighbours].sum()) / power if power else 0.0
    return power * count / (count - 1) / total**2, lag
