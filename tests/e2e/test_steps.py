"""Single steps whose effect only a browser shows."""

import re

import pytest
from playwright.sync_api import expect

from tests.dashboard import worlds
from tests.e2e.conftest import PAGES, Shown, place, settle
from tests.e2e.test_main_paths import Tab, address, chosen_range, drag

PHONE = 390


def test_back_undoes_one_drag_at_a_time(shown: Shown, open_tab: Tab) -> None:
    page = open_tab(f"{shown[0]}/?range=1h")
    drag(page, "overview_latency", 0.2, 0.8)
    once = address(page)["range"]
    drag(page, "overview_latency", 0.3, 0.7)
    page.wait_for_function("once => !location.search.includes(once)", arg=once[0])
    settle(page)
    for wanted in (once, ["1h"]):
        page.go_back()
        settle(page)
        assert address(page)["range"] == wanted
    assert chosen_range(page) == "1h"
    assert address(page).keys() == {"range"}


def test_a_click_on_an_endpoint_opens_it_in_the_same_range(shown: Shown, open_tab: Tab) -> None:
    page = open_tab(f"{shown[0]}/?range=24h")
    table = page.locator("[data-testid=stDataFrame] canvas").first
    table.scroll_into_view_if_needed()
    box = table.bounding_box()
    assert box is not None
    for right in range(20, int(box["width"]), 25):
        page.mouse.click(box["x"] + right, box["y"] + 52)
        page.wait_for_timeout(150)
        if "endpoint=" in page.url:
            break
    expect(page.get_by_role("heading", name="API latency", exact=True)).to_be_visible()
    settle(page)
    assert address(page)["range"] == ["24h"]
    assert len(address(page)["target"]) == len(address(page)["endpoint"]) == 1


def test_a_chart_says_a_hostile_name_as_text(shown: Shown, open_tab: Tab) -> None:
    page = open_tab(f"{shown[0]}/latency?range=15m")
    page.locator("[class*=st-key-by_endpoint] .nsewdrag").first.hover()
    page.wait_for_timeout(500)
    said = " ".join(page.locator("[class*=st-key-by_endpoint] svg text").all_text_contents())
    assert "![t](http" in said
    assert page.locator("[data-testid=stPlotlyChart] svg a").count() == 0
    assert worlds.SLOW in said


@pytest.mark.parametrize("mode", ["light", "dark"])
def test_nothing_hides_a_range_on_a_phone(shown: Shown, open_tab: Tab, mode: str) -> None:
    for path in PAGES:
        page = open_tab(place(shown, path, range="7d"), width=PHONE, mode=mode)
        for choice in page.get_by_role("radio", name=re.compile("^(15m|1h|6h|24h|7d|30d|1y|Custom)$")).all():
            box = choice.bounding_box()
            assert box is not None
            assert box["x"] >= 0
            assert box["x"] + box["width"] <= PHONE
        page.close()
