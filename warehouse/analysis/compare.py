"""Compares two load tests of one scenario: per endpoint and measure the difference, with a 95 % interval.

Percentiles are nearest ranks of corrected times over the steady phase that both runs have in common;
timeouts rank above every answer. Intervals come from a block bootstrap (`resampling`, which says what they
cover: chance within these two runs, not what differs from run to run). Of shares of errors the interval is
never narrower than Newcombe's for independent requests (Newcombe 1998, Interval estimation for the
difference between independent proportions, Stat. Med. 17, method 10), which knows that no error in n
requests is not a proof of none.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from warehouse.analysis.comparable import Side, why_not
from warehouse.analysis.criteria import Criterion, Metric
from warehouse.analysis.phases import Level, common_levels
from warehouse.analysis.requests import Floats, Percentile
from warehouse.analysis.resampling import (
    FEWEST_BLOCKS,
    REPLICATES,
    SEED,
    Blocks,
    Replicas,
    residuals_of,
    widened,
)
from warehouse.analysis.robust import Z
from warehouse.errors import InvalidInputError

PERCENTS = {"p50": 50, "p90": 90, "p95": 95, "p99": 99}


@dataclass(frozen=True)
class Difference:
    """How one measure of one endpoint (empty: all of them) differs: b less a.

    Times are in ms, errors a ratio, throughput requests per second. `a_above`: a lies above the number
    given. Without `enough` there is no interval, and `why` says why not; an end that is None has no bound.
    `tier` says what it stands on, `error_bound` how far a percentile may be off the nearest rank.
    """

    label: str
    measure: str
    unit: str
    a: float | None
    b: float | None
    a_above: bool
    b_above: bool
    difference: float | None
    low: float | None
    high: float | None
    relative: float | None
    n_a: int
    n_b: int
    enough: bool
    why: str
    method: str
    tier: str = "raw"
    error_bound: float = 0.0


@dataclass(frozen=True)
class Told:
    """One measure of one run: the number, over how many requests, and its replicates."""

    value: float | None
    n: int
    is_above: bool = False
    replicas: Floats = field(default_factory=lambda: np.zeros(0))
    why: str = ""


def compare(a: Side, b: Side) -> list[Difference]:
    """Every endpoint of both, all together first. Raises InvalidInputError where they cannot be compared."""
    reason = why_not(a, b)
    if reason:
        raise InvalidInputError(reason, field="b", hint="Compare ended runs of the same scenario and users.")
    levels = common_levels(a.steady, b.steady)
    cut_a = Blocks.cut(a.requests, [level.a for level in levels])
    cut_b = Blocks.cut(b.requests, [level.b for level in levels])
    drawn_a, drawn_b = Replicas(cut_a), Replicas(cut_b, SEED + 1)
    method = _method(levels, cut_a)
    found = []
    labels = [label for label in dict.fromkeys(a.labels.values()) if label in set(b.labels.values())]
    for label in ("", *labels):
        told_a = _told(_of(cut_a, a.labels, label), drawn_a)
        told_b = _told(_of(cut_b, b.labels, label), drawn_b)
        found += [_difference(label, name, told_a[name], told_b[name], cut_a, method) for name in told_a]
    return found


def _method(levels: Sequence[Level], blocks: Blocks) -> str:
    users = ", ".join(str(level.users) for level in levels)
    length_s = sum(level.length_s for level in levels)
    return (
        f"steady {length_s:.0f} s at {users} users; block bootstrap, {REPLICATES} replicates of "
        f"{len(blocks)} blocks"
    )


def _of(blocks: Blocks, labels: Mapping[int, str], label: str) -> Blocks:
    """The load's requests to one endpoint, or all of them."""
    return blocks.of([index for index, own in labels.items() if own == label]) if label else blocks


def _told(blocks: Blocks, replicas: Replicas) -> dict[str, Told]:
    """Every measure of one endpoint of one run."""
    own = blocks.requests
    times = replicas.percentiles(blocks, list(PERCENTS.values()))
    told = {
        name: _percentile(blocks, own.percentile(percent), values)
        for (name, percent), values in zip(PERCENTS.items(), times, strict=True)
    }
    return {
        **told,
        "mean": _mean(blocks, replicas),
        "errors": _ratio(
            blocks, replicas, own.error_ratio(), blocks.sums(own.is_failed.astype(float)), blocks.sums()
        ),
        "throughput": _ratio(
            blocks, replicas, len(own) / float(blocks.seconds.sum()), blocks.sums(), blocks.seconds
        ),
    }


