"""Takes the README's picture of the running product: `python docs/screenshot.py [ADDRESS]`."""

import sys
from pathlib import Path

from playwright.sync_api import sync_playwright

ADDRESS = "http://127.0.0.1:8501"
PICTURE = Path(__file__).parent / "images" / "overview.png"
CHROMIUM = "/usr/bin/chromium"
QUIET = ("--no-sandbox", "--disable-gpu", "--disable-background-networking")
SETTLED = "[data-testid=stApp][data-test-script-state=notRunning][data-test-connection-state=CONNECTED]"
PATIENCE_MS = 60_000


def take(address: str) -> None:
    """Open the page, wait until it is drawn, and store what a person sees."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(QUIET))
        page = browser.new_page(viewport={"width": 1440, "height": 1000}, color_scheme="light")
        page.goto(address)
        page.wait_for_selector(SETTLED, timeout=PATIENCE_MS)
        page.wait_for_function(
            "() => document.querySelector('.js-plotly-plot .main-svg')"
            " && !document.querySelector('[data-stale=true], [data-testid=stSkeleton]')",
            timeout=PATIENCE_MS,
        )
        page.wait_for_timeout(1000)  # charts grow into place
        PICTURE.parent.mkdir(exist_ok=True)
        page.screenshot(path=PICTURE)
        browser.close()


if __name__ == "__main__":
    take(sys.argv[1] if len(sys.argv) > 1 else ADDRESS)
