"""Every page in every state: nothing, one sample, plenty, failing, away, too slow, hostile names."""

import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from dashboard import data
from dashboard import format as fmt
from dashboard.window import absolute
from tests.dashboard import worlds
from tests.dashboard.conftest import PAGES, Open, texts
from tests.servers.ports import free_port
from tests.servers.slow_warehouse import slow_warehouse
from tests.servers.warehouse import WarehouseProcess, running_warehouse, write_config
from warehouse.errors import DeadlineError, TooManyRowsError
from warehouse.model import now

World = Callable[[str], WarehouseProcess]
EVERY = sorted(PAGES)
TITLES = ("Overview", "Regressions", "API latency", "Database", "Hosts", "Collectors", "Data")


def charts(app: AppTest) -> list[dict[str, object]]:
    """The specifications of the charts shown."""
    return [json.loads(element.proto.spec) for element in app.get("plotly_chart")]


@pytest.mark.parametrize("page", EVERY)
def test_nothing_measured_says_what_to_do(world: World, open_page: Open, page: str) -> None:
    app = open_page(world("nothing"), page)
    assert not app.exception
    assert "Nothing has been measured yet" in texts(app)
    assert "perfhouse.py up" in texts(app)
    assert not charts(app)
    assert not app.metric
    assert "no collector has sent anything yet" in texts(app)


@pytest.mark.parametrize("page", EVERY)
def test_one_sample(world: World, open_page: Open, page: str) -> None:
    app = open_page(world("one_sample"), page)
    assert not app.exception
    assert not app.error
    if page in ("overview", "latency"):
        p95 = next(metric for metric in app.metric if "p95" in metric.label)
        assert p95.value == "12 ms"
        assert "too few, n = 1" in p95.label
    if page == "hosts":
        assert "No host samples in this window" in texts(app)


@pytest.mark.parametrize("page", EVERY)
@pytest.mark.parametrize("range_", ["15m", "24h", "1y"])
def test_plenty(world: World, open_page: Open, page: str, range_: str) -> None:
    app = open_page(world("plenty"), page, range=range_, prev="1")
    assert not app.exception
    if page == "regressions":
        assert any("watched" in text for text in (each.value for each in app.header)) or app.dataframe
    else:
        assert app.dataframe if page == "data" else charts(app)
    assert app.title[0].value in TITLES
    assert "Europe/Berlin" in texts(app)
    assert "local: " in texts(app)


def test_no_more_bars_are_drawn_than_half_a_page_has_room_for(world: World, open_page: Open) -> None:
    app = open_page(world("plenty"), "latency", range="1h")
    drawn = {str(each.proto.id): json.loads(each.proto.spec)["data"] for each in app.get("plotly_chart")}
    phases = next(traces for key, traces in drawn.items() if "phases" in key)
    (bars,) = {trace["width"] for trace in phases if trace["type"] == "bar"}
    assert bars == 60_000, "61 bars of a minute, not 121 of half a minute"


def test_young_data_shows_15_minutes_until_asked_otherwise(world: World, open_page: Open) -> None:
    assert open_page(world("plenty")).session_state["range_choice"] == "15m"
    assert open_page(world("plenty"), range="6h").session_state["range_choice"] == "6h"


def test_overview_puts_problems_first(world: World, open_page: Open) -> None:
    app = open_page(world("failing"))
    assert not app.exception
    said = app.error[0].value
    assert app.error[0].proto.title == "6 problems"
    assert said.index("host gone") < said.index("GET /broken") < said.index("GET /other")
    assert "expected 200, got 503" in said.replace("\\", "")
    assert "perfhouse" in said


def test_collectors_page_tells_what_fails(world: World, open_page: Open) -> None:
    app = open_page(world("failing"), "collectors")
    assert not app.exception
    table = app.dataframe[0].value
    states = dict(zip(table["Job"], table["State"], strict=True))
    assert states["probe shop GET /broken"] == "failing"
    assert states["host gone"] == "silent"
    assert "expected 200, got 503" in table["Says"].to_list()