def _percentile(blocks: Blocks, found: Percentile, values: Floats) -> Told:
    """Residuals are how many more requests of a block than of its level lie above the percentile."""
    if found.value is None or found.is_above:
        return Told(found.value, found.n, found.is_above, values)
    own = blocks.requests
    above = (own.corrected_us > found.value * 1000) & ~own.is_failed | own.is_timeout
    residuals = residuals_of(blocks, blocks.sums(above.astype(float)), blocks.sums(own.ranked.astype(float)))
    return Told(found.value, found.n, False, widened(values, found.value, blocks, residuals))


def _mean(blocks: Blocks, replicas: Replicas) -> Told:
    own = blocks.requests
    n = int(own.ranked.sum())
    if own.is_timeout.any():
        return Told(None, n, why=f"{int(own.is_timeout.sum())} requests timed out: their mean is not known")
    times = np.where(own.is_failed, 0.0, own.corrected_us / 1000)
    answered = blocks.sums((~own.is_failed).astype(float))
    return _ratio(blocks, replicas, own.mean_ms(), blocks.sums(times), answered, n)


def _ratio(
    blocks: Blocks,
    replicas: Replicas,
    estimate: float | None,
    above: Floats,
    below: Floats,
    n: int | None = None,
) -> Told:
    """A number that is one sum over the blocks divided by another."""
    n = len(blocks.requests) if n is None else n
    if estimate is None:
        return Told(None, n)
    values = replicas.ratio(above, below)
    return Told(estimate, n, False, widened(values, estimate, blocks, residuals_of(blocks, above, below)))


def _difference(label: str, measure: str, a: Told, b: Told, blocks: Blocks, method: str) -> Difference:
    unit = {"errors": "ratio", "throughput": "1/s"}.get(measure, "ms")
    why = _why(measure, a, b, blocks)
    known = a.value is not None and b.value is not None and not (a.is_above or b.is_above)
    difference = b.value - a.value if known and a.value is not None and b.value is not None else None
    low, high = (None, None) if why or difference is None else _interval(measure, a, b, difference)
    relative = difference / a.value if difference is not None and a.value else None
    return Difference(
        label=label,
        measure=measure,
        unit=unit,
        a=a.value,
        b=b.value,
        a_above=a.is_above,
        b_above=b.is_above,
        difference=difference,
        low=low,
        high=high,
        relative=relative,
        n_a=a.n,
        n_b=b.n,
        enough=not why,
        why=why,
        method=method,
    )


def _why(measure: str, a: Told, b: Told, blocks: Blocks) -> str:
    """Why there is no interval; empty where there is one."""
    if len(blocks) < FEWEST_BLOCKS:
        length_s = float(blocks.seconds.sum())
        return f"not enough samples: {length_s:.0f} s of steady phase, {FEWEST_BLOCKS} s are needed"
    for name, told in (("a", a), ("b", b)):
        needed = _needed(measure)
        if told.n < needed:
            return f"not enough samples: {told.n} of the {needed} that {measure} needs in {name}"
        if told.value is None:
            return told.why or f"nothing was measured in {name}"
        if told.is_above:
            return f"{measure} of {name} falls on requests that timed out"
    return ""


def _needed(measure: str) -> int:
    """As many as a criterion needs; shares of errors and throughput as many as a median."""
    metric = Metric(measure) if measure in PERCENTS else Metric.MEAN
    return Criterion("", metric, "<", 1, "s").enough


def _interval(measure: str, a: Told, b: Told, difference: float) -> tuple[float | None, float | None]:
    with np.errstate(invalid="ignore"):
        differences = np.sort(b.replicas - a.replicas)
    place = math.floor(0.025 * len(differences))
    low, high = float(differences[place]), float(differences[-1 - place])
    if measure == "errors":
        least, most = _newcombe(a, b)
        low, high = min(low, least), max(high, most)
    bounds = (min(low, difference), max(high, difference))
    return (bounds[0] if math.isfinite(low) else None, bounds[1] if math.isfinite(high) else None)


def _newcombe(a: Told, b: Told) -> tuple[float, float]:
    """Newcombe's interval of the difference of two shares, from Wilson's of each."""
    own, other = a.value or 0.0, b.value or 0.0
    (low_a, high_a), (low_b, high_b) = _wilson(own, a.n), _wilson(other, b.n)
    difference = other - own
    return (
        difference - math.hypot(other - low_b, high_a - own),
        difference + math.hypot(high_b - other, own - low_a),
    )


def _wilson(share: float, n: int) -> tuple[float, float]:
    """Wilson's interval of a share among n (Wilson 1927, J. Am. Stat. Assoc. 22)."""
    middle = (share + Z**2 / (2 * n)) / (1 + Z**2 / n)
    half = Z / (1 + Z**2 / n) * math.sqrt(share * (1 - share) / n + Z**2 / (4 * n**2))
    return middle - half, middle + half
