"""How far a number of one run may lie from what the run would tell had it gone on: a block bootstrap.

A run's steady phase is cut into blocks of time, about BLOCKS of them, and replicates of the run are made
by drawing as many of its blocks with replacement (Carlstein 1986, The use of subseries values, Ann. Stat.
14; about 30 batches after Schmeiser 1982, Batch size effects, Oper. Res. 30). What requests of one block
share (a pause, a checkpoint, a slow minute) stays together, so that correlation shorter than a block is
honoured. What is left of it between neighbouring blocks widens the deviations by sqrt((1 + r) / (1 - r))
with the lag-1 correlation r of the blocks' residuals, where that is positive; that few blocks make a
bootstrap too narrow, by t / z * sqrt(n / (n - 1)) (Hesterberg 2015, What teachers should know about the
bootstrap, Am. Stat. 69).

It does not cover what differs from run to run (another process layout, caches, neighbours on the machine):
repeat runs to see that. Nor does it cover a trend within the phase.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from warehouse.analysis.requests import Floats, Ints, Requests, Span, whole_seconds
from warehouse.analysis.robust import Z

BLOCKS = 30
FEWEST_BLOCKS = 20
FEWEST_OF_A_LEVEL = 5
"""Blocks wanted, needed in all, and of each level of load."""

REPLICATES = 1000
SEED = 20_150_401
WIDTH = math.log(1.001)
"""Times are told apart in logarithmic classes of 0.1 % in replicates; in estimates they are exact."""

STRONGEST_LAG = 0.8
"""A correlation of neighbouring blocks above this is a trend, which no widening covers."""


@dataclass(frozen=True)
class Blocks:
    """A run's steady phase cut into blocks of time. Blocks of one level lie next to one another.

    `requests` are those of the phase, `block` says of each in which block it started. `seconds` is how
    long each block is, `level` which level of load it belongs to.
    """

    requests: Requests
    block: Ints
    seconds: Floats
    level: Ints

    @classmethod
    def cut(cls, requests: Requests, levels: Sequence[tuple[Span, ...]], blocks: int = BLOCKS) -> Blocks:
        """Cut the spans of each level into blocks of a second or longer, about `blocks` in all."""
        lengths = [sum(high - low for low, high in spans) for spans in levels]
        parts: list[Requests] = []
        numbers: list[Floats] = []
        seconds: list[float] = []
        level: list[int] = []
        for place, (spans, length_s) in enumerate(zip(levels, lengths, strict=True)):
            wanted = max(FEWEST_OF_A_LEVEL, round(blocks * length_s / sum(lengths)))
            count = max(1, min(wanted, whole_seconds(length_s)))
            own = requests.within(spans)
            numbers.append(len(level) + np.minimum(_since(own.at_s, spans) // (length_s / count), count - 1))
            parts.append(own)
            seconds += [length_s / count] * count
            level += [place] * count
        joined = Requests.joined(parts)
        block = np.concatenate(numbers).astype(np.int64) if numbers else np.zeros(0, dtype=np.int64)
        return cls(joined, block, np.array(seconds), np.array(level, dtype=np.int64))

    def of(self, endpoints: Sequence[int]) -> Blocks:
        """The same blocks with the requests of some endpoints."""
        kept = np.isin(self.requests.endpoint, endpoints)
        return Blocks(self.requests.where(kept), self.block[kept], self.seconds, self.level)

    def __len__(self) -> int:
        return len(self.seconds)

    def sums(self, values: Floats | None = None) -> Floats:
        """Requests of each block, or the sum of a number of each of them."""
        sums: Floats = np.bincount(self.block, weights=values, minlength=len(self)).astype(np.float64)
        return sums


@dataclass(frozen=True)
class Replicas:
    """How often each block is drawn in each replicate of a run: replicates x blocks."""

    blocks: Blocks
    seed: int = SEED
    count: int = REPLICATES

    @cached_property
    def drawn(self) -> Floats:
        """Each level's blocks are drawn from among themselves."""
        random = np.random.default_rng(self.seed)
        drawn = np.zeros((self.count, len(self.blocks)))
        for level in np.unique(self.blocks.level):
            own = np.flatnonzero(self.blocks.level == level)
            drawn[:, own] = random.multinomial(len(own), np.full(len(own), 1 / len(own)), size=self.count)
        return drawn

    def percentiles(self, blocks: Blocks, percents: Sequence[int]) -> list[Floats]:
        """Nearest ranks in ms, one array of replicates for each of `percents`; infinite for timeouts."""
        ranked = blocks.requests.ranked
        times = np.maximum(blocks.requests.corrected_us[ranked], 1)
        classes = np.floor(np.log(times) / WIDTH)
        classes[blocks.requests.is_timeout[ranked]] = np.inf
        known, place = np.unique(classes, return_inverse=True)
        if not len(known):
            return [np.full(len(self.drawn), np.nan) for _ in percents]
        flat = blocks.block[ranked] * len(known) + place
        counts = np.bincount(flat, minlength=len(blocks) * len(known)).reshape(len(blocks), len(known))
        upto = self.drawn @ np.cumsum(counts, axis=1).astype(np.float64)
        middles = np.exp((known + 0.5) * WIDTH) / 1000
        n = upto[:, -1]
        found = []
        for percent in percents:
            rank = np.maximum(1, np.ceil(np.round(n * percent / 100, 6)))
            values = middles[np.minimum((upto < rank[:, None]).sum(axis=1), len(known) - 1)]
            found.append(np.where(n > 0, values, np.nan))
        return found

    def ratio(self, above: Floats, below: Floats) -> Floats:
        """Sums over the drawn blocks, divided; NaN where there is nothing to divide by."""
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio: Floats = (self.drawn @ above) / (self.drawn @ below)
        return ratio


