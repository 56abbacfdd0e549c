"""Two load tests are compared truthfully: intervals that hold, and no number where there is none."""

import math
import statistics

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.warehouse.load_runs import PLAN, autocorrelated, requests, side
from warehouse.analysis.comparable import differing, why_not
from warehouse.analysis.compare import Difference, compare
from warehouse.analysis.phases import Plateau, common_levels
from warehouse.analysis.requests import Requests, nearest_rank
from warehouse.errors import InvalidInputError

SHAPES = {"p50": 0.0, "p90": 1.2815516, "p95": 1.6448536}
"""Quantiles of the standard normal distribution."""


def found(rows: list[Difference], measure: str, label: str = "") -> Difference:
    (row,) = (row for row in rows if (row.label, row.measure) == (label, measure))
    return row


def steady(random: np.random.Generator, median_ms: float, seconds: int = 120, rate: float = 20) -> Requests:
    return autocorrelated(random, seconds=seconds, rate=rate, median_ms=median_ms, correlation=0.0)


def test_the_interval_holds_the_true_difference_about_95_times_in_100() -> None:
    """300 pairs of runs whose level wanders for seconds, and of whose percentiles the truth is known."""
    held: dict[str, list[bool]] = {}
    for seed in range(300):
        random = np.random.default_rng(seed)
        a, b = (
            autocorrelated(random, seconds=100, rate=12, median_ms=median, correlation=0.7)
            for median in (20, 22)
        )
        rows = compare(side(a, labels={}), side(b, "b", labels={}))
        truths = {name: 2 * math.exp(0.5 * shape) for name, shape in SHAPES.items()}
        for measure, truth in {**truths, "mean": 2 * math.exp(0.125), "throughput": 0.0}.items():
            row = found(rows, measure)
            assert row.low is not None
            assert row.high is not None
            held.setdefault(measure, []).append(row.low <= truth <= row.high)
    shares = {measure: statistics.mean(own) for measure, own in held.items()}
    assert all(0.90 <= share <= 0.99 for share in shares.values()), shares


def test_a_real_difference_is_seen_and_none_is_not_made_up() -> None:
    random = np.random.default_rng(11)
    base, slower, same = (steady(random, median, seconds=600) for median in (20, 24, 20))
    row = found(compare(side(base), side(slower, "b")), "p50")
    assert row.low is not None
    assert row.low > 0
    assert row.relative == pytest.approx(0.2, abs=0.05)
    row = found(compare(side(base), side(same, "b")), "p50")
    assert row.low is not None
    assert row.high is not None
    assert row.low < 0 < row.high


@settings(max_examples=200, deadline=None)
@given(st.lists(st.integers(1, 10_000_000), min_size=1, max_size=300), st.sampled_from([50, 90, 95, 99]))
def test_percentiles_are_nearest_ranks(times_us: list[int], percent: int) -> None:
    own = requests(np.zeros(len(times_us)), np.array(times_us) / 1000)
    truth = sorted(times_us)[math.ceil(round(len(times_us) * percent / 100, 9)) - 1]
    assert own.percentile(percent).value == truth / 1000


def test_the_estimates_are_exact_and_of_the_steady_phase_alone() -> None:
    random = np.random.default_rng(1)
    own = steady(random, 20)
    slow_start = Requests.joined([requests([0.1] * 500, [9000] * 500), own])
    kept = np.sort(own.corrected_us[own.at_s >= 2])
    row = found(compare(side(slow_start), side(steady(random, 20), "b")), "p95")
    assert row.a == kept[nearest_rank(len(kept), 95) - 1] / 1000
    assert row.n_a == len(kept)


def test_the_same_comparison_twice_is_the_same() -> None:
    random = np.random.default_rng(3)
    a, b = side(steady(random, 20)), side(steady(random, 21), "b")
    assert compare(a, b) == compare(a, b)


def test_timeouts_rank_above_every_answer() -> None:
    random = np.random.default_rng(4)
    own = steady(random, 20)
    outcomes = np.where(np.arange(len(own)) % 10 == 0, "timeout", "ok")
    timed = requests(own.at_s, np.where(outcomes == "timeout", 15.0, own.corrected_us / 1000), outcomes)
    rows = compare(side(own), side(timed, "b"))
    p95, p50, mean = (found(rows, measure) for measure in ("p95", "p50", "mean"))
    assert (p95.b, p95.b_above, p95.enough, p95.difference) == (15.0, True, False, None)
    assert p95.why == "p95 of b falls on requests that timed out"
    assert p50.enough
    assert not p50.b_above
    assert (mean.b, mean.difference) == (None, None)
    assert "timed out: their mean is not known" in mean.why


def test_no_error_among_few_is_no_proof_of_none() -> None:
    random = np.random.default_rng(5)
    row = found(compare(side(steady(random, 20, rate=2)), side(steady(random, 20, rate=2), "b")), "errors")
    assert (row.a, row.b, row.difference) == (0.0, 0.0, 0.0)
    assert row.low is not None
    assert row.high is not None
    assert row.low < -0.01 < 0.01 < row.high