def test_a_collector_whose_rows_wait_in_its_spool_is_not_called_silent(
    tmp_path: Path, open_page: Open
) -> None:
    with running_warehouse(tmp_path) as warehouse:
        with warehouse.client("collect") as client:
            worlds.behind(client)
        app = open_page(warehouse, "collectors", range="1h")
    assert not app.exception
    assert set(app.dataframe[0].value["State"]) == {"waiting"}
    assert app.error[0].proto.title == "1 problem"
    said = app.error[0].value.replace("\\", "")
    assert (
        "Rows of collector **local** wait in its spool: it sends, and its newest stored word is from" in said
    )
    assert "2 jobs waiting" in texts(app)


def test_a_window_that_ends_ahead_does_not_silence_what_is_well(tmp_path: Path, open_page: Open) -> None:
    with running_warehouse(tmp_path) as warehouse:
        with warehouse.client("collect") as client:
            worlds.plenty(client, minutes=5)
        present = now()
        text = absolute(present - timedelta(hours=1), present + timedelta(hours=1))
        table = open_page(warehouse, "collectors", range=text).dataframe[0].value
    assert set(table["State"]) == {"ok"}


def test_away_says_since_when_and_recovers(tmp_path: Path, open_page: Open) -> None:
    with running_warehouse(tmp_path) as warehouse:
        with warehouse.client("collect") as client:
            worlds.one_sample(client)
        app = open_page(warehouse)
        assert app.metric
        warehouse.stop()
        data.forget()
        app.run()
        assert not app.exception
        assert "The warehouse is away" in texts(app)
        assert "It last answered at" in texts(app)
        assert "perfhouse.py up" in texts(app)
        assert not app.metric
        warehouse.start()
        data.forget()
        app.run()
        assert "The warehouse is away" not in texts(app)
        assert app.metric


@pytest.mark.parametrize("page", EVERY)
def test_never_there(tmp_path: Path, open_page: Open, page: str) -> None:
    app = open_page(write_config(tmp_path), page)
    assert not app.exception
    assert "The warehouse is away" in texts(app)
    assert "has not answered this dashboard yet" in texts(app)


@pytest.mark.parametrize("page", EVERY)
def test_every_question_past_its_deadline(world: World, open_page: Open, page: str) -> None:
    with slow_warehouse(world("plenty"), ()) as config:
        app = open_page(config, page)
    assert not app.exception
    assert {error.proto.title for error in app.error} == {DeadlineError.title}
    assert "10 s" in texts(app)
    assert "Nothing has been measured yet" not in texts(app)


@pytest.mark.parametrize("page", ["overview", "latency"])
def test_one_question_past_its_deadline_leaves_the_rest(world: World, open_page: Open, page: str) -> None:
    with slow_warehouse(world("plenty"), ("percentile_trend",)) as config:
        app = open_page(config, page, range="24h")
    assert not app.exception
    assert {error.proto.title for error in app.error} >= {DeadlineError.title}
    assert app.dataframe[0].value["endpoint"].to_list()


def test_too_long_an_answer_keeps_the_rest_of_the_page(tmp_path: Path, open_page: Open) -> None:
    with running_warehouse(tmp_path, warehouse="row_cap = 100") as warehouse:
        with warehouse.client("collect") as client:
            worlds.plenty(client, minutes=30)
        app = open_page(warehouse, "latency", range="1h")
    assert not app.exception
    assert TooManyRowsError.title in {error.proto.title for error in app.error}
    assert app.metric
    assert charts(app)


@pytest.mark.parametrize("page", EVERY)
def test_hostile_names_stay_text(world: World, open_page: Open, page: str) -> None:
    app = open_page(world("hostile"), page)
    assert not app.exception
    said = texts(app)
    for markup in ("![", "](http", "<b>", "<img", ":red[", ":material/home", "`code`"):
        assert markup not in said, markup
    for spec in charts(app):
        names = [str(trace.get("name", "")) for trace in spec["data"]]  # type: ignore[attr-defined]
        assert not any("<b>" in name or "<img" in name or "%{" in name for name in names)
    if page in ("overview", "collectors"):
        assert fmt.plain(worlds.HOSTILE) in said


