"""Takes the README's pictures of the running product: `python docs/screenshot.py [ADDRESS]`.

The second is of the newest load test; where none ran it is left as it is.
"""

import sys
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

ADDRESS = "http://127.0.0.1:8501"
IMAGES = Path(__file__).parent / "images"
CHROMIUM = "/usr/bin/chromium-headless-shell"
QUIET = ("--no-sandbox", "--disable-gpu", "--disable-background-networking")
SETTLED = "[data-testid=stApp][data-test-script-state=notRunning][data-test-connection-state=CONNECTED]"
PATIENCE_MS = 60_000
GROWN_MS = 1500
"""How long charts take to grow into place."""


def take(address: str) -> None:
    """Open the pages, wait until they are drawn, and store what a person sees."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(QUIET))
        page = browser.new_page(viewport={"width": 1440, "height": 1000}, color_scheme="light")
        page.set_default_timeout(PATIENCE_MS)
        store(page, address, ".js-plotly-plot .main-svg", "overview.png")
        page.goto(f"{address}/run")
        page.wait_for_selector(SETTLED)
        newest = page.locator("[class*=st-key-open_r] button").first
        page.wait_for_timeout(GROWN_MS)
        if newest.count():
            newest.click()
            page.wait_for_url("**/run?run=r*")
            store(page, page.url, "[class*=st-key-run_latency] canvas", "loadtest.png")
        else:
            print("no load test ran here yet: `perfhouse loadtest run smoke`", file=sys.stderr)
        browser.close()


def store(page: Page, address: str, drawn: str, name: str) -> None:
    """A picture of a page once `drawn` is there."""
    page.goto(address)
    page.wait_for_selector(SETTLED)
    page.wait_for_selector(drawn)
    page.wait_for_function("() => !document.querySelector('[data-stale=true], [data-testid=stSkeleton]')")
    page.wait_for_timeout(GROWN_MS)
    IMAGES.mkdir(exist_ok=True)
    page.screenshot(path=IMAGES / name)


if __name__ == "__main__":
    take(sys.argv[1] if len(sys.argv) > 1 else ADDRESS)
