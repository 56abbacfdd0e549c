"""Judges a run against a baseline of several: regressed, improved, no change, or not enough data.

The run is the unit, not the request: requests of one run are alike, and runs differ with nothing changed, so
tests on single requests call that a regression. Each run tells one number (`run_readings`); the new one is
held against the mean of the baseline's in logarithms, with the scatter that its runs and their insides show
(`run_noise`). Over all endpoints and measures together a share `false_discovery` of what is told is expected
to be wrong (Benjamini and Hochberg 1995, Controlling the false discovery rate, J. R. Stat. Soc. B 57). The
median over endpoints is tested as a series of its own: what slows everything a little shows there first.

A series passes (`no_change`) only where a change as large as `effect` would have been told. Otherwise it is
`not_enough_data`, which is also what missing numbers, a baseline of 0 and percentiles on timeouts are.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from warehouse.analysis.baseline_series import (
    Compared,
    Series,
    compared,
    median_series,
    why_not,
)
from warehouse.analysis.requests import Bools, Floats
from warehouse.analysis.run_noise import CALM, RESTLESS, Prediction, Scatter, weights
from warehouse.analysis.run_readings import ERRORS, THROUGHPUT

FEWEST_ERRORS = 5
"""Fewer failures than these are chance, whatever the share."""

LEVEL = 0.05
"""Of the intervals of sizes: 95 %."""


class Verdict(StrEnum):
    """What became of one measure of one endpoint."""

    REGRESSED = "regressed"
    IMPROVED = "improved"
    NO_CHANGE = "no_change"
    NOT_ENOUGH_DATA = "not_enough_data"


@dataclass(frozen=True)
class Rules:
    """What counts: changes of a share `minimum` and of `floor_ms` (times) or of `share_floor` (errors).

    `effect` and `share_effect` are the changes that must not be missed: where they could be, there is not
    enough data for "no change".
    """

    minimum: float = 0.05
    floor_ms: float = 1.0
    effect: float = 0.2
    share_floor: float = 0.005
    share_effect: float = 0.01
    false_discovery: float = 0.05


@dataclass(frozen=True)
class Finding:
    """How one measure of one endpoint (empty: the median over endpoints) compares.

    `baseline` is the level of its runs: the mean of their numbers in logarithms, of shares the plain one;
    never a percentile of pooled requests. `size` is relative to it, of shares of errors the difference, with
    the 95 % interval `low` to `high` that another run with nothing changed would blur it by. `detectable` is
    the least such size that would have been told. `p` is None where nothing was tested.
    """

    endpoint: str
    measure: str
    unit: str
    verdict: Verdict
    why: str
    baseline: float | None
    now: float | None
    now_is_above: bool
    size: float | None
    low: float | None
    high: float | None
    detectable: float | None
    p: float | None
    n_now: int
    n_baseline: int
    runs: int


@dataclass(frozen=True)
class Tested:
    """The numbers of C series: differences, p-values, reach of the interval and of the test."""

    series: Sequence[Compared]
    p: Floats
    interval: Floats
    reach: Floats


def judge(series: Sequence[Series], rules: Rules | None = None) -> list[Finding]:
    """Every series, and the median over endpoints of each percentile, in that order."""
    rules = rules or Rules()
    reasons = [why_not(each) for each in series]
    usable = [compared(each) for each, reason in zip(series, reasons, strict=True) if not reason]
    usable += median_series(usable)
    times = [each for each in usable if each.measure != ERRORS]
    shares = [each for each in usable if each.measure == ERRORS]
    level = LEVEL / max(1, len(usable))
    tested = [_of_times(times, level), _of_shares(shares, level)]
    told = np.concatenate([each.p for each in tested])
    is_told = discoveries(told, rules.false_discovery)
    found: dict[tuple[str, str], Finding] = {}
    for part, told_of in zip(tested, (is_told[: len(times)], is_told[len(times) :]), strict=True):
        for place, one in enumerate(part.series):
            told_one = bool(told_of[place])
            found[one.endpoint, one.measure] = _finding(part, place, is_told=told_one, rules=rules)
    for given, reason in zip(series, reasons, strict=True):
        if reason:
            found[given.endpoint, given.measure] = untested(given, reason)
    order = [(given.endpoint, given.measure) for given in series]
    return [found[key] for key in dict.fromkeys([*order, *found])]


def discoveries(p: Floats, level: float) -> Bools:
    """Which hypotheses are rejected by Benjamini and Hochberg's step-up rule."""
    order = np.argsort(p, kind="stable")
    passing = np.flatnonzero(p[order] <= level * np.arange(1, len(p) + 1) / max(1, len(p)))
    rejected = np.zeros(len(p), dtype=np.bool_)
    if len(passing):
        rejected[order[: passing[-1] + 1]] = True
    return rejected


