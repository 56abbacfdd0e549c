"""Straight pieces of a series: those of all splits tried one by one, and nothing where nothing changed."""

from __future__ import annotations

from itertools import combinations, pairwise

import numpy as np
import pytest

from warehouse.analysis.changes import Change, find_changes, study
from warehouse.analysis.kinds import OTHER, watch_of
from warehouse.analysis.pieces import Pieces, Sums, best_ways, criterion, find_breaks

LOOSE = Pieces(most=3, shortest=3, share=0.0)


def squares(at: np.ndarray, values: np.ndarray) -> float:
    """What the least-squares line leaves."""
    return float(np.sum((values - np.polyval(np.polyfit(at, values, 1), at)) ** 2))


def left_of_split(at: np.ndarray, values: np.ndarray, inner: tuple[int, ...], least: int) -> float:
    """What the lines of the pieces leave; infinite where one is too short."""
    ends = [0, *inner, len(values)]
    parts = list(pairwise(ends))
    if min(end - start for start, end in parts) < least:
        return np.inf
    return sum(squares(at[start:end], values[start:end]) for start, end in parts)


def correlated(random: np.random.Generator, n: int, lag: float) -> np.ndarray:
    """Noise of variance 1 whose neighbours are alike."""
    noise = random.standard_normal(n)
    for place in range(1, n):
        noise[place] = lag * noise[place - 1] + np.sqrt(1 - lag**2) * noise[place]
    return noise


def changes(values: np.ndarray) -> list[Change]:
    """Those of a series of any other kind."""
    return find_changes(values, OTHER)


def places(values: np.ndarray) -> list[int]:
    """Where a series of any other kind changed."""
    return [change.place for change in changes(values)]


@pytest.mark.parametrize("seed", range(8))
def test_the_best_ways_are_those_of_all_splits(seed: int) -> None:
    random = np.random.default_rng(seed)
    at = np.sort(random.choice(40, 17, replace=False)).astype(float)
    values = random.standard_normal(17).cumsum()
    ways = best_ways(Sums.make(at, values), 17, LOOSE)
    assert [len(way) for way in ways] == [2, 3, 4, 5]
    for count, way in enumerate(ways):
        inner = list(combinations(range(1, 17), count))
        best = min(inner, key=lambda split: left_of_split(at, values, split, least=3))
        assert way == [0, *best, 17]


def test_the_criterion_is_schwarz_by_the_likelihood() -> None:
    values = np.random.default_rng(1).standard_normal(30)
    at = np.arange(30.0)
    sums = Sums.make(at - at.mean(), values)
    one, two = left_of_split(at, values, (), 3), left_of_split(at, values, (12,), 3)
    likelihoods = [-15 * (np.log(2 * np.pi * left / 30) + 1) for left in (one, two)]
    gained = 2 * (likelihoods[1] - likelihoods[0]) - 3 * np.log(30)
    told = criterion(sums, [0, 30], 1.0) - criterion(sums, [0, 12, 30], 1.0)
    assert told == pytest.approx(gained, abs=1e-5)


def test_a_piece_has_its_share_of_points() -> None:
    assert [Pieces(5, 5, 0.05).least_of(points) for points in (20, 100, 101, 400)] == [5, 5, 6, 20]
    values = np.zeros(400)
    values[:10] = 5.0
    values += np.random.default_rng(2).standard_normal(400) * 0.1
    assert all(20 <= place <= 380 for place in places(values))


def test_a_step_and_a_bend_are_found_and_a_trend_is_no_change() -> None:
    random = np.random.default_rng(3)
    at = np.arange(240)
    noise = random.standard_normal(240)
    assert places(0.05 * at + noise) == []
    (step,) = places(0.05 * at + noise + 5 * (at >= 150))
    assert abs(step - 150) <= 1
    (bend,) = places(0.05 * at + noise - 0.5 * np.maximum(at - 100, 0))
    assert abs(bend - 100) <= 6


