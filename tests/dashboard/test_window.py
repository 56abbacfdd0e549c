"""Ranges: what the address says, what it means now, and what a drag makes of it."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashboard.window import (
    DEFAULT,
    LONGEST,
    PRESETS,
    SHORTEST,
    STEP_S,
    WHOLE,
    YOUNG,
    absolute,
    default_range,
    drawn,
    problem,
    resolve,
)

NOW = datetime(2026, 11, 23, 12, 0, 1, 500_000, tzinfo=UTC)
BERLIN = ZoneInfo("Europe/Berlin")

whole_seconds = st.datetimes(datetime(2020, 1, 1), datetime(2026, 11, 22)).map(  # noqa: DTZ001 - made aware below
    lambda instant: instant.replace(microsecond=0, tzinfo=UTC)
)
spans = st.integers(int(SHORTEST.total_seconds()), int(LONGEST.total_seconds())).map(
    lambda seconds: timedelta(seconds=seconds)
)


@given(start=whole_seconds, span=spans)
def test_an_absolute_range_survives_the_address(start: datetime, span: timedelta) -> None:
    end = start + span
    window = resolve(absolute(start, end), end + timedelta(hours=1))
    assert window is not None
    assert (window.start, window.end) == (start, end)
    assert not window.follows_now


@pytest.mark.parametrize("text", PRESETS)
def test_a_preset_ends_now_and_within_a_step_stays_the_same(text: str) -> None:
    window = resolve(text, NOW)
    later = resolve(text, NOW + timedelta(milliseconds=400))
    assert window == later
    assert window is not None
    assert PRESETS[text] <= window.span < PRESETS[text] + WHOLE.get(text, timedelta(microseconds=1))
    assert timedelta() <= window.end - NOW < timedelta(seconds=STEP_S)
    assert window.follows_now


@pytest.mark.parametrize(
    ("text", "start"),
    [
        ("24h", NOW - timedelta(hours=24)),
        ("7d", (NOW - timedelta(days=7)).replace(minute=0, second=0, microsecond=0)),
        ("1y", (NOW - timedelta(days=365)).replace(hour=0, minute=0, second=0, microsecond=0)),
    ],
)
def test_a_long_range_begins_with_a_whole_hour_or_day(text: str, start: datetime) -> None:
    window = resolve(text, NOW)
    assert window is not None
    assert timedelta() <= window.start - start < timedelta(seconds=STEP_S)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "5m",
        "custom",
        "20261123T120000Z",
        "20261123T120000Z-",
        "20261123T120000Z-20261123T110000Z",
        "20261123T120000Z-20261123T120000Z",
        "<script>",
        "99999999T999999Z-99999999T999999Z",
        "20200101T000000Z-20261123T110000Z",
        "20361123T110000Z-20361123T120000Z",
    ],
)
def test_what_means_nothing_is_none(text: str) -> None:
    assert resolve(text, NOW) is None


def test_the_previous_window_ends_where_this_one_starts() -> None:
    window = resolve("6h", NOW)
    assert window is not None
    assert window.previous.end == window.start
    assert window.previous.span == window.span


def test_young_data_is_shown_in_a_short_range() -> None:
    assert default_range(NOW - timedelta(minutes=3), NOW) == YOUNG == "15m"
    assert default_range(NOW - timedelta(hours=3), NOW) == DEFAULT == "1h"
    assert default_range(None, NOW) == DEFAULT


@pytest.mark.parametrize(
    ("start", "end", "word"),
    [
        (NOW, NOW - timedelta(hours=1), "after"),
        (NOW - timedelta(hours=1), NOW - timedelta(hours=1), "after"),
        (NOW - timedelta(seconds=3), NOW, "shortest"),
        (NOW - timedelta(days=500), NOW, "longest"),
        (NOW + timedelta(minutes=5), NOW + timedelta(minutes=9), "future"),
        (NOW - timedelta(hours=1), NOW + timedelta(days=3), "future"),
    ],
)
def test_a_window_that_cannot_be_shown_says_why(start: datetime, end: datetime, word: str) -> None:
    assert word in problem(start, end, NOW)


def test_a_good_window_has_no_problem() -> None:
    assert problem(NOW - timedelta(hours=1), NOW, NOW) == ""


@pytest.mark.parametrize(
    "edges",
    [
        ("2026-11-23 12:10:00.4003", "2026-11-23 12:20:30.9"),
        ("2026-11-23 12:20:30.9", "2026-11-23 12:10:00.4003"),
        ("2026-11-23T12:10:00", "2026-11-23 12:20:30"),
    ],
)
def test_a_drag_is_read_in_the_readers_zone(edges: tuple[str, str]) -> None:
    text = drawn(edges, BERLIN, NOW)
    assert text is not None
    window = resolve(text, NOW)
    assert window is not None
    assert window.start == datetime(2026, 11, 23, 11, 10, 0, tzinfo=UTC)
    assert window.end - datetime(2026, 11, 23, 11, 20, 30, tzinfo=UTC) <= timedelta(seconds=1)


def test_a_tiny_drag_is_widened_to_the_shortest_range() -> None:
    text = drawn(("2026-11-23 12:10:00", "2026-11-23 12:10:01"), BERLIN, NOW)
    assert text is not None
    window = resolve(text, NOW)
    assert window is not None
    assert window.span == SHORTEST


@pytest.mark.parametrize("edges", [("nonsense", "more"), (None, None), (1.5, 3)])
def test_a_drag_without_times_is_nothing(edges: tuple[object, object]) -> None:
    assert drawn(edges, BERLIN, NOW) is None
