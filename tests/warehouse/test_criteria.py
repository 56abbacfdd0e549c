"""Criteria of load tests are read as they are meant, and never pass without enough data."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from warehouse.analysis.criteria import (
    OPERATORS,
    UNITS,
    Criterion,
    Metric,
    Reading,
    Verdict,
    judge,
    overall,
    parse,
)
from warehouse.analysis.criteria import told as value_told


@st.composite
def criteria(draw: st.DrawFn) -> Criterion:
    metric = draw(st.sampled_from(list(Metric)))
    unit = draw(st.sampled_from(list(UNITS[metric])))
    label = st.text(st.characters(codec="utf-8", categories=("L", "N", "P", "S", "Zs")), max_size=40)
    return Criterion(
        draw(label.map(str.strip)),
        metric,
        draw(st.sampled_from(list(OPERATORS))),
        draw(st.integers(0, 10**8 if unit == "%" else 10**15)) / 10**6,
        unit,
        draw(st.none() | st.integers(1, 3600)),
        draw(st.booleans()),
    )


@given(criteria())
def test_a_criterion_survives_its_own_text(criterion: Criterion) -> None:
    assert parse(criterion.text) == criterion


@given(st.text(max_size=60))
def test_other_texts_are_refused_in_words(text: str) -> None:
    try:
        found = parse(text)
    except ValueError as error:
        words = str(error)
    else:
        words = "expected " if parse(found.text) == found else "read otherwise"
    assert words.startswith("expected ")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("p95 < 500ms", Criterion("", Metric.P95, "<", 500, "ms")),
        ("p95<0.5s", Criterion("", Metric.P95, "<", 0.5, "s")),
        ("errors > 5% for 10s, stop", Criterion("", Metric.ERRORS, ">", 5, "%", 10, True)),
        ("rps >= 40 /s", Criterion("", Metric.RPS, ">=", 40, "/s")),
        ("dropped > 0, stop", Criterion("", Metric.DROPPED, ">", 0, "", None, True)),
        ("GET http://a:8/x: p99 <= 1s", Criterion("GET http://a:8/x", Metric.P99, "<=", 1, "s")),
    ],
)
def test_what_people_write(text: str, expected: Criterion) -> None:
    assert parse(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "METRIC OP NUMBER"),
        ("p95 = 5ms", "METRIC OP NUMBER"),
        ("p95 < -5ms", "METRIC OP NUMBER"),
        ("p95 < 5ms for ten seconds", "METRIC OP NUMBER"),
        ("p95 < 5ms, abort", "METRIC OP NUMBER"),
        ("p97 < 5ms", "a metric of p50, p90"),
        ("p95 < 5", "ms or s after the number of p95, not nothing"),
        ("rps > 5%", "/s after the number of rps, not %"),
        ("errors > 101%", "at most 100%"),
        ("errors > 1% for 0s", "1s to 3600s"),
        ("p95 < 5ms\nfor 3s" + " " * 300, "METRIC OP NUMBER"),
    ],
)
def test_an_error_says_what_was_expected(text: str, expected: str) -> None:
    with pytest.raises(ValueError, match="expected") as raised:
        parse(text)
    assert expected in str(raised.value)


@given(criteria(), st.floats(0, 1e12))
def test_what_must_hold_and_what_must_not_are_opposites(criterion: Criterion, value: float) -> None:
    opposite = {"<": ">=", "<=": ">", ">": "<=", ">=": "<"}[criterion.operator]
    turned = parse(
        Criterion(criterion.endpoint, criterion.metric, opposite, criterion.number, criterion.unit).text
    )
    assert turned.requires != criterion.requires
    assert turned.broken(value) == criterion.broken(value)


@given(criteria(), st.floats(0, 1e12), st.floats(0, 1e12))
def test_worse_never_holds_where_better_is_broken(criterion: Criterion, one: float, other: float) -> None:
    better, worse = sorted((one, other), reverse=criterion.metric is Metric.RPS)
    assert criterion.broken(worse) or not criterion.broken(better)


@pytest.mark.parametrize(
    ("text", "value", "broken"),
    [
        ("p95 < 500ms", 499.9, False),
        ("p95 < 500ms", 500.0, True),
        ("p95 > 500ms", 500.0, False),
        ("p95 > 0.5s", 500.1, True),
        ("errors < 1%", 0.01, True),
        ("errors > 1%", 0.01, False),
        ("rps > 40/s", 39.0, True),
        ("rps < 40/s", 39.0, True),
        ("rps < 40/s", 40.0, False),
        ("dropped > 0", 1.0, True),
    ],
)
def test_what_breaks_it(text: str, value: float, broken: bool) -> None:
    assert parse(text).broken(value) is broken


@pytest.mark.parametrize(
    ("text", "needed"),
    [("p50 < 1s", 20), ("p90 < 1s", 100), ("p95 < 1s", 200), ("p99 < 1s", 1000), ("errors < 1%", 100)],
)
def test_exactly_so_many_samples_are_enough(text: str, needed: int) -> None:
    criterion = parse(text)
    assert criterion.verdict(Reading(0.0, needed)) is Verdict.PASS
    assert criterion.verdict(Reading(0.0, needed - 1)) is Verdict.NO_DATA
    (result,) = judge([criterion], lambda _: [Reading(0.0, needed - 1)])
    assert result.why == f"not enough samples: {needed - 1} of the {needed} that {criterion.metric} needs"


def test_few_requests_fail_when_nearly_all_of_them_failed() -> None:
    criterion = parse("errors < 1%")
    assert criterion.verdict(Reading(1.0, 10)) is Verdict.FAIL
    assert criterion.verdict(Reading(0.0, 10)) is Verdict.NO_DATA


@given(criteria())
def test_no_data_never_passes(criterion: Criterion) -> None:
    for readings in ([], [Reading(None, 0)], [Reading(None, 0), Reading(None, 5)]):
        (result,) = judge([criterion], lambda _, readings=readings: readings)
        assert result.verdict is Verdict.NO_DATA
        assert result.why


def test_a_timeout_is_above_every_limit() -> None:
    (result,) = judge([parse("p95 < 20s")], lambda _: [Reading(10_000.0, 500, is_above=True)])
    assert result.verdict is Verdict.FAIL
    assert result.why == "p95 was > 10 s, n = 500"


@pytest.mark.parametrize(
    ("text", "value", "told"),
    [
        ("p95 < 500ms", 70.3123, "70.3 ms"),
        ("p95 < 500ms", 499.96, "499.96 ms"),
        ("p95 < 500ms", 500.0, "500 ms"),
        ("p95 < 0.5s", 12_345.6, "12.3 s"),
        ("errors < 1%", 0.05172, "5.17 %"),
        ("errors < 1%", 0.0, "0 %"),
        ("rps > 1000/s", 2345.6, "2350/s"),
        ("dropped < 1", 12_345, "12300"),
    ],
)
def test_a_value_is_told_as_far_as_it_takes_to_tell_it_from_the_limit(
    text: str, value: float, told: str
) -> None:
    criterion = parse(text)
    assert value_told(criterion, Reading(value, 1000)) == told


def windows(*values: float | None) -> list[Reading]:
    return [Reading(value, 0 if value is None else 400, at_s=10.0 + at) for at, value in enumerate(values)]


def test_one_broken_window_fails_and_the_worst_is_told() -> None:
    (result,) = judge([parse("p95 > 500ms for 10s")], lambda _: windows(100, 600, 900, 100))
    assert (result.verdict, result.value) == (Verdict.FAIL, 900)
    assert result.why == "p95 was 900 ms, n = 400 in the 10 s to 12 s; 2 of 4 windows broke it"


def test_windows_pass_when_most_of_them_could_be_judged() -> None:
    criterion = parse("p95 < 500ms for 10s")
    (most,) = judge([criterion], lambda _: windows(100, None, 100))
    (few,) = judge([criterion], lambda _: windows(100, None, None))
    assert (most.verdict, few.verdict) == (Verdict.PASS, Verdict.NO_DATA)
    assert few.why == "not enough samples: only 1 of 3 windows could be judged"


def test_the_worst_throughput_is_the_least() -> None:
    (result,) = judge([parse("rps > 40/s for 5s")], lambda _: windows(50, 30, 35))
    assert (result.verdict, result.value) == (Verdict.FAIL, 30)


def test_a_run_passes_only_when_every_criterion_does() -> None:
    values = {"p95": 100.0, "rps": 10.0, "mean": None}

    def of(*texts: str) -> Verdict | None:
        return overall(
            judge([parse(text) for text in texts], lambda own: [Reading(values[own.metric], 1000)])
        )

    assert of() is None
    assert of("p95 < 500ms") is Verdict.PASS
    assert of("p95 < 500ms", "mean < 1s") is Verdict.NO_DATA
    assert of("p95 < 500ms", "mean < 1s", "rps > 11/s") is Verdict.FAIL


def test_an_infinite_value_breaks_every_upper_limit() -> None:
    assert parse("p99 < 999999999s").broken(math.inf)