def widened(values: Floats, estimate: float, blocks: Blocks, residuals: Floats) -> Floats:
    """Replicates with their deviations from the estimate widened for few and for alike neighbours.

    `residuals` tell of each block how far it lies from its level's mean.
    """
    factor = small_sample(blocks) * math.sqrt(_inflation(blocks, residuals))
    with np.errstate(invalid="ignore"):
        wide: Floats = estimate + factor * (values - estimate)
    return wide


def small_sample(blocks: Blocks) -> float:
    """How much too narrow a bootstrap of the level with the fewest blocks is.

    Student's 97.5 % quantile is within 0.1 % of the series from 10 degrees of freedom on.
    """
    of_level = np.bincount(blocks.level)
    fewest, freedom = int(of_level.min()), len(blocks) - len(of_level)
    if fewest < 2 or freedom < 10:
        return math.inf
    return (Z + 2.4 / freedom + 2.8 / freedom**2) / Z * math.sqrt(fewest / (fewest - 1))


def residuals_of(blocks: Blocks, above: Floats, below: Floats) -> Floats:
    """How far `above` of each block lies from its level's share of `below`."""
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.bincount(blocks.level, weights=above) / np.bincount(blocks.level, weights=below)
    ratio = np.nan_to_num(ratio)
    residuals: Floats = above - ratio[blocks.level] * below
    return residuals


def _inflation(blocks: Blocks, residuals: Floats) -> float:
    """Variance of a mean of an AR(1) process, relative to that of independent values."""
    neighbours = blocks.level[1:] == blocks.level[:-1]
    power = float((residuals**2).sum())
    if power == 0:
        return 1.0
    lag = float((residuals[1:] * residuals[:-1])[neighbours].sum()) / power
    lag = min(max(lag, 0.0), STRONGEST_LAG)
    return (1 + lag) / (1 - lag)


def _since(at_s: Floats, spans: Sequence[Span]) -> Floats:
    """Seconds since the first span's start that lie within the spans."""
    since = np.zeros(len(at_s))
    before = 0.0
    for low, high in spans:
        inside = (at_s >= low) & (at_s < high)
        since[inside] = before + at_s[inside] - low
        before += high - low
    return since
