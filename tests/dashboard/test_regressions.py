"""Regressions on pages: what is open first, one with all that is known of it, lines on charts."""

import json
from collections.abc import Iterator
from datetime import timedelta

import pytest
from streamlit.testing.v1 import AppTest

from tests.dashboard.conftest import Open
from tests.servers.warehouse import WarehouseProcess, running_warehouse
from tests.warehouse.watched_worlds import served_world
from warehouse.model import now


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WarehouseProcess]:
    with served_world(tmp_path_factory.mktemp("watched")) as process:
        with process.client("cli") as client:
            client.mark("v1.4", "shop", "new index", now() - timedelta(hours=3, minutes=20))
        yield process


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WarehouseProcess]:
    with running_warehouse(tmp_path_factory.mktemp("empty")) as process:
        yield process


def texts(app: AppTest) -> list[str]:
    kinds = (app.markdown, app.header, app.subheader, app.caption, app.warning, app.error)
    return [each.value.replace("\\", "") for kind in kinds for each in kind]


def found(watched: WarehouseProcess) -> str:
    with watched.client("cli") as client:
        window = {"start": now() - timedelta(days=2), "end": now()}
        return str(client.ask("regressions", **window, verdict=["regression"])["regression_id"][0])


def test_open_regressions_come_first(watched: WarehouseProcess, open_page: Open) -> None:
    app = open_page(watched, "regressions", range="24h")
    assert not app.exception
    headers = [each.value for each in app.header]
    assert headers == ["Open (1)", "Improvements (1)", "What is watched"]
    told = [text for text in texts(app) if "GET /cart" in text]
    assert any("p95 of GET /cart (shop)" in text or "p50 of GET /cart (shop)" in text for text in told)
    assert any("1 other series moved" in text or "2 other series moved" in text for text in told)


def test_a_window_without_changes_says_on_what_that_stands(
    watched: WarehouseProcess, empty: WarehouseProcess, open_page: Open
) -> None:
    start, end = now() - timedelta(days=2), now() - timedelta(days=1)
    quiet = open_page(watched, "regressions", range=f"{start:%Y%m%dT%H%M%SZ}-{end:%Y%m%dT%H%M%SZ}")
    assert "Nothing changed in this window" in texts(quiet)
    assert any("series of 3 targets are watched" in text for text in texts(quiet))
    with empty.client("collect"):
        nothing = open_page(empty, "regressions")
    assert any("Nothing has been measured yet" in text for text in texts(nothing))


def test_one_regression_shows_all_that_is_known_of_it(watched: WarehouseProcess, open_page: Open) -> None:
    app = open_page(watched, "regressions", range="24h", regression=found(watched))
    assert not app.exception
    told = texts(app)
    assert any("v1.4" in text and "was deployed to shop" in text for text in told)
    assert any(text.startswith("**") and "ms to" in text for text in told)
    moved = next(
        each.value for each in app.dataframe if "Kind" in each.value.columns and "From" in each.value
    )
    assert "query" in moved["Kind"].to_list()
    assert any(" of +" in each for each in moved["Part of the difference"].to_list())
    (drawn,) = [json.loads(each.proto.spec) for each in app.get("plotly_chart")]
    assert len(drawn["layout"]["shapes"]) == 3, "two levels and where it changed"
    assert {button.label for button in app.button} >= {"Acknowledge", "Resolve"}


def test_an_unknown_regression_says_so(watched: WarehouseProcess, open_page: Open) -> None:
    app = open_page(watched, "regressions", regression="**c0**")
    assert any("There is no regression **c0**" in text for text in texts(app))


def test_an_open_regression_is_a_warning_and_a_line_on_charts(
    watched: WarehouseProcess, open_page: Open
) -> None:
    app = open_page(watched, "overview", range="24h")
    assert not app.exception
    assert any("of GET /cart (shop)" in text and "Regressions page" in text for text in texts(app))
    specs = {str(each.proto.id): json.loads(each.proto.spec) for each in app.get("plotly_chart")}
    (spec,) = [spec for key, spec in specs.items() if "overview_latency" in key]
    names = {trace.get("name") for trace in spec["data"]}
    assert {"regression", "improvement"} <= names
