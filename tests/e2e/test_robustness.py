"""The dashboard in a bad world: hostile names, a warehouse that goes away, foreign hosts."""

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import psutil
import pytest

from tests.dashboard import worlds
from tests.e2e.browsing import PAGES
from tests.e2e.conftest import OpenTab
from tests.servers.dashboard import running_dashboard
from tests.servers.warehouse import WarehouseProcess, running_warehouse

EVIL = "192.0.2.1"
MARKUP = f"""() => [...document.querySelectorAll('[data-testid=stMain] img, [data-testid=stMain] a,'
    + ' [data-testid=stMain] svg a, [data-testid=stMain] svg tspan[style*=bold]')]
    .map(node => node.outerHTML).filter(html => html.includes('{EVIL}') || html.includes('bold'))"""


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A dashboard over names that would be markup if they were let."""
    folder = tmp_path_factory.mktemp("hostile")
    with running_warehouse(folder) as warehouse:
        with warehouse.client("collect") as client:
            worlds.hostile(client)
        with running_dashboard(warehouse.settings, folder / "log") as url:
            yield url


@pytest.mark.parametrize("name", PAGES)
def test_a_hostile_name_stays_text(open_tab: OpenTab, hostile: str, name: str) -> None:
    visit = open_tab(hostile).open(name, range="15m")
    assert "http" in visit.text or name == "overview"
    chart = visit.page.locator("[data-testid=stPlotlyChart] .nsewdrag").first
    if chart.count():
        chart.hover()
        visit.page.wait_for_timeout(500)
    assert visit.page.evaluate(MARKUP) == []
    assert visit.abroad == []
    assert visit.errors == []


@pytest.fixture
def mortal(tmp_path: Path) -> Iterator[WarehouseProcess]:
    """A warehouse that this test may stop."""
    with running_warehouse(tmp_path) as warehouse:
        with warehouse.client("collect") as client:
            worlds.one_sample(client)
        yield warehouse


def test_a_page_recovers_by_itself_when_the_warehouse_is_back(
    open_tab: OpenTab, mortal: WarehouseProcess, tmp_path: Path
) -> None:
    with running_dashboard(mortal.settings, tmp_path / "log") as url:
        visit = open_tab(url).open("overview")
        assert "Probes p50" in visit.text
        mortal.stop()
        visit.press("6h")
        visit.page.get_by_text("The warehouse is away").wait_for()
        assert "It last answered at" in visit.text
        assert "Probes p50" not in visit.text
        mortal.start()
        visit.page.get_by_text("Probes p50").first.wait_for()
        visit.page.get_by_text("The warehouse is away").wait_for(state="detached")
        assert visit.range == "6h"


def test_it_listens_on_this_machine_only(dashboard: str) -> None:
    port = urlsplit(dashboard).port
    listening = {
        kept.laddr.ip
        for kept in psutil.net_connections("tcp")
        if kept.status == psutil.CONN_LISTEN and kept.laddr and kept.laddr.port == port
    }
    assert listening == {"127.0.0.1"}


@pytest.mark.parametrize(
    ("host", "origin", "status"),
    [
        ("", "", 101),
        ("evil.example", "http://evil.example", 403),
        ("", "http://evil.example", 403),
    ],
)
def test_a_foreign_page_gets_no_session(dashboard: str, host: str, origin: str, status: int) -> None:
    """DNS rebinding: a name that now leads here must not open the websocket."""
    own = urlsplit(dashboard).netloc
    headers = {
        "host": host or own,
        "origin": origin or dashboard,
        "connection": "Upgrade",
        "upgrade": "websocket",
        "sec-websocket-version": "13",
        "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==",
    }
    with httpx.stream("GET", f"{dashboard}/_stcore/stream", headers=headers, trust_env=False) as answer:
        assert answer.status_code == status
