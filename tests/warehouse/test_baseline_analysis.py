"""A run against baseline runs: changes are told, chance is not, and what is not known never passes."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.two_samples import Case, ours, score, slowed
from warehouse.analysis.baseline import Finding, Rules, Verdict, discoveries, judge
from warehouse.analysis.baseline_series import Series
from warehouse.analysis.requests import Requests
from warehouse.analysis.resampling import Blocks
from warehouse.analysis.run_noise import CALM, Prediction, Scatter, both_tails, weights
from warehouse.analysis.run_readings import ERRORS, NOTHING, PERCENTS, THROUGHPUT, Reading, readings


def reading(value: float | None, n: int = 5000, deviation: float = 0.02, *, above: bool = False) -> Reading:
    return Reading(value, n, deviation**2, 0.0, above)


def series(
    values: Sequence[float], now: float | None, measure: str = "p95", endpoint: str = "GET /"
) -> Series:
    return Series(endpoint, measure, [reading(value) for value in values], reading(now))


def one(given_: Series, rules: Rules | None = None) -> Finding:
    (found,) = judge([given_], rules)
    return found


CALM_RUNS = (100.0, 102.0, 98.5)


@pytest.mark.parametrize(
    ("measure", "now", "verdict"),
    [
        ("p95", 130.0, Verdict.REGRESSED),
        ("p95", 70.0, Verdict.IMPROVED),
        ("p95", 103.0, Verdict.NO_CHANGE),
        (THROUGHPUT, 70.0, Verdict.REGRESSED),
        (THROUGHPUT, 130.0, Verdict.IMPROVED),
    ],
)
def test_both_directions_are_told_and_throughput_regresses_downwards(
    measure: str, now: float, verdict: Verdict
) -> None:
    found = one(series(CALM_RUNS, now, measure))
    assert found.verdict is verdict
    assert found.baseline == pytest.approx(100.16, abs=0.01)
    assert found.size == pytest.approx(now / 100.16 - 1, abs=0.001)
    assert found.low is not None
    assert found.high is not None
    assert found.low < now / 100.16 - 1 < found.high
    assert (found.low > 0) == (now == 130.0)


def test_the_numbers_of_one_comparison_are_these() -> None:
    found = one(series(CALM_RUNS, 130.0))
    assert (found.n_now, found.n_baseline, found.runs, found.unit) == (5000, 15000, 3, "ms")
    assert found.low == pytest.approx(0.191, abs=0.02)
    assert found.high == pytest.approx(0.414, abs=0.02)
    assert found.p is not None
    assert found.p < 1e-3
    assert found.detectable == pytest.approx(0.09, abs=0.02)


@pytest.mark.parametrize(
    ("given_", "why"),
    [
        (series((0.0, 0.0, 0.0), 90.0), "the baseline is 0"),
        (series(CALM_RUNS, 0.0), "it is 0"),
        (series(CALM_RUNS, None), "nothing was measured"),
        (series((), 90.0), "nothing was measured in the baseline"),
        (Series("", "p95", [NOTHING, NOTHING], reading(9.0)), "nothing was measured in the baseline"),
        (Series("", "p95", [reading(9.0)] * 3, NOTHING), "nothing was measured"),
        (Series("", "p99", [reading(9.0)] * 3, reading(9.0, 999)), "too few requests: 999 of the 1000"),
        (Series("", "p95", [reading(9.0, 150)] * 3, reading(9.0)), "too few requests: 150 of the 200"),
        (Series("", "p95", [reading(9.0, above=True)] * 3, reading(9.0)), "timed out"),
        (Series("", "p95", [Reading(9.0, 500)] * 3, Reading(9.0, 500)), "too short"),
    ],
)
def test_what_is_not_known_is_a_state_of_its_own_and_never_passes(given_: Series, why: str) -> None:
    found = one(given_)
    assert found.verdict is Verdict.NOT_ENOUGH_DATA
    assert why in found.why
    assert (found.size, found.low, found.high, found.p) == (None, None, None, None)


def test_an_interval_wider_than_the_effect_asked_for_is_not_enough_data() -> None:
    wide = Series("", "p95", [reading(100.0, 1000, 0.1)] * 3, reading(104.0, 1000, 0.1))
    found = one(wide)
    assert found.verdict is Verdict.NOT_ENOUGH_DATA
    assert "or more would be told, not 20" in found.why
    assert found.detectable is not None
    assert found.detectable > 0.2
    assert one(wide, Rules(effect=0.6)).verdict is Verdict.NO_CHANGE


def test_a_new_run_whose_percentile_falls_on_a_timeout_regresses_only_where_the_deadline_says_so() -> None:
    runs = [reading(100.0), reading(101.0), reading(99.0)]
    slow = one(Series("", "p95", runs, Reading(3000.0, 5000, is_above=True)))
    assert (slow.verdict, slow.now_is_above, slow.high) == (Verdict.REGRESSED, True, None)
    early = one(Series("", "p95", runs, Reading(90.0, 5000, is_above=True)))
    assert early.verdict is not Verdict.IMPROVED
    assert early.verdict is Verdict.NOT_ENOUGH_DATA


def test_small_changes_do_not_count_however_certain() -> None:
    fast = one(series((1.0, 1.01, 0.99), 1.6))
    assert (fast.verdict, fast.why) == (Verdict.NO_CHANGE, "a change below 1 ms does not count")
    assert one(series((1.0, 1.01, 0.99), 1.6), Rules(floor_ms=0.1)).verdict is Verdict.REGRESSED
    certain = one(series(CALM_RUNS, 130.0), Rules(minimum=0.5))
    assert (certain.verdict, certain.why) == (Verdict.NO_CHANGE, "a change below 50 % does not count")


@pytest.mark.parametrize(
    ("failed", "now_failed", "n", "verdict"),
    [
        ((0, 0, 0), 250, 5000, Verdict.REGRESSED),
        ((250, 240, 260), 0, 5000, Verdict.IMPROVED),
        ((0, 0, 0), 0, 5000, Verdict.NO_CHANGE),
        ((0, 0, 0), 4, 150, Verdict.NOT_ENOUGH_DATA),
        ((0, 0, 0), 0, 150, Verdict.NOT_ENOUGH_DATA),
        ((50, 45, 55), 56, 5000, Verdict.NO_CHANGE),
    ],
)
def test_shares_of_errors_are_told_from_a_baseline_of_none_too(
    failed: tuple[int, ...], now_failed: int, n: int, verdict: Verdict
) -> None:
    def told(count: int) -> Reading:
        share = count / n
        return Reading(share, n, share * (1 - share) / n)

    found = one(Series("GET /", ERRORS, [told(count) for count in failed], told(now_failed)))
    assert found.verdict is verdict
    assert found.size == pytest.approx((now_failed - sum(failed) / 3) / n)


def test_a_slowdown_of_everything_at_once_is_told_by_the_median_over_endpoints() -> None:
    random = np.random.default_rng(4)
    many = []
    for endpoint in range(30):
        level, noise = random.uniform(20, 200), np.exp(0.08 * random.standard_normal(4))
        values = [float(level * each) for each in noise]
        runs = [reading(value, 2000, 0.08) for value in values[:3]]
        many.append(Series(str(endpoint), "p95", runs, reading(values[3] * 1.16, 2000, 0.08)))
    found = {each.endpoint: each for each in judge(many)}
    assert found[""].verdict is Verdict.REGRESSED
    assert found[""].size == pytest.approx(0.16, abs=0.05)
    assert sum(each.verdict is Verdict.REGRESSED for each in found.values()) < 10


def test_false_discoveries_are_bounded_step_up() -> None:
    assert discoveries(np.array([0.02, 0.03, 0.04, 0.9]), 0.05).tolist() == [False] * 4
    assert discoveries(np.array([0.04, 0.03, 0.02]), 0.05).tolist() == [True] * 3
    assert discoveries(np.zeros(0), 0.05).tolist() == []


def test_tails_of_the_normal_distribution_are_those_of_the_library() -> None:
    far = np.linspace(0, 8, 200)
    told = [math.erfc(each / math.sqrt(2)) for each in far]
    assert both_tails(far) == pytest.approx(told, rel=2e-7)


def test_what_runs_show_of_their_noise_moves_the_prior() -> None:
    def noise(between: float, runs: int) -> float:
        scatter = Scatter(np.array([between**2]), np.array([1e-6]), np.array([runs - 1.0]))
        chances = weights(scatter, CALM, 1)
        assert chances.sum() == pytest.approx(1.0)
        return float(Prediction.make(chances, np.array([float(runs)]), np.array([0.0])).reach(0.05)[0])

    assert noise(0.03, 10) == pytest.approx(2 * 0.031 * math.sqrt(1.1), rel=0.1)
    assert noise(0.10, 10) > 3 * noise(0.03, 10)
    assert noise(0.0, 1) == pytest.approx(2.1 * 0.033 * math.sqrt(2), rel=0.35), "one run: the prior alone"


def spread_of(lag: float, n: int = 4000) -> dict[str, tuple[float, float]]:
    """Of p50 and p95 the deviation that 200 runs show, and the one that each of them tells on average."""
    random = np.random.default_rng(11)
    shape = (n, 200)
    logs = random.standard_normal(shape)
    for place in range(1, n):
        logs[place] = lag * logs[place - 1] + math.sqrt(1 - lag**2) * logs[place]
    us = (50_000 * np.exp(0.3 * logs)).astype(np.int64)
    at_s, never = np.linspace(0, 60, n, endpoint=False), np.zeros(n, dtype=np.bool_)
    told = [
        readings(
            Blocks.cut(Requests(at_s, us[:, run], never, never, np.zeros(n, np.int64)), [((0.0, 60.0),)])
        )
        for run in range(shape[1])
    ]
    return {
        name: (
            float(np.std([math.log(each[name].value or math.nan) for each in told])),
            math.sqrt(float(np.mean([each[name].variance for each in told if each[name].variance]))),
        )
        for name in ("p50", "p95")
    }


@pytest.mark.parametrize("lag", [0.0, 0.9])
def test_a_run_knows_how_far_its_percentiles_scatter_whatever_its_requests_share(lag: float) -> None:
    for seen, told in spread_of(lag).values():
        assert told == pytest.approx(seen, rel=0.15)


def test_a_run_of_few_seconds_or_of_timeouts_tells_what_it_can() -> None:
    n, never = 300, np.zeros(300, dtype=np.bool_)
    late = np.arange(n) % 10 == 0
    requests = Requests(np.arange(n) / 20, np.full(n, 40_000), late, late, np.zeros(n, np.int64))
    told = readings(Blocks.cut(requests, [((0.0, 15.0),)]))
    assert (told["p50"].value, told["p50"].variance, told["p50"].n) == (40.0, None, 300)
    assert (told["p95"].is_above, told["errors"].value) == (True, 0.1)
    assert told["throughput"].value == 20.0
    nothing = readings(Blocks.cut(Requests.joined([]), [((0.0, 60.0),)]))
    assert nothing["p95"] == Reading(None, 0)
    assert (nothing["errors"].value, nothing["throughput"].value) == (None, 0.0)
    constant = Requests(np.arange(n) / 5, np.full(n, 40_000), never, never, np.zeros(n, np.int64))
    assert readings(Blocks.cut(constant, [((0.0, 60.0),)]))["p95"].variance == 0.0


levels = st.lists(st.floats(1.0, 1e5), min_size=1, max_size=12)


@settings(max_examples=150, deadline=None)
@given(levels, st.floats(1.0, 1e5), st.floats(0.0, 0.5), st.floats(1.0, 100.0))
def test_a_verdict_agrees_with_its_size_and_with_the_scale(
    values: list[float], now: float, deviation: float, factor: float
) -> None:
    def told(scale: float) -> Finding:
        runs = [reading(value * scale, 5000, deviation) for value in values]
        return one(Series("", "p95", runs, reading(now * scale, 5000, deviation)), Rules(floor_ms=0.0))

    found = told(1.0)
    assert found.size is not None
    assert found.low is not None
    assert found.high is not None
    assert found.low <= found.size <= found.high
    assert found.verdict is not Verdict.REGRESSED or found.low > -1e-9
    assert found.verdict is not Verdict.IMPROVED or found.high < 1e-9
    if found.verdict is Verdict.NO_CHANGE and not found.why:
        assert found.detectable is not None
        assert found.detectable <= 0.2
    scaled = told(factor)
    assert scaled.size == pytest.approx(found.size, rel=1e-6, abs=1e-6)
    assert scaled.verdict is found.verdict


@settings(max_examples=50, deadline=None)
@given(st.permutations(range(6)))
def test_the_order_of_endpoints_changes_nothing(order: list[int]) -> None:
    many = [series(CALM_RUNS, 100.0 + 6 * place, endpoint=str(place)) for place in range(6)]
    expected = {each.endpoint: each for each in judge(many)}
    found = judge([many[place] for place in order])
    assert [each.endpoint for each in found] == [*map(str, order), ""]
    assert all(each.verdict is expected[each.endpoint].verdict for each in found)


def test_with_nothing_changed_hardly_any_comparison_tells_one_and_a_slowdown_is_found() -> None:
    """Autocorrelation 0.9, 3 % from run to run, three runs of 5,000; `bench/two_samples.py` has more."""
    (told,) = score(Case(), 100, (ours,))
    assert told.false <= 10, "5 % of 100, and chance"
    assert told.found["p95"] >= 75, "85 % of 100, and chance"


def test_a_simulated_slowdown_moves_only_what_it_names() -> None:
    moved = slowed(series(CALM_RUNS, 100.0), PERCENTS)
    assert moved.now.value == pytest.approx(120.0)
    assert slowed(series(CALM_RUNS, 100.0), ("p50",)).now.value == 100.0
