"""The real dashboard and warehouse, and a real Chromium that may only talk to this machine."""

from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlencode

import polars as pl
import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, Request, expect, sync_playwright

from tests.dashboard import load_worlds
from tests.dashboard.conftest import CONFIG, fill
from tests.servers.dashboard import running_dashboard
from tests.servers.warehouse import WarehouseProcess, running_warehouse

CHROMIUM = "/usr/bin/chromium-headless-shell"
"""Chromium without the windows, menus and new-tab page of its own, which cost 1.5 s of CPU a tab."""

FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
WAIT_MS = 30_000
READY = "[data-testid=stApp][data-test-script-state=notRunning][data-test-connection-state=CONNECTED]"

# Streamlit, opened below a page's path, looks for its server there before it looks at the root.
PROBES_OF_STREAMLIT = ("/_stcore/health", "/_stcore/host-config")

PAGES = {
    "": "Overview",
    "regressions": "Regressions",
    "latency": "API latency",
    "baseline": "Baseline",
    "database": "Database",
    "hosts": "Hosts",
    "loadtests": "Load tests",
    "run": "Load test",
    "compare": "Compare runs",
    "collectors": "Collectors",
    "data": "Data",
}
"""Every page by its path, and its title."""

Shown = tuple[str, WarehouseProcess]


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shown]:
    """Address of a dashboard over plenty of data that end now, and its warehouse."""
    folder = tmp_path_factory.mktemp("e2e")
    with running_warehouse(folder, CONFIG + load_worlds.CONFIG) as warehouse:
        with warehouse.client("collect") as client:
            fill("plenty", client)
            fill("hostile", client)
        with warehouse.client("cli") as asks, warehouse.client("agent") as agent:
            load_worlds.full(asks, agent)
        with running_dashboard(warehouse.settings, folder / "dashboard.log") as url:
            yield url, warehouse


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """One browser for all tests here; it ends with them, and its event loop with it."""
    with sync_playwright() as playwright:
        expect.set_options(timeout=WAIT_MS)
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield started
        started.close()


@pytest.fixture
def open_tab(browser: Browser) -> Iterator[Callable[..., Page]]:
    """A tab in a context of its own. At the end: no error in the console, no request left this machine."""
    contexts, wrong = [], []

    def heard(message: ConsoleMessage) -> None:
        address = message.location.get("url", "")
        if message.type == "error" and not address.endswith(PROBES_OF_STREAMLIT):
            wrong.append(f"{message.text} {address}")

    def asked(request: Request) -> None:
        if not request.url.startswith(("http://127.0.0.1:", "ws://127.0.0.1:", "data:", "blob:")):
            wrong.append(f"left this machine: {request.url}")

    def open_(url: str, *, width: int = 1440, mode: str = "light") -> Page:
        context = browser.new_context(
            viewport={"width": width, "height": 1000},
            color_scheme="dark" if mode == "dark" else "light",
            timezone_id="Europe/Berlin",
        )
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(WAIT_MS)
        page.on("console", heard)
        page.on("request", asked)
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.goto(url)
        settle(page)
        return page

    yield open_
    for context in contexts:
        context.close()
    assert not wrong


def place(shown: Shown, path: str, **address: str) -> str:
    """The address of a page: that of a run names one, that of a comparison a run and its baseline."""
    if path in ("run", "compare"):
        with shown[1].client("cli") as client:
            runs = client.ask("runs", preset=["judged"], verdict=["pass"]).filter(pl.col("note") != "")
            base = client.ask("runs", baseline=True)
        one = {"run": runs["run_id"][0]}
        address |= one if path == "run" else {"a": base["run_id"][0], "b": runs["run_id"][0]}
    return f"{shown[0]}/{path}?{urlencode(address)}"


def settle(page: Page) -> None:
    """Wait until the page has run, nothing is stale, and charts are drawn."""
    page.wait_for_timeout(150)
    page.wait_for_selector(READY, state="attached")
    page.wait_for_function(
        "() => !document.querySelector('[data-stale=true], [data-testid=stSkeleton]')"
        " && document.querySelector('[data-testid=stCaptionContainer]')"
    )
    page.wait_for_timeout(250)


def log_of(warehouse: WarehouseProcess) -> Path:
    """What the dashboard printed."""
    return warehouse.config.with_name("dashboard.log")