def test_unit_origin_and_sign_do_not_matter() -> None:
    at = np.arange(200)
    values = np.random.default_rng(4).standard_normal(200) + 4 * (at >= 60) - 3 * (at >= 130)
    found = places(values)
    assert len(found) == 2
    assert places(1e6 * values) == places(values - 1000) == places(-0.001 * values) == found
    larger, there = changes(100 + values), changes(1e6 * (100 + values))
    assert [change.size for change in there] == pytest.approx([change.size for change in larger])


def test_a_trend_goes_on_behind_a_gap() -> None:
    values = 0.3 * np.arange(200) + np.random.default_rng(5).standard_normal(200)
    values[80:140] = np.nan
    assert places(values) == []
    values[140:] += 12
    assert places(values) == [140]


def test_independent_noise_is_seldom_taken_for_a_change() -> None:
    random = np.random.default_rng(6)
    alarms = sum(bool(places(random.standard_normal(150))) for _ in range(100))
    assert alarms <= 10


def test_neighbours_alike_count_for_less() -> None:
    """By Schwarz's criterion without that, three in four such series and more are divided."""
    random = np.random.default_rng(7)
    strict = loose = 0
    for _ in range(60):
        values = correlated(random, 200, 0.6)
        sums = Sums.make((np.arange(200) - 99.5) / 200, values)
        ways = best_ways(sums, 200, Pieces(5, 5, 0.05))
        loose += len(min(ways, key=lambda way: criterion(sums, way, 1.0))) > 2
        strict += bool(find_breaks(np.arange(200), values, Pieces(5, 5, 0.05)))
    assert loose >= 45
    assert strict <= 14


@pytest.mark.parametrize(("lag", "least"), [(0.0, 0.92), (0.4, 0.85)])
def test_the_interval_holds_the_true_size(lag: float, least: float) -> None:
    """Nearly as often as it says where the correlation has to be told from the series."""
    random = np.random.default_rng(8)
    held = []
    for _ in range(200):
        values = 10 + 5 * (np.arange(160) >= 90) + correlated(random, 160, lag)
        held += [
            change.low <= 0.5 <= change.high for change in changes(values) if abs(change.place - 90) <= 2
        ]
    assert len(held) >= 195
    assert np.mean(held) >= least


def test_a_step_from_around_zero_has_a_sign() -> None:
    values = np.random.default_rng(9).standard_normal(160) + 4 * (np.arange(160) >= 80)
    (change,) = changes(values)
    assert 0 < change.low < change.size < change.high
    assert change.after - change.before == pytest.approx(4, abs=0.5)
    assert change.confidence > 0.999
    (back,) = changes(-values)
    assert back.high < 0
    assert (back.before, back.after) == pytest.approx((-change.before, -change.after))


def test_places_of_a_long_series_are_exact() -> None:
    at = np.arange(7000)
    values = np.random.default_rng(10).standard_normal(7000) + 8 * (at >= 3217) - 8 * (at >= 5003)
    assert places(values) == [3217, 5003]


def test_steps_without_noise_are_exact() -> None:
    values = np.repeat([3.0, 7.0, 2.0], [40, 25, 60])
    assert places(values) == [40, 65]
    assert [change.after for change in changes(values)] == pytest.approx([7.0, 2.0])


def test_two_values_astray_are_no_piece() -> None:
    values = np.random.default_rng(11).standard_normal(120)
    values[60:62] = 40.0
    assert places(values) == []


def test_a_growing_series_is_still_watched_for_steps() -> None:
    watch = watch_of("other")
    values = 100 + np.random.default_rng(12).standard_normal(90) + 30 * (np.arange(90) >= 60)
    (change,) = [change for change in map(watch.update, map(float, values)) if change]
    assert abs(change.place - 60) <= 2
    with pytest.raises(TypeError, match="straight pieces"):
        study(values, OTHER)