def test_more_errors_are_seen() -> None:
    random = np.random.default_rng(6)
    own, other = steady(random, 20), steady(random, 20)
    failing = requests(
        other.at_s, other.corrected_us / 1000, np.where(np.arange(len(other)) % 10 == 0, "bad_status", "ok")
    )
    row = found(compare(side(own), side(failing, "b")), "errors")
    assert row.low is not None
    assert row.low > 0.05
    assert row.b == pytest.approx(0.1, abs=0.02)


def test_too_few_requests_or_seconds_have_no_interval() -> None:
    random = np.random.default_rng(8)
    few = compare(side(steady(random, 20, rate=1)), side(steady(random, 20), "b"))
    p95 = found(few, "p95")
    assert (p95.enough, p95.low, p95.high) == (False, None, None)
    assert p95.why.startswith("not enough samples: ")
    assert p95.why.endswith("of the 200 that p95 needs in a")
    assert found(few, "p50").enough
    short = compare(side(steady(random, 20, seconds=15)), side(steady(random, 20, seconds=15), "b"))
    assert found(short, "p50").why == "not enough samples: 13 s of steady phase, 20 s are needed"


def test_an_endpoint_is_compared_with_itself_and_all_of_them_first() -> None:
    random = np.random.default_rng(9)
    own, other = steady(random, 20), steady(random, 20)
    labels = {0: "GET /a", 1: "GET /b"}
    ones = Requests.joined(
        [own, requests(other.at_s, other.corrected_us / 100, endpoint=np.ones(len(other)))]
    )
    # the same endpoints, numbered the other way round
    twos = Requests.joined(
        [own, requests(other.at_s, other.corrected_us / 100, endpoint=np.ones(len(other)))]
    )
    twos = Requests(twos.at_s, twos.corrected_us, twos.is_failed, twos.is_timeout, 1 - twos.endpoint)
    swapped = {1: "GET /a", 0: "GET /b"}
    rows = compare(side(ones, labels=labels), side(twos, "b", labels=swapped))
    assert list(dict.fromkeys(row.label for row in rows)) == ["", "GET /a", "GET /b"]
    assert all(row.difference == 0 for row in rows)
    all_, a, b = (found(rows, "throughput", label).a for label in ("", "GET /a", "GET /b"))
    assert a is not None
    assert b is not None
    assert all_ == pytest.approx(a + b)


def test_levels_in_common_are_weighed_alike() -> None:
    levels = common_levels(
        [Plateau(2, 32, 10), Plateau(40, 50, 20), Plateau(60, 70, 10)],
        [Plateau(5, 40, 10), Plateau(50, 53, 20), Plateau(60, 90, 30)],
    )
    (level,) = levels
    assert (level.users, level.length_s) == (10, 35)
    assert level.a == ((2, 32), (60, 65))
    assert level.b == ((5, 40),)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"run_id": "a"}, "a is compared with itself"),
        ({"state": "running"}, "b has not ended: it is running"),
        (
            {"scenario_hash": "two", "plan": {**PLAN, "order": "sequence", "think_s": [1.0, 2.0]}},
            "their scenarios differ: order is weighted and sequence; think time is [0.0, 0.0] and [1.0, 2.0]",
        ),
        (
            {"scenario_hash": "two", "plan": {**PLAN, "requests": [{**PLAN["requests"][0], "weight": 2}]}},
            "their scenarios differ: weight of GET /a",
        ),
        (
            {"scenario_hash": "two", "plan": {**PLAN, "requests": [{"label": "GET /b"}]}},
            "their scenarios differ: only one asks GET /a; only one asks GET /b",
        ),
        ({"plan": {**PLAN, "rate_per_s": 40}}, "their arrival rates differ: 0/s and 40/s"),
        (
            {"plateaus": [Plateau(2, 120, 20)]},
            "they have no steady phase in common: a held 10 users for 118 s and b held 20 users for 118 s",
        ),
        ({"plateaus": []}, "they have no steady phase in common: a held 10 users for 118 s and b held none"),
        (
            {"length_s": 4.0},
            "they have no steady phase in common: a held 10 users for 118 s and b held 10 users for 2 s",
        ),
    ],
)
def test_what_cannot_be_compared_is_said_in_words(changed: dict[str, object], words: str) -> None:
    random = np.random.default_rng(2)
    a, b = side(steady(random, 20)), side(steady(random, 20), **{"run_id": "b", **changed})
    assert why_not(a, b) == words
    with pytest.raises(InvalidInputError, match=r".") as raised:
        compare(a, b)
    assert raised.value.message == words
    assert raised.value.field == "b"


def test_numbers_of_endpoints_are_no_difference() -> None:
    moved = {**PLAN, "requests": [{**PLAN["requests"][0], "endpoint": 5}]}
    assert differing(PLAN, moved) == []
    token = {"pointer": "t", "request": {"endpoint": 0, "path": "/login"}}
    assert differing({**PLAN, "token": token}, PLAN) == ["the token request"]
