"""Files out of a real browser: the menu of every page, the Data page, and what happens when it goes wrong."""

import signal
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import polars as pl
import psutil
import pytest
from playwright.sync_api import Download, Page, expect

from dashboard.window import absolute
from tests.e2e.conftest import PAGES, Shown, log_of, place, settle
from tests.e2e.test_main_paths import Tab
from tests.servers.dashboard import running_dashboard
from tests.servers.warehouse import WarehouseProcess, running_warehouse
from tests.warehouse.filling import fill_attempts
from warehouse.model import now

ROWS = 1_200_000


def choose(page: Page, rows: str, form: str) -> Download:
    """Export rows from the page's menu."""
    page.get_by_role("button", name="Export").click()
    page.get_by_role("radiogroup", name="Export the rows of").get_by_text(rows, exact=True).click()
    settle(page)
    with page.expect_download() as caught:
        page.get_by_role("button", name=form, exact=True).click()
    return caught.value


def window_of(name: str) -> dict[str, str]:
    """The window in a file's name, as a question's parameters."""
    _, start, end = Path(name).stem.split("-")
    return {"start": start, "end": end}


def frame(file: Path) -> pl.DataFrame:
    return pl.read_parquet(file) if file.suffix == ".parquet" else pl.read_csv(file)


@pytest.mark.parametrize(
    ("path", "rows", "question", "form"),
    [
        ("", "Percentiles and errors of the window, per endpoint", "latency_summary", "CSV"),
        ("latency", "Single attempts", "attempts", "CSV"),
        ("hosts?host=box", "Host resources, newest samples", "host_now", "Parquet"),
        ("collectors", "Gaps", "gaps", "Parquet"),
    ],
)
def test_a_page_exports_what_the_api_answers(
    shown: Shown, open_tab: Tab, tmp_path: Path, path: str, rows: str, question: str, form: str
) -> None:
    url, warehouse = shown
    page = open_tab(f"{url}/{path}{'&' if '?' in path else '?'}range=1h")
    download = choose(page, rows, form)
    assert download.failure() is None
    saved = tmp_path / download.suggested_filename
    download.save_as(saved)
    assert saved.stem.startswith(question)
    with warehouse.client("cli") as client:
        own = tmp_path / f"own{saved.suffix}"
        more = {"host": ["box"]} if question == "host_now" else {}
        edges = {
            name: f"{edge[:4]}-{edge[4:6]}-{edge[6:11]}:{edge[11:13]}:{edge[13:15]}Z"
            for name, edge in window_of(saved.name).items()
        }
        client.export(question, form.lower(), own, **edges, **more)
    assert frame(saved).equals(frame(own))
    assert frame(saved).height > 0
    expect(page.get_by_text("handed to the browser as")).to_be_visible()
    expect(page.get_by_role("radiogroup", name="Export the rows of")).to_be_hidden()


def test_the_data_page_exports_with_its_filters(shown: Shown, open_tab: Tab, tmp_path: Path) -> None:
    end = now() - timedelta(minutes=1)
    fixed = absolute(end - timedelta(hours=1), end)
    page = open_tab(f"{shown[0]}/data?range={fixed}&rows=attempts&endpoint=GET+%2Fslow")
    with page.expect_download() as caught:
        page.get_by_role("button", name="Parquet").click()
    caught.value.save_as(tmp_path / "a.parquet")
    rows = pl.read_parquet(tmp_path / "a.parquet")
    assert set(rows["endpoint"]) == {"GET /slow"}
    expect(page.get_by_role("heading", name=f"{rows.height} rows")).to_be_visible()
    page.get_by_role("button", name="Dismiss").click()
    expect(page.get_by_text("handed to the browser as")).to_be_hidden()


def test_a_ticket_in_the_page_cannot_be_used_again(shown: Shown, open_tab: Tab) -> None:
    page = open_tab(f"{shown[0]}/collectors?range=1h")
    download = choose(page, "Gaps", "CSV")
    assert download.failure() is None
    assert urlsplit(download.url).path.startswith("/download/")
    assert httpx.get(download.url, trust_env=False).status_code == 410
    assert "Traceback" not in log_of(shown[1]).read_text()


@pytest.mark.parametrize("mode", ["light", "dark"])
def test_menu_and_progress_fit_a_phone(shown: Shown, open_tab: Tab, mode: str) -> None:
    for path in PAGES:
        page = open_tab(place(shown, path, range="1h"), width=390, mode=mode)
        if path != "data":
            page.get_by_role("button", name="Export").click()
            expect(page.get_by_role("button", name="CSV", exact=True)).to_be_in_viewport()
        with page.expect_download():
            page.get_by_role("button", name="CSV", exact=True).click()
        expect(page.get_by_text("handed to the browser as")).to_be_visible()
        widths = page.evaluate(
            "() => [...document.querySelectorAll('html, body, [data-testid=stMain]')].map(e => e.scrollWidth)"
        )
        assert max(widths) <= 390, path
        page.close()


@pytest.fixture
def big(tmp_path: Path) -> Iterator[tuple[str, WarehouseProcess]]:
    """A dashboard over so many rows that an export takes its time."""
    with running_warehouse(tmp_path) as process:
        process.stop()
        fill_attempts(process.settings, ROWS)
        process.start()
        with running_dashboard(process.settings, tmp_path / "dashboard.log") as url:
            yield url, process


def test_a_warehouse_that_dies_midway_fails_the_download_and_says_so(
    big: tuple[str, WarehouseProcess], open_tab: Tab
) -> None:
    url, warehouse = big
    page = open_tab(f"{url}/data?range=30d&rows=attempts")
    with page.expect_download() as caught:
        page.get_by_role("button", name="CSV").click()
    warehouse.kill()
    assert caught.value.failure()
    warehouse.start()
    expect(page.get_by_text("so the browser has no whole file")).to_be_visible()
    with page.expect_download() as again:
        page.get_by_role("button", name="Try again").click()
    assert again.value.failure() is None
    assert Path(again.value.path()).read_bytes().count(b"\n") == ROWS + 1


def test_told_to_stop_the_dashboard_waits_for_no_download(
    big: tuple[str, WarehouseProcess], open_tab: Tab
) -> None:
    url, _ = big
    port = urlsplit(url).port
    (process,) = [
        psutil.Process(kept.pid)
        for kept in psutil.net_connections("tcp")
        if kept.pid and kept.status == psutil.CONN_LISTEN and kept.laddr and kept.laddr.port == port
    ]
    page = open_tab(f"{url}/data?range=30d&rows=attempts")
    with page.expect_download() as caught:
        page.get_by_role("button", name="CSV").click()
    process.send_signal(signal.SIGTERM)
    assert caught.value.failure()
    process.wait(15)
    page.close()