def test_shown_percentiles_equal_the_truth(world: World, open_page: Open) -> None:
    warehouse = world("plenty")
    with warehouse.client("dashboard") as client:
        raw = client.ask("attempts", start=now() - timedelta(days=300), end=now(), endpoint=[worlds.SLOW])
    truth = sorted(raw["total_us"].to_list())
    rank = -(-95 * len(truth) // 100)
    app = open_page(warehouse, "latency", range="24h", endpoint=worlds.SLOW)
    shown = next(metric for metric in app.metric if metric.label == "Probes p95")
    assert shown.value == fmt.duration_ms(truth[rank - 1] / 1000)
    assert app.session_state["endpoint_choice"] == [worlds.SLOW]


def test_timeouts_are_above_their_deadline(world: World, open_page: Open) -> None:
    app = open_page(world("plenty"), "latency", range="24h", endpoint="GET /flaky")
    p99 = next(metric for metric in app.metric if "p99" in metric.label)
    assert p99.value == "> 3 s"
    assert any(trace["name"] == "above the deadline" for spec in charts(app) for trace in spec["data"])  # type: ignore[attr-defined]


def test_not_measurable_is_not_zero(world: World, open_page: Open) -> None:
    app = open_page(world("plenty"), "hosts", range="24h")
    assert "Not measurable here: sda disk busy" in texts(app)
    table = open_page(world("plenty")).dataframe[-1].value
    assert table.set_index("resource")["now"]["disk busy sda"] == "not measurable here"


def test_watched_process_that_was_not_sampled(world: World, open_page: Open) -> None:
    table = open_page(world("plenty"), "hosts", range="24h").dataframe[2].value.set_index("Process")
    assert table["State"].to_dict() == {"postgres": "6 running", "nginx": "not sampled"}


def test_custom_range_is_checked(world: World, open_page: Open) -> None:
    text = "20260101T000000Z-20260101T010000Z"
    app = open_page(world("plenty"), range=text)
    assert app.session_state["range_choice"] == "Custom"
    assert [picked.value.isoformat() for picked in app.time_input] == ["01:00:00", "02:00:00"]
    app.time_input[1].set_value(app.time_input[0].value.replace(second=30, hour=0))
    app.form_submit_button[0].click().run()
    assert app.error[0].value == "The end must be after the start."
    assert app.query_params["range"] == text
    app.time_input[1].set_value(app.time_input[0].value.replace(hour=3, second=7))
    app.form_submit_button[0].click().run()
    assert app.query_params["range"] == "20260101T000000Z-20260101T020007Z"
    assert "No probe attempts in this window" in texts(app)


def test_a_range_that_means_nothing_is_told(world: World, open_page: Open) -> None:
    app = open_page(world("plenty"), range="yesterday")
    assert "cannot be shown" in app.warning[0].value
    assert app.metric


def test_choosing_a_range_writes_the_address(world: World, open_page: Open) -> None:
    app = open_page(world("plenty"))
    app.get("segmented_control")[0].set_value("6h").run()
    assert app.query_params["range"] == "6h"
    app.get("segmented_control")[0].set_value("Custom").run()
    assert "Z-" in app.query_params["range"]
    app.toggle(key="previous_choice").set_value(True).run()
    assert app.query_params["prev"] == "1"
    app.toggle(key="previous_choice").set_value(False).run()
    assert "prev" not in app.query_params


def test_comparison_has_the_right_colours(tmp_path: Path, open_page: Open) -> None:
    present = now()
    with running_warehouse(tmp_path) as warehouse:
        with warehouse.client("collect") as client:
            worlds.steps(client, present, before_ms=100, after_ms=150)
        app = open_page(warehouse, "latency", range="15m", prev="1")
    p50 = next(metric for metric in app.metric if metric.label == "Probes p50")
    assert (p50.value, p50.delta) == ("150 ms", "+50 ms")
    assert p50.proto.color == p50.proto.MetricColor.RED
    before = [trace for spec in charts(app) for trace in spec["data"] if trace.get("name") == "p95 previous"]  # type: ignore[attr-defined]
    assert len(before) == 1


def test_a_broken_configuration_is_told(tmp_path: Path, open_page: Open) -> None:
    config = tmp_path / "perfhouse.toml"
    config.write_text(f"[warehouse]\nport = 0\ncolour = 1\n[dashboard]\nport = {free_port()}\n")
    app = open_page(config)
    assert not app.exception
    assert app.error[0].proto.title == "The configuration has problems"
    assert "colour" in app.error[0].value


def test_a_foreign_configuration_is_refused(
    world: World, open_page: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("streamlit.config.get_where_defined", lambda _: "/root/.streamlit/config.toml")
    app = open_page(world("nothing"))
    assert not app.exception
    assert "without its configuration" in app.error[0].proto.title
    assert not app.title
