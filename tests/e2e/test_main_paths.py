"""A reader's way through the dashboard, in a real browser."""

import re
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from playwright.sync_api import Page, expect

from dashboard import format as fmt
from dashboard.window import absolute
from tests.dashboard import worlds
from tests.dashboard.conftest import CONFIG
from tests.e2e.conftest import PAGES, Shown, log_of, place, settle
from tests.servers.dashboard import running_dashboard
from tests.servers.warehouse import running_warehouse
from warehouse.model import now

Tab = Callable[..., Page]


def address(page: Page) -> dict[str, list[str]]:
    """The parameters in the address."""
    return parse_qs(urlsplit(page.url).query)


def drag(page: Page, chart: str, start: float, end: float) -> None:
    """Drag over a chart from one share of its width to another."""
    area = page.locator(f"[class*=st-key-{chart}] .nsewdrag").first
    area.scroll_into_view_if_needed()
    box = area.bounding_box()
    assert box is not None
    middle = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + box["width"] * start, middle)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * end, middle, steps=6)
    page.mouse.up()
    page.wait_for_url(re.compile(r"range=\d{8}T"))
    settle(page)


def chosen_range(page: Page) -> str:
    """The pressed segment of the range control."""
    return page.locator("[class*=st-key-range_choice] [aria-checked=true]").inner_text()


def test_overview_to_latency_drag_back_custom_hosts_collectors(shown: Shown, open_tab: Tab) -> None:
    url, warehouse = shown
    page = open_tab(f"{url}/?range=1h")
    expect(page.get_by_role("heading", name="Overview")).to_be_visible()
    page.get_by_role("link", name="API latency").click()
    settle(page)
    assert address(page)["range"] == ["1h"]
    depth = page.evaluate("history.length")

    drag(page, "pooled", 0.25, 0.75)
    assert page.evaluate("history.length") == depth + 1
    assert chosen_range(page) == "Custom"
    start, end = (datetime.strptime(text, "%Y%m%dT%H%M%S%z") for text in _edges(page))
    assert timedelta(minutes=28) < end - start < timedelta(minutes=32)
    page.go_back()
    settle(page)
    assert address(page)["range"] == ["1h"]
    assert chosen_range(page) == "1h"

    page.get_by_role("radio", name="Custom").click()
    settle(page)
    field = page.get_by_role("spinbutton", name="second, To, time")
    expect(field).to_be_visible()
    page.get_by_role("link", name="Hosts").click()
    settle(page)
    expect(page.get_by_text("Top processes by CPU")).to_be_visible()
    assert chosen_range(page) == "Custom"
    page.get_by_role("link", name="Collectors").click()
    settle(page)
    expect(page.get_by_role("heading", name="Storage")).to_be_visible()
    assert "Traceback" not in log_of(warehouse).read_text()


def _edges(page: Page) -> list[str]:
    return [edge.replace("Z", "+0000") for edge in address(page)["range"][0].split("-")]


def test_a_reload_and_a_pasted_link_restore_everything(shown: Shown, open_tab: Tab) -> None:
    url, _ = shown
    page = open_tab(f"{url}/latency?range=6h")
    page.get_by_text("vs previous").click()
    settle(page)
    page.get_by_role("radio", name="p99").click()
    settle(page)
    page.get_by_label("Endpoint", exact=True).click()
    page.get_by_role("option", name="GET /slow").click()
    page.keyboard.press("Escape")
    settle(page)
    wanted = {"range": ["6h"], "prev": ["1"], "percentile": ["99"], "endpoint": [worlds.SLOW]}
    assert address(page) == wanted
    page.reload()
    settle(page)
    for seen in (page, open_tab(page.url)):
        assert address(seen) == wanted
        assert chosen_range(seen) == "6h"
        expect(seen.get_by_role("heading", name="Probes p99 per endpoint")).to_be_visible()
        expect(seen.locator("[class*=st-key-endpoint_choice]")).to_contain_text(worlds.SLOW)
        expect(seen.get_by_role("switch", name="vs previous")).to_be_checked()


