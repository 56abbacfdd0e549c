"""Runs against baselines of runs, simulated: how often nothing is called a change, and a change is found.

Each run's requests are lognormal with an autocorrelated logarithm; a level of each run's own is added. The
plain recipe (variance over runs shrunk towards 3 % as if eight runs had told it, Student's t) is judged on
the same runs.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from bench.regression import most_expected
from bench.report import Section
from warehouse.analysis.baseline import Verdict, discoveries, judge
from warehouse.analysis.baseline_series import Series, compared
from warehouse.analysis.requests import Floats, Requests
from warehouse.analysis.resampling import Blocks
from warehouse.analysis.run_readings import PERCENTS, Reading, readings

SEED = 20_261_129
ENDPOINTS = 6
COMPARISONS = 400
AT_ONCE = 50
PLAIN_RUNS = 8.0
MEDIAN_MS = 80.0

Told = Callable[[Sequence[Series]], set[tuple[str, str]]]
"""Which series of endpoint and measure are told as regressed or improved."""


@dataclass(frozen=True)
class Case:
    """One kind of runs: `noise` from run to run, of which a share `common` moves all endpoints alike."""

    runs: int = 3
    requests: int = 5000
    lag: float = 0.9
    spread: float = 0.3
    noise: float = 0.03
    common: float = 0.0

    def text(self) -> tuple[str, ...]:
        shared = {0.0: "each endpoint's own", 1.0: "the same for all"}[self.common]
        return (
            *(str(self.runs), f"{self.requests:,}", f"{self.lag:g}", f"{self.spread:g}"),
            f"{100 * self.noise:g} %, {shared}",
        )


CASES = (
    Case(),
    Case(common=1.0),
    Case(spread=0.2),
    Case(spread=0.5),
    Case(runs=10),
    Case(runs=1),
    Case(requests=1000),
    Case(noise=0.06),
    Case(noise=0.1),
)


@dataclass
class Score:
    """What was told of so many comparisons: any of nothing, and of which an endpoint that slowed by 20 %."""

    comparisons: int = 0
    false: int = 0
    found: dict[str, int] = field(default_factory=lambda: dict.fromkeys(PERCENTS, 0))
    tail: int = 0


def measure() -> Section:
    """Every case, the product's way and the plain one."""
    rows = []
    for case in CASES:
        scores = score(case, COMPARISONS, (ours, plain))
        for name, told in zip(("", "plain"), scores, strict=True):
            n = told.comparisons
            power = " / ".join(f"{told.found[measure] / n:.2f}" for measure in PERCENTS)
            rows.append(
                (
                    *(case.text() if not name else ("", "", "", "", "plain recipe")),
                    f"{told.false / n:.3f}",
                    f"{min(1.0, most_expected(told.false) / n):.3f}",
                    power,
                    f"{told.tail / n:.2f}",
                )
            )
    return Section(
        title="A run against its baseline",
        how=f"{COMPARISONS} comparisons a row of a run with a baseline, {ENDPOINTS} endpoints, p50, p95 and "
        "p99 of each and the median over endpoints: up to 21 tests, false discoveries at 5 %, at least 5 %. "
        "Spread is the standard deviation of the logarithm of one request (0.3: p95 is 1.6 times p50), lag "
        "its correlation with the request before. False: any of the tests called a change where nothing "
        "changed, with the one-sided 95 % bound of a Poisson count. Power: one endpoint of the six slows by "
        "20 %, and this percentile of it is told; tail: only its p95 and p99 do, and p95 is told. The plain "
        "recipe knows no scatter within a run.",
        verdict="Wanted for three runs of 5,000 requests, lag 0.9 and 3 %: false at most 0.05, p95 at least "
        "0.85. What differs by 6 % from run to run takes more than three runs to know.",
        header=(
            *("runs", "requests", "lag", "spread", "noise from run to run", "false", "at most (95 %)"),
            *("power p50 / p95 / p99", "tail"),
        ),
        rows=rows,
    )


