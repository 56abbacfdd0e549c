"""A person at a browser: opens pages, waits until they stand still, drags, and notes what went wrong."""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from urllib.parse import parse_qs, urlencode, urlsplit

from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page

CHROMIUM = "/usr/bin/chromium"
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-dev-shm-usage"]
PATIENCE_MS = 90_000
WIDE = {"width": 1440, "height": 1000}
NARROW = {"width": 390, "height": 844}
PAGES = {"overview": "/", "latency": "/latency", "hosts": "/hosts", "collectors": "/collectors"}

STANDS_STILL = """() => {
    const app = document.querySelector('[data-testid=stApp]');
    return app && app.dataset.testScriptState === 'notRunning'
        && app.dataset.testConnectionState === 'CONNECTED'
        && !document.querySelector('[data-stale=true]')
        && !document.querySelector('[data-testid=stSkeleton]');
}"""
WIDER_THAN_SCREEN = "() => document.documentElement.scrollWidth - document.documentElement.clientWidth"


@dataclass
class Visit:
    """One tab, and what it did wrong."""

    page: Page
    base: str
    errors: list[str] = field(default_factory=list)
    abroad: list[str] = field(default_factory=list)

    def open(self, name: str = "overview", **parameters: object) -> "Visit":
        """Open a page by its name and wait until it stands still."""
        query = f"?{urlencode(parameters, doseq=True)}" if parameters else ""
        self.page.goto(f"{self.base}{PAGES[name]}{query}")
        return self.settle()

    def settle(self) -> "Visit":
        """Wait until nothing is being asked or drawn any more."""
        self.page.wait_for_selector("[data-testid=stApp]", timeout=PATIENCE_MS)
        self.page.wait_for_timeout(150)
        self.page.wait_for_function(STANDS_STILL, timeout=PATIENCE_MS)
        self.page.wait_for_timeout(100)
        self.page.wait_for_function(STANDS_STILL, timeout=PATIENCE_MS)
        return self

    @property
    def text(self) -> str:
        """Everything the page says."""
        return self.page.locator("[data-testid=stMain]").inner_text()

    @property
    def title(self) -> str:
        """The heading of the page."""
        return self.page.locator("h1").first.inner_text()

    @property
    def address(self) -> Mapping[str, list[str]]:
        """The parameters in the address as it is now."""
        return parse_qs(urlsplit(self.page.evaluate("() => location.href")).query)

    @property
    def range(self) -> str:
        """The range in the address; empty when none is there."""
        return self.address.get("range", [""])[0]

    @property
    def chosen_range(self) -> str:
        """The range that the control shows as chosen."""
        return self.page.get_by_role("radio", checked=True).first.inner_text()

    def press(self, name: str) -> "Visit":
        """Choose one of the ranges."""
        self.page.get_by_role("radio", name=re.compile(rf"^{name}$")).click()
        return self.settle()

    def follow(self, link: str) -> "Visit":
        """Click a link of the side navigation, which a narrow screen hides until asked."""
        opener = self.page.locator("[data-testid=stExpandSidebarButton]")
        if opener.is_visible():
            opener.click()
        self.page.locator("[data-testid=stSidebar]").get_by_role("link", name=link).click()
        self.page.wait_for_function(
            "title => document.querySelector('h1')?.innerText === title", arg=link, timeout=PATIENCE_MS
        )
        return self.settle()

    def drag(self, start: float, end: float, chart: int = 0) -> "Visit":
        """Drag across a chart from one share of its width to another."""
        plot = self.page.locator("[data-testid=stPlotlyChart] .nsewdrag").nth(chart)
        plot.scroll_into_view_if_needed()
        box = plot.bounding_box()
        assert box is not None
        middle = box["y"] + box["height"] / 2
        self.page.mouse.move(box["x"] + box["width"] * start, middle)
        self.page.mouse.down()
        for step in range(1, 11):
            share = start + (end - start) * step / 10
            self.page.mouse.move(box["x"] + box["width"] * share, middle)
        self.page.mouse.up()
        self.page.wait_for_timeout(400)
        return self.settle()

    def back(self) -> "Visit":
        """The browser's Back."""
        self.page.go_back()
        return self.settle()

    def overflow(self) -> int:
        """By how many pixels the page is wider than the screen."""
        return int(self.page.evaluate(WIDER_THAN_SCREEN))


@contextmanager
def tab(browser: Browser, base: str, screen: Mapping[str, int], *, dark: bool) -> Iterator[Visit]:
    """A fresh tab that remembers nothing of others."""
    context = browser.new_context(
        viewport={"width": screen["width"], "height": screen["height"]},
        color_scheme="dark" if dark else "light",
        timezone_id="Europe/Berlin",
        locale="en-GB",
    )
    try:
        yield _watched(context, base)
    finally:
        context.close()


def _watched(context: BrowserContext, base: str) -> Visit:
    page = context.new_page()
    page.set_default_timeout(PATIENCE_MS)
    visit = Visit(page, base)

    def hear(message: ConsoleMessage) -> None:
        # On a page that is not the first, Streamlit looks for its server below the page's path first.
        searching = re.search(r"/(latency|hosts|collectors)/_stcore/", message.location["url"])
        if message.type == "error" and not searching:
            visit.errors.append(f"{message.text} {message.location['url']}")

    def see(url: str) -> None:
        parts = urlsplit(url)
        if parts.scheme in {"http", "https", "ws", "wss"} and parts.hostname != "127.0.0.1":
            visit.abroad.append(url)

    page.on("console", hear)
    page.on("pageerror", lambda error: visit.errors.append(str(error)))
    page.on("request", lambda request: see(request.url))
    page.on("websocket", lambda socket: see(socket.url))
    return visit
