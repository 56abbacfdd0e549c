"""When a page is ready in Chromium: cold, and after a change of the range."""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
from playwright.sync_api import Browser, Page, sync_playwright

from bench.filling import ATTEMPTS, ENDPOINTS, fill
from bench.report import Section, spread
from bench.service import ROOT, process, scratch, warehouse, write_config
from warehouse.model import now
from warehouse.settings import Settings

CHROMIUM = "/usr/bin/chromium-headless-shell"
FLAGS = ("--no-sandbox", "--disable-gpu", "--disable-background-networking")
PAGES = {"Overview": "", "API latency": "latency", "Hosts": "hosts", "Collectors": "collectors"}
ROUNDS = 5
READY_S = 60.0
READY = """() => {
    const app = document.querySelector('[data-testid=stApp]');
    return app && app.dataset.testScriptState === 'notRunning'
        && app.dataset.testConnectionState === 'CONNECTED'
        && !document.querySelector('[data-stale=true]')
        && !document.querySelector('[data-testid=stSkeleton]')
        && document.querySelector('[data-testid=stHeading], h1, h2')
        && [...document.querySelectorAll('[data-testid=stPlotlyChart]')]
            .every(chart => chart.querySelector('.main-svg'));
}"""


def measure() -> Section:
    """Each round opens each page in a fresh browser context, then changes its range."""
    rows = []
    with scratch() as folder:
        settings = write_config(folder, warehouse="deadline_s = 60")
        fill(settings, now())
        with warehouse(settings), dashboard(settings), sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
            for name, path in PAGES.items():
                url = f"http://127.0.0.1:{settings.dashboard.port}/{path}"
                cold, changed = [], []
                for _ in range(ROUNDS):
                    first, second = _visit(browser, url)
                    cold.append(first)
                    changed.append(second)
                rows.append((name, spread(cold, "s", 2), spread(changed, "s", 2)))
            browser.close()
    return Section(
        "Page ready in Chromium",
        f"""From the request (or the click on another range, 1 h to 6 h) until the script has run, nothing
is stale and every chart is drawn. {ATTEMPTS:,} attempts of {ENDPOINTS} endpoints in the warehouse; {ROUNDS}
visits of each page, each in a browser context without cache; median (middle half). Browser, dashboard and
warehouse share the two cores. The warehouse holds attempts alone: Hosts and Collectors show that they have
none.""",
        ("page", "cold", "after a change of the range"),
        rows,
    )


def range_change(settings: Settings, name: str) -> tuple[str, str, str, str]:
    """How long a page takes to be ready after a change to the last hour, and to the last year, in turns."""
    url = f"http://127.0.0.1:{settings.dashboard.port}/{PAGES[name]}?range=6h"
    times: dict[str, list[float]] = {"1h": [], "1y": []}
    with dashboard(settings), sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        page = browser.new_page(viewport={"width": 1440, "height": 1000})
        page.goto(url)
        _wait_ready(page)
        for turn in range(ROUNDS + 1):
            for choice, measured in times.items():
                began = time.perf_counter()
                _choose(page, choice)
                if turn:
                    measured.append(time.perf_counter() - began)
        browser.close()
    hour, year = (statistics.median(measured) for measured in times.values())
    told = f"{spread(times['1h'], 's', 2)}, {spread(times['1y'], 's', 2)}: {year / hour:.2f}x"
    return (f"{name} ready after a change to 1 h, to 1 y", told, "at most 1.2x", "")


def _choose(page: Page, choice: str) -> None:
    page.get_by_role("radio", name=choice, exact=True).click()
    page.wait_for_url(f"**range={choice}**")
    _wait_ready(page)


def _visit(browser: Browser, url: str) -> tuple[float, float]:
    context = browser.new_context(viewport={"width": 1440, "height": 1000})
    page = context.new_page()
    began = time.perf_counter()
    page.goto(f"{url}?range=1h")
    _wait_ready(page)
    middle = time.perf_counter()
    _choose(page, "6h")
    ended = time.perf_counter()
    context.close()
    return middle - began, ended - middle


def _wait_ready(page: Page) -> None:
    page.wait_for_function(READY, timeout=READY_S * 1000)


@contextmanager
def dashboard(settings: Settings) -> Iterator[None]:
    """The dashboard of a configuration, answering."""
    own = [sys.executable, str(ROOT / "perfhouse.py"), "--config", str(settings.path), "dashboard"]
    with process(own):
        until = time.monotonic() + READY_S
        while not _answers(f"http://127.0.0.1:{settings.dashboard.port}/_stcore/health"):
            if time.monotonic() > until:
                raise TimeoutError("the dashboard did not start")
            time.sleep(0.1)
        yield


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=1, trust_env=False).is_success
    except httpx.HTTPError:
        return False
