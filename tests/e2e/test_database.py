"""The Database page in a real browser: a query opens, the address restores it, numbers are the truth."""

import re
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlencode

from playwright.sync_api import Page, expect

from dashboard import format as fmt
from tests.dashboard import database_worlds, worlds
from tests.e2e.conftest import Shown, settle
from tests.e2e.test_main_paths import address, chosen_range, drag
from tests.servers.dashboard import running_dashboard
from tests.servers.warehouse import running_warehouse
from warehouse.model import now

Tab = Callable[..., Page]


def opened(url: str, **more: str) -> str:
    """The address of the PostgreSQL's page."""
    return f"{url}/database?{urlencode({'database': 'main', 'range': '1h', **more})}"


def select_first_query(page: Page) -> None:
    """Tick the first row of the table of slow queries."""
    table = page.locator("[class*=st-key-slow_] [data-testid=stDataFrame] canvas").first
    table.scroll_into_view_if_needed()
    box = table.bounding_box()
    assert box is not None
    page.mouse.click(box["x"] + 16, box["y"] + 52)
    page.wait_for_url(re.compile("shape="))
    settle(page)


def test_a_query_opens_and_its_link_restores_it(shown: Shown, open_tab: Tab) -> None:
    page = open_tab(opened(shown[0]))
    page.locator("[class*=st-key-by_choice]").get_by_role("radio", name="Mean").click()
    settle(page)
    select_first_query(page)
    wanted = {"database": ["main"], "range": ["1h"], "by": ["mean"], "shape": ["new@shop"]}
    assert address(page) == wanted
    text = database_worlds.SHAPES["new"][1]
    for seen in (page, open_tab(page.url)):
        detail = seen.locator("[class*=st-key-query_detail]")
        expect(detail.locator("code")).to_have_text(text)
        assert address(seen) == wanted
        expect(
            seen.locator("[class*=st-key-by_choice] [aria-checked=true]").filter(has_text="Mean")
        ).to_be_visible()
    page.get_by_role("button", name="Close").click()
    settle(page)
    assert "shape" not in address(page)
    expect(page.get_by_text("Select a row to see the whole text")).to_be_visible()


def test_dragging_over_a_querys_trend_zooms(shown: Shown, open_tab: Tab) -> None:
    page = open_tab(opened(shown[0], shape="b2@shop"))
    drag(page, "query_trend", 0.3, 0.7)
    assert chosen_range(page) == "Custom"
    assert address(page)["shape"] == ["b2@shop"]
    page.go_back()
    settle(page)
    assert address(page)["range"] == ["1h"]


def test_the_shown_numbers_are_the_truth(shown: Shown, open_tab: Tab) -> None:
    """Calls and mean of a query, added up here from its single statistics."""
    url, warehouse = shown
    page = open_tab(opened(url, range="24h", shape="c3@shop"))
    with warehouse.client("dashboard") as client:
        end = now()
        raw = client.ask("query_stats", start=end - timedelta(hours=24), end=end, target=["main"])
    own = [row for row in raw.to_dicts() if row["shape"] == "c3"]
    calls, total_us = sum(row["calls"] for row in own), sum(row["total_us"] for row in own)
    every_us = sum(raw["total_us"].to_list())
    cards = page.locator("[class*=st-key-query_detail] [data-testid=stMetric]")
    for label, value in (
        ("Calls", fmt.count(calls)),
        ("Mean", fmt.duration_ms(total_us / calls / 1000)),
        ("Share of load", fmt.ratio(total_us / every_us)),
    ):
        card = cards.filter(has=page.get_by_text(label, exact=True))
        expect(card.locator("[data-testid=stMetricValue]")).to_have_text(value)


def test_a_hostile_query_is_shown_as_text(shown: Shown, open_tab: Tab) -> None:
    page = open_tab(f"{shown[0]}/database?{urlencode({'database': database_worlds.HOSTILE, 'range': '15m'})}")
    select_first_query(page)
    code = page.locator("[class*=st-key-query_detail] code").first
    expect(code).to_contain_text("<script>alert(1)</script>")
    expect(code).to_contain_text("![x](http://192.0.2.1/a.png)")
    assert page.locator("img[src*='192.0.2'], a[href*='192.0.2']").count() == 0


def test_a_database_nobody_watches_says_how_to(tmp_path: Path, open_tab: Tab) -> None:
    with running_warehouse(tmp_path) as warehouse:
        with warehouse.client("collect") as client:
            worlds.one_sample(client)
        with running_dashboard(warehouse.settings, tmp_path / "dashboard.log") as url:
            page = open_tab(f"{url}/database")
            expect(page.get_by_role("heading", name="No database is watched")).to_be_visible()
            expect(page.locator("code").filter(has_text="[[database]]")).to_be_visible()
            page.close()