def untested(series: Series, why: str) -> Finding:
    """A series of which too little is known to test anything."""
    now, level = series.now, series.level()
    return Finding(
        endpoint=series.endpoint,
        measure=series.measure,
        unit=series.unit,
        verdict=Verdict.NOT_ENOUGH_DATA,
        why=why,
        baseline=level,
        now=now.value,
        now_is_above=now.is_above,
        size=None,
        low=None,
        high=None,
        detectable=None,
        p=None,
        n_now=now.n,
        n_baseline=sum(each.n for each in series.baseline),
        runs=len(series.usable()),
    )


def _of_times(series: Sequence[Compared], level: float) -> Tested:
    """Percentiles and throughput, in logarithms: they share what is known of the noise."""
    endpoints = len({each.endpoint for each in series if each.endpoint})
    scatter = Scatter(
        _column([each.between for each in series]),
        _column([each.within for each in series]),
        _column([each.runs - 1 for each in series]),
    )
    chances = weights(scatter, CALM, endpoints) if series else np.zeros((0, 1))
    return _tested(series, chances, np.ones(len(series)), level)


def _of_shares(series: Sequence[Compared], level: float) -> Tested:
    """Shares of errors, each relative to its own scale, with a correction for counting in whole errors."""
    scale = _column([each.scale for each in series])
    scatter = Scatter(
        _column([each.between for each in series]) / scale**2,
        _column([each.within for each in series]) / scale**2,
        _column([each.runs - 1 for each in series]),
    )
    chances = weights(scatter, RESTLESS, 1) if series else np.zeros((0, 1))
    return _tested(series, chances, scale, level)


def _tested(series: Sequence[Compared], chances: Floats, scale: Floats, level: float) -> Tested:
    if not series:
        return Tested(series, np.zeros(0), np.zeros(0), np.zeros(0))
    runs = _column([each.runs for each in series])
    within = _column([each.within_difference for each in series]) / scale**2
    predicted = Prediction.make(chances, runs, within)
    differences = _column([each.difference for each in series])
    corrected = np.maximum(np.abs(differences) - _column([each.step for each in series]), 0)
    return Tested(
        series,
        predicted.p_values(corrected / scale),
        predicted.reach(LEVEL) * scale,
        predicted.reach(level) * scale,
    )


def _column(values: Sequence[float]) -> Floats:
    return np.asarray(values, dtype=np.float64)


def _finding(tested: Tested, place: int, *, is_told: bool, rules: Rules) -> Finding:
    each = tested.series[place]
    difference, interval = each.difference, float(tested.interval[place])
    reach = float(tested.reach[place])
    is_share = each.measure == ERRORS

    def size_of(logarithm: float) -> float:
        return logarithm if is_share else math.expm1(logarithm)

    detectable = size_of(reach)
    if is_share:
        detectable = max(detectable + each.step, FEWEST_ERRORS / each.n_now, rules.share_floor)
    verdict, why = _verdict(each, size_of(difference), detectable, is_told=is_told, rules=rules)
    return Finding(
        endpoint=each.endpoint,
        measure=each.measure,
        unit=each.unit,
        verdict=verdict,
        why=why,
        baseline=each.baseline,
        now=each.now,
        now_is_above=each.now_is_above,
        size=size_of(difference),
        low=size_of(difference - interval),
        high=None if each.now_is_above else size_of(difference + interval),
        detectable=detectable,
        p=float(tested.p[place]),
        n_now=each.n_now,
        n_baseline=each.n_baseline,
        runs=each.runs,
    )


def _verdict(
    each: Compared, size: float, detectable: float, *, is_told: bool, rules: Rules
) -> tuple[Verdict, str]:
    """The verdict on a tested series, and why, where the numbers do not say it."""
    is_share = each.measure == ERRORS
    if each.now_is_above and not (is_told and size > 0):
        return Verdict.NOT_ENOUGH_DATA, "it falls on a request that timed out"
    if is_told:
        small = _too_small(each, size, rules)
        if small:
            return Verdict.NO_CHANGE, small
        if is_share and size > 0 and (each.now or 0.0) * each.n_now < FEWEST_ERRORS:
            return Verdict.NOT_ENOUGH_DATA, f"fewer than {FEWEST_ERRORS} errors may be chance"
        is_worse = (size < 0) == (each.measure == THROUGHPUT)
        return (Verdict.REGRESSED if is_worse else Verdict.IMPROVED), ""
    wanted = rules.share_effect if is_share else rules.effect
    if detectable > wanted:
        unit = "points" if is_share else "%"
        return (
            Verdict.NOT_ENOUGH_DATA,
            f"only a change of {100 * detectable:.2g} {unit} or more would be told, not {100 * wanted:.2g}",
        )
    return Verdict.NO_CHANGE, ""


def _too_small(each: Compared, size: float, rules: Rules) -> str:
    """Why a change that is certain does not count; empty where it does."""
    if each.measure == ERRORS:
        least = rules.share_floor
        return f"a change below {100 * least:g} points does not count" if abs(size) < least else ""
    if abs(size) < rules.minimum:
        return f"a change below {100 * rules.minimum:g} % does not count"
    if each.unit == "ms" and each.absolute < rules.floor_ms:
        return f"a change below {rules.floor_ms:g} ms does not count"
    return ""
