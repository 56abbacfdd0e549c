"""Change points of whole series and of growing ones: planted steps are found, and nothing else."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from bench.stable_series import DAY, latency
from warehouse.analysis.changes import find_changes, study, without_unshown
from warehouse.analysis.kinds import (
    CI,
    COUNTED,
    LATENCY,
    LIVE_LATENCY,
    LOAD_RUN,
    OTHER,
    setting_by_clock,
    watch_of,
)
from warehouse.analysis.robust import lag_correlation, running_median, winsorised
from warehouse.analysis.steps import gain_after_first
from warehouse.analysis.watch import Watch

Series = list[float | None]


def seasonal(step_at: int, factor: float) -> Series:
    """Six days with a daily wave of 35 % and noise of 5 %, times a factor from one point on."""
    random = np.random.default_rng(7)
    place = np.arange(6 * DAY)
    logs = 0.35 * np.sin(2 * np.pi * place / DAY) + 0.05 * random.standard_normal(len(place))
    values = 200 * np.exp(logs) * np.where(place >= step_at, factor, 1.0)
    return [float(value) for value in values]


def runs(n: int, step_at: int, factor: float) -> Series:
    """One value of each of n load tests."""
    noise = np.random.default_rng(3).standard_normal(n) * 0.02
    return [float(value) for value in 100 * np.exp(noise) * np.where(np.arange(n) >= step_at, factor, 1.0)]


@pytest.mark.parametrize("factor", [1.3, 0.7])
def test_a_step_in_a_seasonal_series_is_found_where_it_is(factor: float) -> None:
    (change,) = find_changes(seasonal(900, factor), LATENCY)
    assert abs(change.place - 900) <= 1
    assert change.low <= factor - 1 <= change.high
    assert change.low < change.size < change.high
    assert change.after / change.before == pytest.approx(factor, rel=0.03)
    assert change.confidence > 0.999


def test_the_levels_of_a_ramp_lie_outside_of_it() -> None:
    """Steps the same way that are one change: what lies between them is neither the one nor the other."""
    random = np.random.default_rng(9)
    level = np.concatenate([np.full(900, 20.0), np.full(20, 40.0), np.full(40, 80.0)])
    (change,) = find_changes(level * np.exp(0.03 * random.standard_normal(len(level))), LATENCY)
    assert 900 < change.place < 920
    assert change.before == pytest.approx(20, rel=0.02)
    assert change.after == pytest.approx(80, rel=0.02)
    assert change.after / change.before - 1 == pytest.approx(change.size, rel=0.05)


def test_season_bursts_and_gaps_are_no_changes() -> None:
    values = seasonal(0, 1.0)
    for place in (300, 301, 302, 700, 701, 702, 703):
        values[place] = 900.0
    values[1000:1060] = [None] * 60
    assert find_changes(values, LATENCY) == []


def test_a_step_behind_a_gap_is_found_at_the_first_point_after_it() -> None:
    values = seasonal(940, 1.5)
    values[900:960] = [None] * 60
    (change,) = find_changes(values, LATENCY)
    assert change.place == 960


def test_a_rest_day_is_no_change_though_it_was_never_seen() -> None:
    random = np.random.default_rng(5)
    place = np.arange(8 * DAY)
    weekend = np.where(place // DAY % 7 >= 5, 0.85, 1.0)
    values = 100 * weekend * np.exp(0.04 * random.standard_normal(len(place)))
    assert find_changes([float(value) for value in values], LATENCY) == []


def test_a_day_that_is_flatter_at_weekends_is_no_change() -> None:
    """Two weeks whose weekends have less than half of the wave; live from the tenth day on."""
    random = np.random.default_rng(11)
    place = np.arange(14 * DAY)
    hours = place % DAY / DAY * 24
    wave = 0.4 * np.exp(-(((hours - 14) / 4.5) ** 2)) * np.where(place // DAY % 7 >= 5, 0.45, 1.0)
    values = 80 * np.exp(wave + 0.04 * random.standard_normal(len(place)))
    assert find_changes(values, LATENCY) == []
    watch = Watch(LATENCY, LIVE_LATENCY, values[: 9 * DAY])
    assert [watch.update(float(value)) for value in values[9 * DAY :]] == [None] * (5 * DAY)
    undamped = replace(LATENCY, season=replace(LATENCY.season, damped=1e-3))
    assert len(find_changes(values, undamped)) >= 2, "a season without it takes that for changes"


def test_scale_does_not_matter() -> None:
    values = runs(60, 30, 1.2)
    thousandfold = [None if value is None else value * 1000 for value in values]
    here, there = find_changes(values, LOAD_RUN), find_changes(thousandfold, LOAD_RUN)
    assert [change.place for change in here] == [change.place for change in there] == [30]
    assert here[0].size == pytest.approx(there[0].size)


@pytest.mark.parametrize("setting", [LATENCY, LOAD_RUN, CI, OTHER])
@pytest.mark.parametrize("values", [[], [None] * 400, [5.0] * 400, [0.0] * 400, [1.0, 2.0]])
def test_nothing_is_found_where_nothing_can_be(setting, values: Series) -> None:  # type: ignore[no-untyped-def]
    assert find_changes(values, setting) == []


def test_a_series_of_zeros_that_starts_to_fail_changed() -> None:
    values: Series = [0.0] * 60 + [0.2, 0.21, 0.19, 0.2, 0.22, 0.2] * 10
    assert [change.place for change in find_changes(values, OTHER)] == [60]


SHARES = setting_by_clock(288, 1, COUNTED, counted=True)


def shares(seed: int, attempts: int, *parts: tuple[int, float]) -> np.ndarray:
    """Shares of errors, drawn in: so many points at each true share."""
    random = np.random.default_rng(seed)
    failed = np.concatenate([random.binomial(attempts, share, points) for points, share in parts])
    return np.asarray((failed + 0.5) / (attempts + 1))


@pytest.mark.parametrize("attempts", [24, 60, 300])
@pytest.mark.parametrize("share", [0.002, 0.01, 0.05])
def test_failures_that_come_one_by_one_are_no_change(attempts: int, share: float) -> None:
    """Where most points have none or one, that says nothing of how far the next may lie."""
    values = shares(2, attempts, (8 * 288, share))
    assert find_changes(values, SHARES) == []
    watch = Watch(SHARES, LIVE_LATENCY)
    assert [told for value in values if (told := watch.update(float(value)))] == []


@pytest.mark.parametrize(
    ("attempts", "before", "after"), [(24, 0.0, 0.1), (24, 0.002, 0.1), (60, 0.01, 0.08)]
)
def test_more_failures_are_told_within_two_hours(attempts: int, before: float, after: float) -> None:
    """Of an endpoint that never failed too, whose noise and its time of day nobody knows."""
    late = []
    for seed in range(5):
        values = shares(seed, attempts, (3 * 288, before), (100, after))
        watch = Watch(SHARES, LIVE_LATENCY, values[: 3 * 288])
        told = (watch.update(float(value)) for value in values[3 * 288 :])
        late.append(next(place for place, change in enumerate(told, 1) if change))
    assert max(late) <= 24, late
    assert sorted(late)[2] <= 15, late


def test_a_growing_seasonal_series_tells_a_step_once_and_soon() -> None:
    watch = watch_of("p95")
    told = [(now, watch.update(value)) for now, value in enumerate(seasonal(1100, 1.4))]
    ((now, change),) = [(now, change) for now, change in told if change]
    assert abs(change.place - 1100) <= 2
    assert now - 1100 <= 12
    assert change.size == pytest.approx(0.4, abs=0.1)


def test_a_growing_stable_series_tells_nothing() -> None:
    watch = watch_of("p95")
    values = latency(np.random.default_rng(1))
    assert len(values) == 8 * DAY
    assert [change for change in map(watch.update, values) if change] == []


def test_a_weak_step_is_told_late_and_once() -> None:
    random = np.random.default_rng(11)
    logs = 0.16 * random.standard_normal(5 * DAY) + 0.1 * (np.arange(5 * DAY) >= 3 * DAY)
    watch = watch_of("p95")
    told = [(now, watch.update(float(value))) for now, value in enumerate(100 * np.exp(logs))]
    ((now, change),) = [(now, change) for now, change in told if change]
    assert abs(change.place - 3 * DAY) <= 12
    assert now - change.place >= 48


def test_a_burst_is_not_told_while_points_arrive() -> None:
    values = seasonal(0, 1.0)
    values[1000:1004] = [900.0] * 4
    watch = watch_of("p95")
    assert [change for change in map(watch.update, values) if change] == []


def test_two_load_tests_astray_are_no_change() -> None:
    values = runs(60, 60, 1.0)
    values[30] = values[31] = 190.0
    assert find_changes(values, LOAD_RUN) == []


def test_a_load_test_that_got_slower_is_told_within_three_runs() -> None:
    watch = watch_of("loadrun")
    told = [(now, watch.update(value)) for now, value in enumerate(runs(60, 40, 1.3))]
    ((now, change),) = [(now, change) for now, change in told if change]
    assert change.place == 40
    assert now <= 42


def test_spikes_are_drawn_in_and_steps_stay() -> None:
    values = np.array([1.0, 1.1, 0.9, 1.0, 50.0, 1.1, 0.9, 1.0, 9.0, 9.1, 8.9, 9.0, 9.1, 8.9])
    drawn = winsorised(values, 5, 3.0)
    assert drawn[4] < 2
    assert drawn[8:].min() > 8
    assert running_median(np.array([1.0, 5.0, 2.0, 3.0]), 3).tolist() == [5.0, 2.0, 3.0, 2.0]


def test_the_correlation_is_told_through_a_step() -> None:
    random = np.random.default_rng(2)
    noise = np.zeros(4000)
    for place in range(1, 4000):
        noise[place] = 0.6 * noise[place - 1] + random.standard_normal()
    noise[2000:] += 20
    assert lag_correlation(noise) == pytest.approx(0.6, abs=0.05)


def correlated(seed: int) -> np.ndarray:
    """Six days of noise whose neighbours are much alike (0.8), logarithmic."""
    random = np.random.default_rng(seed)
    noise = np.zeros(6 * DAY)
    for place in range(1, len(noise)):
        noise[place] = 0.8 * noise[place - 1] + 0.02 * random.standard_normal()
    return noise


@pytest.mark.parametrize("seed", [3, 10, 14])
def test_a_shock_that_fades_in_correlated_noise_is_no_level(seed: int) -> None:
    """Of 13 standard deviations: told by its first point, it would be one."""
    noise = correlated(seed)
    noise[1200:] += 0.26 * 0.8 ** np.arange(len(noise) - 1200)
    values = 100 * np.exp(noise)

    def is_told(shown: float) -> bool:
        watch = Watch(LATENCY, replace(LIVE_LATENCY, shown=shown), values[:1190])
        return any(watch.update(float(value)) is not None for value in values[1190:1260])

    assert (is_told(0.0), is_told(LIVE_LATENCY.shown)) == (True, False)


def test_what_follows_the_first_point_of_a_step_is_its_gain_without_that_point() -> None:
    values = 100 * np.exp(correlated(1) + np.where(np.arange(6 * DAY) >= 1200, 0.2, 0.0))
    done = study(values, LATENCY)
    assert done is not None
    step = done.found.places.index(1200)
    columns = np.column_stack([done.seen.base, *(done.seen.step(place) for place in done.found.places)])
    columns, y = np.delete(columns, 1200, axis=0), np.delete(done.seen.y, 1200)
    place = done.seen.base.shape[1] + step
    others = np.delete(columns, place, axis=1)
    left = [
        float(((y - each @ np.linalg.lstsq(each, y, rcond=None)[0]) ** 2).sum()) for each in (others, columns)
    ]
    gain = gain_after_first(done.seen, done.found.places, step)
    assert gain == pytest.approx(left[0] - left[1])
    assert 30 < gain < done.found.gains[step]
    assert 1200 in without_unshown(done, LATENCY, gain - 1).found.places
    assert 1200 not in without_unshown(done, LATENCY, gain + 1).found.places


@pytest.mark.parametrize("every", [3, 5])
def test_two_steps_up_are_one_change_where_few_points_are_measured_too(every: int) -> None:
    noise = np.random.default_rng(every).standard_normal(2000) * 0.03
    level = np.select([np.arange(2000) < 1200, np.arange(2000) < 1330], [20.0, 40.0], 80.0)
    values = np.where(np.arange(2000) % every == 0, level * np.exp(noise), np.nan)
    changes = find_changes(values, LATENCY)
    assert changes[-1].after / changes[0].before == pytest.approx(4, rel=0.1)


def test_a_shock_is_no_level_though_another_step_lies_near() -> None:
    noise = correlated(9)
    noise[1200:] += 0.5 * 0.8 ** np.arange(len(noise) - 1200)
    noise[1240:] -= 0.3
    told = [change.place for change in find_changes(100 * np.exp(noise), LATENCY)]
    assert any(abs(place - 1240) <= 2 for place in told)
    assert not any(abs(place - 1200) <= 5 for place in told)


def test_what_undoes_a_shock_is_no_improvement() -> None:
    noise = correlated(3)
    noise[1200:] += 0.35 * 0.8 ** np.arange(len(noise) - 1200)
    assert find_changes(100 * np.exp(noise), LATENCY) == []
