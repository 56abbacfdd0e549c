"""A few tabs of a real Chromium in a process of its own: live pages, watched until told to stop.

`python -m tests.faults.tabs URL COUNT` says `ready`, then `noticed` once every tab told that the warehouse is
away, waits for a line, and answers with one line of JSON: what each tab shows in the end, and its errors.
"""

import json
import sys
import threading
import time

from playwright.sync_api import Page, sync_playwright

from tests.e2e.conftest import CHROMIUM, FLAGS, WAIT_MS, settle

AWAY = "The warehouse is away"
WELL = "Probes p50"


def watch(pages: list[Page], told: threading.Event) -> None:
    """Look at every tab until told to stop; say once when each has told that the warehouse is away."""
    unaware = list(pages)
    while not told.is_set():
        for page in tuple(unaware):
            if AWAY in page.inner_text("body"):
                unaware.remove(page)
                if not unaware:
                    print("noticed", flush=True)
        time.sleep(0.2)


def recovered(page: Page) -> str:
    """Wait until the page is as it was, without a reload; what it shows."""
    try:
        page.wait_for_function(
            "([well, away]) => { const text = document.body.innerText;"
            " return text.includes(well) && !text.includes(away); }",
            arg=[WELL, AWAY],
            timeout=WAIT_MS,
        )
    except Exception as error:  # noqa: BLE001 - handed to the test as words
        return f"{type(error).__name__}: {page.inner_text('body')[:500]}"
    return WELL


def main(url: str, count: int) -> None:
    """Open the tabs, watch, tell."""
    told = threading.Event()
    errors: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        pages = [browser.new_page() for _ in range(count)]
        for page in pages:
            page.on("pageerror", lambda error: errors.append(str(error)))
            page.set_default_timeout(WAIT_MS)
            page.goto(f"{url}/?range=15m&live=1")
            settle(page)
        print("ready", flush=True)
        threading.Thread(target=lambda: (sys.stdin.readline(), told.set()), daemon=True).start()
        watch(pages, told)
        shown = [recovered(page) for page in pages]
        print(json.dumps({"shown": shown, "errors": errors}), flush=True)
        browser.close()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
