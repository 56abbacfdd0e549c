"""The size of a change told anew: by the same mathematics as at first, over more points."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from warehouse.analysis.anew import told_anew
from warehouse.analysis.changes import Change, find_changes
from warehouse.analysis.kinds import LATENCY, LIVE_LATENCY, LIVE_LATENCY_RULES, watch_of
from warehouse.analysis.requests import Floats
from warehouse.analysis.robust import Z
from warehouse.analysis.watch import Watch

LIVE = replace(LATENCY, rules=LIVE_LATENCY_RULES, spike=LIVE_LATENCY.spike)
PLAIN = replace(LIVE, season=replace(LIVE.season, day=0, drift=0.0), reach=1e9, correlated=False)
PLAIN = replace(PLAIN, vary=False)
"""Without season, spikes and correlation the regression is a difference of two means."""

STEP = 960


def noisy(*stretches: tuple[int, float], seed: int = 4) -> Floats:
    """So many points at each level, with noise of 5 %."""
    levels = np.concatenate([np.full(points, level) for points, level in stretches])
    return levels * np.exp(0.05 * np.random.default_rng(seed).standard_normal(len(levels)))


def anew(values: Floats, place: int = STEP, *, upwards: bool = True) -> Change:
    told = told_anew(values, place, LIVE, LIVE_LATENCY.apart, upwards=upwards)
    assert told is not None
    return told


def first_told(values: Floats) -> tuple[Watch, Change]:
    """A watch that has just told a change, and the change."""
    watch = watch_of("p95")
    for value in values:
        change = watch.update(None if np.isnan(value) else float(value))
        if change is not None:
            return watch, change
    raise AssertionError("nothing was told")


@pytest.mark.parametrize("factor", [1.5, 0.6])
def test_by_the_same_points_it_is_what_was_told_at_first(factor: float) -> None:
    watch, first = first_told(noisy((STEP, 20.0), (60, 20.0 * factor)))
    again = watch.again(first.place, len(watch), upwards=factor > 1)
    assert again is not None
    assert replace(again, place=first.place) == first


def test_size_and_interval_are_those_of_two_means_to_the_digit() -> None:
    """Two levels by turns 2 % above and below: means, errors and interval by hand."""
    turns = np.tile([0.02, -0.02], 500)[: STEP + 24]
    logs = turns + np.where(np.arange(len(turns)) < STEP, math.log(20.0), math.log(30.0))
    told = told_anew(np.exp(logs), STEP, PLAIN, 12, upwards=True)
    assert told is not None
    error = 0.02 * math.sqrt(1 / STEP + 1 / 24)
    assert (told.place, told.confidence) == (STEP, 1.0)
    assert told.before == pytest.approx(20.0, rel=1e-12)
    assert told.after == pytest.approx(30.0, rel=1e-12)
    assert told.size == pytest.approx(0.5, rel=1e-5)
    assert told.low == pytest.approx(math.expm1(math.log(1.5) - Z * error), rel=1e-4)
    assert told.high == pytest.approx(math.expm1(math.log(1.5) + Z * error), rel=1e-4)


def test_more_points_tell_the_size_that_the_first_ones_mixed() -> None:
    """Of the first points some are of the old level: what they tell is far too little."""
    mixed = noisy((STEP, 20.0), (4, 30.0), (60, 80.0))
    at_first, at_last = anew(mixed[: STEP + 8]), anew(mixed[: STEP + 24])
    assert at_first.after - at_first.before < 0.8 * 60
    assert at_last.after - at_last.before == pytest.approx(60, rel=0.1)
    assert at_last.low <= 3.0 <= at_last.high


def test_an_interval_narrows_with_points() -> None:
    values = noisy((STEP, 20.0), (24, 30.0))
    few, many = anew(values[: STEP + 8]), anew(values)
    assert many.high - many.low < 0.8 * (few.high - few.low)
    assert many.low <= 0.5 <= many.high


def test_what_is_hardly_a_change_any_more_is_measured_where_it_was_told() -> None:
    values = noisy((STEP, 20.0), (24, 20.2))
    assert find_changes(values, LIVE) == []
    told = anew(values)
    assert (told.place, abs(told.size) < 0.05) == (STEP, True)
    assert told.low < 0.01 < told.high
    assert told.confidence < 0.9


def test_the_level_is_that_up_to_where_it_changed_again() -> None:
    back = anew(noisy((STEP, 20.0), (12, 60.0), (12, 20.0)))
    assert back.after == pytest.approx(60, rel=0.05)
    further = anew(noisy((STEP, 60.0), (12, 20.0), (12, 60.0)), upwards=False)
    assert further.after == pytest.approx(20, rel=0.05)


def test_what_went_the_other_way_beside_it_is_not_taken_for_it() -> None:
    values = noisy((STEP - 10, 60.0), (10, 20.0), (10, 60.0))
    assert anew(values).size == pytest.approx(2.0, rel=0.15)
    assert anew(values, STEP - 10, upwards=False).size == pytest.approx(-2 / 3, rel=0.15)


def test_points_that_were_not_measured_stay_out() -> None:
    values = noisy((STEP, 20.0), (24, 30.0))
    values[STEP + 5 : STEP + 15 : 2] = np.nan
    told = anew(values)
    assert told.after == pytest.approx(30, rel=0.03)
    assert told.size == pytest.approx(0.5, abs=0.05)


@pytest.mark.parametrize("values", [np.full(1000, np.nan), np.full(1000, 5.0), noisy((40, 20.0))])
def test_too_few_values_tell_nothing(values: Floats) -> None:
    assert told_anew(values, STEP, LIVE, 12, upwards=True) is None


def test_where_nothing_lies_before_it_nothing_is_told() -> None:
    values = noisy((STEP, 20.0))
    values[:400] = np.nan
    assert told_anew(values, 400, LIVE, 12, upwards=True) is None
    assert told_anew(values, STEP + 5, LIVE, 12, upwards=True) is None


def test_a_watch_that_has_forgotten_the_place_tells_nothing() -> None:
    watch = Watch(LATENCY, LIVE_LATENCY, noisy((7000, 20.0)))
    watch.update(20.0)
    assert watch.again(100, len(watch), upwards=True) is None
    assert watch.again(6990, len(watch), upwards=True) is not None
