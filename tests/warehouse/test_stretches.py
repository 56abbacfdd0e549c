"""A period is cut into stretches as long as the window, at the same time of day where it can be."""

from datetime import datetime, timedelta
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from warehouse.analysis.stretches import MOST_TIME, OTHER_TIMES, SAME_TIME, stretches

MONDAY = datetime(2026, 11, 2)  # noqa: DTZ001 - as the warehouse keeps instants
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


def test_a_week_gives_the_same_hour_of_each_day() -> None:
    window = (MONDAY + 10 * DAY + 9 * HOUR, MONDAY + 10 * DAY + 10 * HOUR)
    cut = stretches((MONDAY, MONDAY + 7 * DAY), window)
    assert cut.how == SAME_TIME
    assert cut.intervals == tuple(
        (MONDAY + day * DAY + 9 * HOUR, MONDAY + day * DAY + 10 * HOUR) for day in range(7)
    )


def test_a_day_gives_stretches_one_after_another_and_says_so() -> None:
    window = (MONDAY + 2 * DAY, MONDAY + 2 * DAY + HOUR)
    cut = stretches((MONDAY, MONDAY + DAY), window)
    assert (cut.how, len(cut.intervals)) == (OTHER_TIMES, 24)
    assert cut.intervals[0] == (MONDAY, MONDAY + HOUR)
    assert cut.intervals[-1][1] == MONDAY + DAY


def test_a_period_shorter_than_the_window_gives_none() -> None:
    assert not stretches((MONDAY, MONDAY + HOUR), (MONDAY + DAY, MONDAY + DAY + 2 * HOUR)).intervals


def test_the_window_is_never_its_own_baseline() -> None:
    cut = stretches((MONDAY, MONDAY + 2 * HOUR), (MONDAY + HOUR, MONDAY + 2 * HOUR))
    assert cut.intervals == ((MONDAY, MONDAY + HOUR),)
    assert not stretches((MONDAY, MONDAY + HOUR), (MONDAY, MONDAY + HOUR)).intervals


@given(
    st.integers(1, 31 * 24 * 60),
    st.integers(1, 24 * 60),
    st.integers(-5 * 24 * 60, 40 * 24 * 60),
)
def test_stretches_lie_in_the_period_and_are_as_long_as_the_window(
    period_min: int, window_min: int, from_min: int
) -> None:
    minute = timedelta(minutes=1)
    period = (MONDAY, MONDAY + period_min * minute)
    window = (MONDAY + from_min * minute, MONDAY + (from_min + window_min) * minute)
    found = stretches(period, window).intervals
    assert list(found) == sorted(set(found))
    assert all(before[1] <= after[0] for before, after in pairwise(found))
    for start, end in found:
        assert period[0] <= start
        assert end <= period[1]
        assert end - start == window[1] - window[0]
        assert end <= window[0] or start >= window[1]
    assert len(found) <= max(3, min(30, MOST_TIME // (window_min * minute)))
