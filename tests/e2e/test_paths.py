"""The main paths through the dashboard, as a person walks them."""

import re
from datetime import UTC, datetime, timedelta

import pytest

from dashboard import format as fmt
from dashboard.window import resolve
from tests.dashboard import worlds
from tests.e2e.browsing import NARROW, PAGES, Visit
from tests.e2e.conftest import OpenTab
from tests.servers.warehouse import WarehouseProcess
from tests.warehouse.records import attempt
from warehouse.model import Outcome, now

TITLES = {"overview": "Overview", "latency": "API latency", "hosts": "Hosts", "collectors": "Collectors"}
HOUR = timedelta(hours=1)


def test_from_the_start_through_every_page(visit: Visit) -> None:
    visit.open()
    assert visit.title == "Overview"
    assert visit.press("1h").range == "1h"
    assert visit.follow("API latency").range == "1h"

    visit.drag(0.25, 0.75)
    zoomed = resolve(visit.range, now())
    assert zoomed is not None
    assert visit.chosen_range == "Custom"
    assert timedelta(minutes=25) < zoomed.span < timedelta(minutes=35)

    visit.back()
    assert visit.range == "1h"
    assert visit.chosen_range == "1h"

    visit.press("Custom")
    began = visit.page.get_by_role("textbox", name="From, time")
    assert began.count() or visit.page.get_by_text("From, time").count()
    custom = visit.range
    assert "Z-" in custom

    assert visit.follow("Hosts").range == custom
    assert visit.follow("Collectors").range == custom
    assert "Storage" in visit.text
    assert visit.errors == []
    assert visit.abroad == []


def test_back_undoes_one_drag_at_a_time(visit: Visit) -> None:
    visit.open("overview", range="1h")
    once = visit.drag(0.2, 0.8).range
    twice = visit.drag(0.3, 0.7).range
    assert len({"1h", once, twice}) == 3
    assert visit.back().range == once
    assert visit.back().range == "1h"
    assert visit.chosen_range == "1h"
    assert visit.title == "Overview"


def test_a_link_and_a_reload_restore_everything(visit: Visit, open_tab: OpenTab) -> None:
    end = datetime.now(UTC).replace(microsecond=0)
    text = f"{end - HOUR:%Y%m%dT%H%M%SZ}-{end:%Y%m%dT%H%M%SZ}"
    given = {
        "range": text,
        "prev": "1",
        "target": "shop",
        "endpoint": [worlds.SLOW, "GET /health"],
        "percentile": "99",
    }

    def shown(visit: Visit) -> tuple[object, ...]:
        chips = visit.page.locator("[data-testid=stMultiSelect] [data-baseweb=tag]").all_inner_texts()
        chosen = visit.page.get_by_role("radio", checked=True).all_inner_texts()
        return visit.title, visit.address, sorted(chips), chosen

    first = shown(visit.open("latency", **given))
    assert (
        visit.page.get_by_role("switch", name="vs previous")
        .or_(visit.page.get_by_role("checkbox", name="vs previous"))
        .is_checked()
    )
    assert first[3] == ["Custom", "p99"]
    visit.page.reload()
    assert shown(visit.settle()) == first
    pasted = open_tab(visit.base)
    pasted.page.goto(visit.page.url)
    assert shown(pasted.settle()) == first


def test_a_slow_endpoint_shows_its_true_p95(visit: Visit, measured: WarehouseProcess) -> None:
    window = resolve("24h", now())
    assert window is not None
    with measured.client("dashboard") as client:
        raw = client.ask("attempts", start=window.start, end=window.end, endpoint=[worlds.SLOW])
    truth = sorted(raw["total_us"].to_list())
    p95_ms = truth[-(-95 * len(truth) // 100) - 1] / 1000
    visit.open("latency", range="24h", endpoint=worlds.SLOW)
    card = visit.page.locator("[data-testid=stMetric]").filter(has_text=re.compile("^Probes p95"))
    assert card.locator("[data-testid=stMetricValue]").inner_text() == fmt.duration_ms(p95_ms)
    assert p95_ms > 450


def test_a_click_on_an_endpoint_opens_it(visit: Visit) -> None:
    visit.open("overview", range="6h")
    canvas = visit.page.locator("[data-testid=stDataFrame] canvas").first
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    assert box is not None
    visit.page.mouse.click(box["x"] + box["width"] - 30, box["y"] + 52)
    visit.page.wait_for_function("() => document.querySelector('h1')?.innerText === 'API latency'")
    visit.settle()
    assert visit.range == "6h"
    assert visit.address["endpoint"] == [worlds.SLOW]


def test_u_refreshes(visit: Visit, measured: WarehouseProcess) -> None:
    visit.open("overview", range="15m")
    with measured.client("collect") as client:
        worlds.send(client, attempt(endpoint="GET /brand-new", ms=2900))
        worlds.send(
            client, attempt(endpoint="GET /brand-new", ms=2900, outcome=Outcome.BAD_STATUS, status=500)
        )
    visit.page.locator("h1").click()
    visit.page.keyboard.press("u")
    visit.page.get_by_text("GET /brand-new").first.wait_for()


def test_live_moves_by_itself(visit: Visit) -> None:
    visit.open("overview", range="15m")
    visit.page.get_by_text("Live", exact=True).click()
    visit.page.wait_for_function("() => location.search.includes('live=1')")
    footer = visit.page.get_by_text("Window ").last
    before = footer.inner_text()
    visit.page.wait_for_function(
        "before => !document.querySelector('[data-testid=stMain]').innerText.includes(before)", arg=before
    )
    assert visit.errors == []


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("name", PAGES)
def test_a_phone_needs_no_sideways_scrolling(
    open_tab: OpenTab, dashboard: str, name: str, *, dark: bool
) -> None:
    visit = open_tab(dashboard, NARROW, dark=dark).open(name, range="1h", prev="1")
    assert visit.title == TITLES[name]
    assert visit.overflow() <= 0
    assert visit.errors == []
