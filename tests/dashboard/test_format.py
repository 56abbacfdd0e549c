"""Numbers as people read them, and names that stay names."""

import re
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from dashboard import format as fmt

MARKDOWN = MarkdownIt("commonmark").enable(["table", "strikethrough"])
AT = datetime(2026, 11, 23, 12, 0, 0, tzinfo=UTC)
HOSTILE = [
    "![x](http://evil.example/pixel.png)",
    "[click](javascript:alert(1))",
    "<img src=x onerror=alert(1)>",
    "<b>bold</b> & <a href='http://evil.example'>link</a>",
    "**bold** _it_ `code` ~~gone~~ # head",
    ":red[danger] :material/delete: :smile: $x^2$",
    "http://evil.example www.evil.example someone@evil.example",
    "%{customdata} %{y}",
    "a\nb\n# c",
    "1. one\n- two\n| a | b |",
]


@pytest.mark.parametrize(
    ("value", "above", "text"),
    [
        (None, False, fmt.NOTHING),
        (None, True, fmt.NOTHING),
        (0.25, False, "0.25 ms"),
        (3.21, False, "3.2 ms"),
        (9.97, False, "10 ms"),
        (12.4, False, "12 ms"),
        (999.4, False, "999 ms"),
        (999.6, False, "1 s"),
        (1455, False, "1.46 s"),
        (3000, True, "> 3 s"),
        (2500, True, "> 2.5 s"),
        (60_000, False, "1 min"),
        (125_000, False, "2 min 5 s"),
        (3_599_400, False, "59 min 59 s"),
        (3_599_600, False, "1 h"),
        (9_000_000, False, "2 h 30 min"),
        (86_369_000, False, "23 h 59 min"),
        (86_390_000, False, "1 d"),
        (984_826_000, False, "11 d 10 h"),
    ],
)
def test_durations(value: float | None, above: bool, text: str) -> None:
    assert fmt.duration_ms(value, above=above) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, fmt.NOTHING),
        (0.0, "0 %"),
        (1.0, "100 %"),
        (0.423, "42 %"),
        (0.0125, "1.2 %"),
        (0.00001, "< 0.01 %"),
    ],
)
def test_ratios(value: float | None, text: str) -> None:
    assert fmt.ratio(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, fmt.NOTHING),
        (0, "0 B"),
        (900, "900 B"),
        (1536, "1.5 KiB"),
        (200 * 1024**2, "200 MiB"),
        (8 * 1024**3, "8.0 GiB"),
        (3.5 * 1024**4, "3.5 TiB"),
    ],
)
def test_sizes(value: float | None, text: str) -> None:
    assert fmt.size(value) == text


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0.5, "ratio", "50 %"),
        (2048, "bytes", "2.0 KiB"),
        (2048, "bytes/s", "2.0 KiB/s"),
        (None, "bytes/s", fmt.NOTHING),
        (1500, "ms", "1.5 s"),
        (5, "s", "5 s"),
        (1.25, "1", "1.25"),
        (None, "1", fmt.NOTHING),
    ],
)
def test_quantities_carry_their_unit(value: float | None, unit: str, text: str) -> None:
    assert fmt.quantity(value, unit) == text


def test_ages_and_lengths() -> None:
    assert fmt.age(None, AT) == "never"
    assert fmt.age(AT - timedelta(seconds=5), AT) == "5 s ago"
    assert fmt.age(AT - timedelta(minutes=90), AT).startswith("1 h")
    assert fmt.length(timedelta(days=1, hours=2, minutes=3)) == "1 d 2 h"
    assert fmt.length(timedelta()) == "0 s"


def test_times_of_the_day_have_a_date_where_it_is_another() -> None:
    zone = ZoneInfo("Europe/Berlin")
    assert fmt.time_of(None, AT) == "never"
    assert fmt.time_of(AT, AT + timedelta(hours=10), zone) == "13:00:00"
    assert fmt.time_of(AT, AT + timedelta(hours=11), zone) == "2026-11-23 13:00:00"


def test_instants_are_told_in_the_readers_zone() -> None:
    berlin = ZoneInfo("Europe/Berlin")
    assert fmt.clock(AT, berlin) == "2026-11-23 13:00:00"
    assert fmt.window_text(AT, AT + timedelta(hours=1), berlin) == "2026-11-23 13:00:00 → 14:00:00"
    assert fmt.window_text(AT, AT + timedelta(hours=20), berlin).endswith("2026-11-24 09:00:00")


def test_too_few_says_n_and_what_it_wants() -> None:
    assert fmt.too_few(99, 99) == "too few for p99: n = 99, wants 100"
    assert fmt.too_few(100, 99) == ""
    assert "n = 19" in fmt.too_few(19, 95)
    assert fmt.too_few(20, 95) == ""
    assert fmt.too_few(0, 95) == ""


@pytest.mark.parametrize("name", HOSTILE)
def test_markdown_shows_a_hostile_name_as_it_is(name: str) -> None:
    shown = MARKDOWN.render(fmt.plain(name))
    inside = re.fullmatch(r"<p>(.*)</p>\n", shown, re.DOTALL)
    assert inside, shown
    assert "<" not in inside[1], shown


@given(st.text(max_size=60))
def test_markdown_of_any_name_is_one_plain_paragraph(name: str) -> None:
    shown = MARKDOWN.render(fmt.plain(name))
    assert shown == "" or re.fullmatch(r"<p>[^<]*</p>\n", shown), (name, shown)


@pytest.mark.parametrize("name", HOSTILE)
def test_a_chart_gets_no_tag_and_no_template(name: str) -> None:
    shown = fmt.chart_text(name, limit=500)
    assert "<" not in shown
    assert "%{" not in shown


def test_a_long_name_is_shortened_in_the_middle() -> None:
    shown = fmt.chart_text("GET /" + "x" * 300 + "/end")
    assert len(shown) <= 48
    assert shown.startswith("GET /")
    assert shown.endswith("/end")


def test_plurals() -> None:
    assert fmt.plural(1, "endpoint") == "1 endpoint"
    assert fmt.plural(3, "endpoint") == "3 endpoints"
    assert fmt.plural(0, "reply", "replies") == "0 replies"
