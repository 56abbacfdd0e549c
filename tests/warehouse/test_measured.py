"""What was measured is read as each criterion asks: over the run or window by window, and never made up."""

import numpy as np
import pytest

from tests.warehouse.load_runs import requests
from warehouse.analysis.criteria import Reading, Verdict, judge, parse
from warehouse.analysis.measured import Drops, Measures


def measures(**changed: object) -> Measures:
    """60 s at 10/s; 20 ms, from 30 s on 200 ms; endpoint 1 is every fifth request, and always fails."""
    at_s = np.arange(600) / 10
    endpoint = (np.arange(600) % 5 == 0).astype(int)
    own = requests(at_s, np.where(at_s < 30, 20, 200), np.where(endpoint == 1, "bad_status", "ok"), endpoint)
    fields = {"requests": own, "labels": {0: "GET /a", 1: "GET /b"}, "length_s": 60.0}
    return Measures(**{**fields, **changed})  # type: ignore[arg-type]


def read(text: str, own: Measures) -> Reading:
    (reading,) = own(parse(text))
    return reading


@pytest.mark.parametrize(
    ("text", "value", "n"),
    [
        ("p50 < 1s", 20.0, 480),
        ("p95 < 1s", 200.0, 480),
        ("mean < 1s", 110.0, 480),
        ("max < 1s", 200.0, 480),
        ("errors < 1%", 0.2, 600),
        ("GET /b: errors < 1%", 1.0, 120),
        ("rps > 1/s", 10.0, 600),
        ("GET /a: rps > 1/s", 8.0, 480),
    ],
)
def test_a_metric_of_the_whole_run(text: str, value: float, n: int) -> None:
    reading = read(text, measures())
    assert (reading.value, reading.n) == (pytest.approx(value), n)


def test_windows_end_at_every_full_second() -> None:
    readings = measures()(parse("p50 < 1s for 10s"))
    assert [reading.at_s for reading in readings] == list(range(10, 61))
    values = {reading.at_s: reading.value for reading in readings}
    assert (values[30], values[40]) == (20.0, 200.0)
    assert {reading.n for reading in readings} == {80}


def test_a_run_shorter_than_the_window_has_no_data() -> None:
    (result,) = judge([parse("p50 < 1s for 90s")], measures())
    assert result.verdict is Verdict.NO_DATA


def test_an_endpoint_that_is_not_there_is_said() -> None:
    (result,) = judge([parse("GET /c: p50 < 1s")], measures())
    assert (result.verdict, result.why) == (Verdict.NO_DATA, "the scenario has no endpoint GET /c")


def test_where_nothing_was_answered_there_is_no_time() -> None:
    (result,) = judge([parse("GET /b: p95 < 1s")], measures())
    assert (result.verdict, result.value) == (Verdict.NO_DATA, None)


def test_a_timeout_makes_the_longest_and_the_mean_unknown_above() -> None:
    own = requests([1.0, 2.0, 3.0], [10, 10, 5000], ["ok", "ok", "timeout"])
    found = Measures(own, {0: "GET /a"}, 10.0)
    assert read("max < 9s", found).is_above
    assert judge([parse("max < 9s")], found)[0].verdict is Verdict.FAIL


def test_dropped_arrivals_are_counted_for_the_run_and_each_window() -> None:
    drops = Drops(np.arange(60.0), np.where(np.arange(60) < 40, 0, 60.0))
    own = measures(drops=drops)
    assert read("dropped > 0", own).value == 60
    assert read("dropped > 5%", own).value == pytest.approx(60 / 660)
    values = {reading.at_s: reading.value for reading in own(parse("dropped > 0 for 10s"))}
    assert (values[39], values[40], values[49], values[50]) == (0, 60, 60, 0)


def test_dropped_arrivals_nobody_told_of_are_not_zero() -> None:
    for text in ("dropped > 0", "dropped < 5%", "GET /a: dropped > 0"):
        (result,) = judge([parse(text)], measures())
        assert result.verdict is Verdict.NO_DATA
        assert "dropped arrivals" in result.why
