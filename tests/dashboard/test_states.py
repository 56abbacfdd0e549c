"""Every page in every state says what is so, what to do, and never a traceback."""

import json
from collections.abc import Iterator

import pytest

from tests.dashboard import recordings
from tests.dashboard.conftest import VIEWS, Open, said, trouble
from tests.servers.warehouse import WarehouseProcess, running_warehouse

TITLES = {"overview": "Overview", "latency": "API latency", "hosts": "Hosts", "collectors": "Collectors"}


@pytest.mark.parametrize("view", VIEWS)
def test_without_data_a_page_says_what_to_do(open_page: Open, nothing: WarehouseProcess, view: str) -> None:
    page = open_page(nothing, view)
    text = said(page)
    assert not trouble(page)
    assert page.title[0].value == TITLES[view]
    assert "Nothing has been measured yet" in text
    assert "perfhouse.py up" in text
    assert "perfhouse.py collect" in text
    assert str(nothing.config) in text


@pytest.mark.parametrize("view", VIEWS)
def test_one_sample_is_shown(open_page: Open, single: WarehouseProcess, view: str) -> None:
    page = open_page(single, view)
    text = said(page)
    assert not trouble(page)
    assert not page.error
    assert "Nothing has been measured" not in text
    assert "Window " in text
    if view in ("overview", "latency"):
        assert "Probes p50 123 ms" in text
        assert "too few, n = 1" in text


@pytest.mark.parametrize("view", VIEWS)
def test_the_first_useful_picture_is_short_while_data_is_young(
    open_page: Open, single: WarehouseProcess, view: str
) -> None:
    assert open_page(single, view).session_state["range_choice"] == "15m"


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("span", ["15m", "1h", "6h", "24h", "7d", "30d", "1y"])
def test_many_samples_are_shown_in_every_range(
    open_page: Open, measured: WarehouseProcess, view: str, span: str
) -> None:
    page = open_page(measured, view, range=span, prev="1")
    assert not trouble(page)
    assert not page.error
    assert page.session_state["range_choice"] == span
    text = said(page)
    assert "Window " in text
    assert "Europe/Berlin" in text
    assert "compared with" in text
    for chart in page.get("plotly_chart"):
        for trace in json.loads(chart.proto.spec)["data"]:
            length = len(trace["x"]["bdata"]) if isinstance(trace["x"], dict) else len(trace["x"])
            assert length < 300 * 8 * 2, "at most 300 buckets a series"


@pytest.mark.parametrize("view", ["overview", "collectors"])
def test_a_failing_collector_is_named_with_its_reason(
    open_page: Open, measured: WarehouseProcess, view: str
) -> None:
    page = open_page(measured, view)
    text = said(page)
    assert not trouble(page)
    assert "probe shop POST /api/v1/invoices/" in text
    assert "expected status 201, answered 500" in text


@pytest.mark.parametrize("view", VIEWS)
def test_while_the_warehouse_is_away_a_page_says_since_when_and_what_to_do(
    open_page: Open, unstarted: WarehouseProcess, view: str
) -> None:
    page = open_page(unstarted, view)
    text = said(page)
    assert not trouble(page)
    assert "The warehouse is away" in text
    assert "has not answered since this dashboard was started" in text
    assert "perfhouse.py up" in text


def test_a_page_remembers_the_last_answer_and_recovers(open_page: Open, unstarted: WarehouseProcess) -> None:
    unstarted.start()
    try:
        recordings.send(unstarted, attempts=recordings.slow_probes([5.0]))
        assert "Probes p50" in said(open_page(unstarted, "overview"))
        unstarted.stop()
        page = open_page(unstarted, "overview", range="6h")
        assert not trouble(page)
        assert "The warehouse is away" in said(page)
        assert "It last answered at " in said(page)
        unstarted.start()
        page.button(key="refresh").click().run()
        assert not trouble(page)
        assert "The warehouse is away" not in said(page)
        assert "Probes p50" in said(page)
    finally:
        unstarted.stop()


@pytest.fixture(scope="module")
def hurried(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WarehouseProcess]:
    """A warehouse whose questions may take no time at all."""
    folder = tmp_path_factory.mktemp("hurried")
    with running_warehouse(folder, warehouse="deadline_s = 0.000001") as warehouse:
        recordings.full(warehouse, minutes=5)
        yield warehouse


@pytest.mark.parametrize("view", VIEWS)
def test_a_question_past_its_deadline_is_said_with_a_hint(
    open_page: Open, hurried: WarehouseProcess, view: str
) -> None:
    page = open_page(hurried, view)
    assert not trouble(page)
    assert "The question took too long" in said(page)


@pytest.fixture(scope="module")
def terse(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WarehouseProcess]:
    """A warehouse whose answers may have 100 rows."""
    with running_warehouse(tmp_path_factory.mktemp("terse"), warehouse="row_cap = 100") as warehouse:
        recordings.full(warehouse)
        yield warehouse


def test_one_panel_that_fails_leaves_the_others(open_page: Open, terse: WarehouseProcess) -> None:
    page = open_page(terse, "latency", range="1h")
    text = said(page)
    assert not trouble(page)
    assert "The answer is too long" in text
    assert "Choose a shorter range" in text or "fewer" in text
    assert "Slowest endpoints" in text


def test_a_range_without_data_offers_the_newest(open_page: Open, measured: WarehouseProcess) -> None:
    page = open_page(measured, "latency", range="20260101T000000Z-20260101T010000Z")
    text = said(page)
    assert not trouble(page)
    assert "in this window" in text
    offer = next(button for button in page.button if button.label == "Show the newest data")
    offer.click().run()
    assert not trouble(page)
    assert "Probes p50" in said(page)


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("nonsense", ["yesterday", "20261123T120000Z-20261123T110000Z", "<b>", "1h&1h"])
def test_a_broken_link_falls_back_and_says_so(
    open_page: Open, measured: WarehouseProcess, view: str, nonsense: str
) -> None:
    page = open_page(measured, view, range=nonsense, target="nobody", endpoint="nothing", host="x", p="12")
    assert not trouble(page)
    assert any("range in the address" in warning.value for warning in page.warning)


def test_a_broken_configuration_is_told_key_by_key(open_page: Open, unstarted: WarehouseProcess) -> None:
    unstarted.config.write_text('[warehouse]\nport = "many"\n[dashboard]\ncolour = "blue"\n')
    page = open_page(unstarted, "overview")
    assert not trouble(page)
    assert "The configuration has problems" in said(page)
    assert "warehouse.port" in said(page)
    assert "dashboard.colour" in said(page)