def score(case: Case, comparisons: int, ways: Sequence[Told]) -> list[Score]:
    """Judge so many comparisons of a case in each of the ways."""
    random = np.random.default_rng(SEED)
    scores = [Score() for _ in ways]
    for _ in range(0, comparisons, AT_ONCE):
        for series in simulated(random, case, min(AT_ONCE, comparisons)):
            slow = [slowed(each, PERCENTS) if each.endpoint == "0" else each for each in series]
            tail = [slowed(each, ("p95", "p99")) if each.endpoint == "0" else each for each in series]
            for way, told in zip(ways, scores, strict=True):
                found = way(slow)
                told.comparisons += 1
                told.false += bool(way(series))
                told.tail += ("0", "p95") in way(tail)
                for name in PERCENTS:
                    told.found[name] += ("0", name) in found
    return scores


def slowed(series: Series, measures: Sequence[str] | dict[str, int], factor: float = 1.2) -> Series:
    """The series with its new run's number times a factor, if it is one of these measures."""
    if series.measure not in measures or series.now.value is None:
        return series
    now = series.now
    moved = Reading(now.value * factor if now.value else None, now.n, now.variance, now.lag)
    return Series(series.endpoint, series.measure, series.baseline, moved)


def simulated(random: np.random.Generator, case: Case, count: int) -> list[list[Series]]:
    """So many comparisons with nothing changed."""
    shape = (count, ENDPOINTS, case.runs + 1)
    logs = correlated(random, case.requests, shape, case.lag) * case.spread
    own, shared = random.standard_normal(shape), random.standard_normal((count, 1, case.runs + 1))
    logs += case.noise * (math.sqrt(1 - case.common) * own + math.sqrt(case.common) * shared)
    us = (MEDIAN_MS * 1000 * np.exp(logs)).astype(np.int64)
    return [
        [
            Series(str(endpoint), name, [run[name] for run in told[:-1]], told[-1][name])
            for endpoint in range(ENDPOINTS)
            for told in [[_told(us[:, place, endpoint, run]) for run in range(case.runs + 1)]]
            for name in PERCENTS
        ]
        for place in range(count)
    ]


def correlated(random: np.random.Generator, n: int, shape: tuple[int, ...], lag: float) -> Floats:
    """First-order autoregressions of variance 1, the n steps first."""
    found = random.standard_normal((n, *shape))
    for place in range(1, n):
        found[place] = lag * found[place - 1] + math.sqrt(1 - lag**2) * found[place]
    return np.asarray(found, dtype=float)


def _told(us: np.ndarray) -> dict[str, Reading]:
    n = len(us)
    at_s = np.linspace(0, 60, n, endpoint=False)
    never = np.zeros(n, dtype=np.bool_)
    requests = Requests(at_s, us, never, never, np.zeros(n, dtype=np.int64))
    return readings(Blocks.cut(requests, [((0.0, 60.0),)]))


def ours(series: Sequence[Series]) -> set[tuple[str, str]]:
    """As the product judges."""
    told = (Verdict.REGRESSED, Verdict.IMPROVED)
    return {(each.endpoint, each.measure) for each in judge(series) if each.verdict in told}


def plain(series: Sequence[Series]) -> set[tuple[str, str]]:
    """Variance over runs shrunk towards 3 %, Student's t."""
    numbers = [compared(each) for each in series]
    p = []
    for each in numbers:
        freedom = PLAIN_RUNS + each.runs - 1
        variance = (PLAIN_RUNS * 0.03**2 + (each.runs - 1) * each.between) / freedom
        p.append(_student(abs(each.difference) / math.sqrt(variance * (1 + 1 / each.runs)), freedom))
    told = discoveries(np.array(p), 0.05)
    return {
        (each.endpoint, each.measure)
        for each, is_told in zip(numbers, told, strict=True)
        if is_told and abs(math.expm1(each.difference)) >= 0.05
    }


def _student(t: float, freedom: float, steps: int = 400) -> float:
    """How likely Student's t is at least so far from 0, by the midpoint rule over its angle."""
    start = math.atan(t / math.sqrt(freedom))
    angles = start + (np.arange(steps) + 0.5) * (math.pi / 2 - start) / steps
    share = float(np.mean(np.cos(angles) ** (freedom - 1))) * (math.pi / 2 - start)
    whole = math.sqrt(math.pi) * math.exp(math.lgamma(freedom / 2) - math.lgamma((freedom + 1) / 2)) / 2
    return share / whole