def test_the_shown_p95_of_a_known_slow_endpoint_is_the_truth(shown: Shown, open_tab: Tab) -> None:
    url, warehouse = shown
    with warehouse.client("dashboard") as client:
        raw = client.ask("attempts", start=now() - timedelta(hours=6), end=now(), endpoint=[worlds.SLOW])
    truth = sorted(raw["total_us"].to_list())
    p95 = truth[-(-95 * len(truth) // 100) - 1] / 1000
    page = open_tab(f"{url}/latency?range=6h&endpoint=GET+%2Fslow")
    card = page.locator("[data-testid=stMetric]").filter(has_text="Probes p95")
    expect(card.locator("[data-testid=stMetricValue]")).to_have_text(fmt.duration_ms(p95))


def test_refresh_by_keyboard_asks_anew(shown: Shown, open_tab: Tab) -> None:
    url, _ = shown
    page = open_tab(f"{url}/collectors?range=1h")
    window = page.get_by_text("Window 20").inner_text()
    page.wait_for_timeout(3000)
    page.locator("body").press("u")
    page.wait_for_function("before => !document.body.innerText.includes(before)", arg=window)


def test_live_moves_by_itself_and_says_so_in_the_address(shown: Shown, open_tab: Tab) -> None:
    url, _ = shown
    page = open_tab(f"{url}/collectors?range=15m")
    page.get_by_text("Live", exact=True).click()
    settle(page)
    assert address(page)["live"] == ["1"]
    window = page.get_by_text("Window 20").inner_text()
    page.wait_for_function("before => !document.body.innerText.includes(before)", arg=window)
    window = page.get_by_text("Window 20").inner_text()
    page.wait_for_function("before => !document.body.innerText.includes(before)", arg=window)


def test_hostile_names_load_nothing_and_stay_text(shown: Shown, open_tab: Tab) -> None:
    for path in PAGES:
        page = open_tab(place(shown, path, range="15m"))
        assert page.locator("img[src*='192.0.2']").count() == 0
        leads = page.locator("a").evaluate_all("links => links.map(link => link.hostname)")
        assert not [host for host in leads if host.startswith("192.0.2")], path
        page.close()


def test_nothing_scrolls_sideways_on_a_phone(shown: Shown, open_tab: Tab) -> None:
    for path, title in PAGES.items():
        page = open_tab(place(shown, path, range="1h", prev="1"), width=390)
        expect(page.get_by_role("heading", name=title, exact=True).first).to_be_visible()
        widths = page.evaluate(
            "() => [...document.querySelectorAll('html, body, [data-testid=stMain]')].map(e => e.scrollWidth)"
        )
        assert max(widths) <= 390, path
        page.close()


def test_a_load_test_is_a_band_that_leads_to_its_run(shown: Shown, open_tab: Tab) -> None:
    url, warehouse = shown
    with warehouse.client("cli") as client:
        run = client.ask("runs", preset=["strict"]).row(0, named=True)
    window = absolute(run["started_at"] - timedelta(minutes=1), run["ended_at"] + timedelta(minutes=1))
    page = open_tab(f"{url}/latency?range={window}")
    page.locator("[class*=st-key-pooled] .nsewdrag").first.hover()
    said = page.locator("[class*=st-key-pooled] .hoverlayer")
    expect(said).to_contain_text("load test: strict on shop, fail")
    expect(page.get_by_role("link", name="strict on shop, fail")).to_be_visible()
    page.locator("[class*=st-key-pooled] .annotation a").first.click()
    page.wait_for_url(re.compile(rf"/run\?run={run['run_id']}"))
    settle(page)
    expect(page.get_by_text("strict on shop").first).to_be_visible()


def test_the_page_tells_that_the_warehouse_is_away_and_recovers(tmp_path: Path, open_tab: Tab) -> None:
    with running_warehouse(tmp_path, CONFIG) as warehouse:
        with warehouse.client("collect") as client:
            worlds.one_sample(client)
        with running_dashboard(warehouse.settings, tmp_path / "dashboard.log") as url:
            page = open_tab(f"{url}/?live=1")
            expect(page.get_by_text("too few, n = 1").first).to_be_visible()
            warehouse.stop()
            expect(page.get_by_text("The warehouse is away")).to_be_visible()
            expect(page.get_by_text("It last answered at")).to_be_visible()
            warehouse.start()
            expect(page.get_by_text("The warehouse is away")).to_be_hidden()
            expect(page.get_by_text("too few, n = 1").first).to_be_visible()
            page.close()
        assert "Traceback" not in (tmp_path / "dashboard.log").read_text()
