"""A load test as it is run: how soon a request is shown, and what the rows of an hour take of memory."""

from __future__ import annotations

import itertools
import json
import statistics
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
from playwright.sync_api import sync_playwright

from bench.loadtests import bare_server
from bench.pages import CHROMIUM, FLAGS, dashboard
from bench.report import Section
from bench.service import ROOT, process, scratch, warehouse, write_config
from loadtests.folder import Folder
from loadtests.spool_format import Row, unpack
from warehouse.client import Client
from warehouse.errors import PerfhouseError
from warehouse.settings import Settings

WATCHED_S = 30
HOUR_S = 60
POLL_S = 0.1
WAIT_S = 120.0
COUNTS = """() => {
    window.counts = [];
    const look = () => {
        for (const card of document.querySelectorAll('[data-testid=stMetric]')) {
            const told = /^[\\d,]+ of ([\\d,]+)$/m.exec(card.innerText);
            const count = told ? Number(told[1].replace(/,/g, '')) : 0;
            if (count > (window.counts.at(-1) ?? [0])[0]) window.counts.push([count, Date.now() / 1000]);
        }
        requestAnimationFrame(look);
    };
    look();
}"""
"""Notes, frame by frame, each new count of requests that the run page shows (`0 of 1,234`), and when."""

SETTLED = 5
"""Beats until all users are there."""

CONFIGURATION = """
[[target]]
name = "bench"
url = "{url}"
endpoint = [{{ path = "/health" }}]
load = {{ users = 100, requests_per_s = 1000000, duration_s = 600 }}
[[scenario]]
name = "watched"
think_s = 0.1
request = [{{ path = "/health" }}]
[[scenario]]
name = "hour"
request = [{{ path = "/health" }}]
[[preset]]
name = "watched"
users = 10
spawn_rate = 50
duration_s = {watched_s}
[[preset]]
name = "hour"
users = 20
spawn_rate = 50
duration_s = {hour_s}
"""


def measure() -> Section:
    """One run that is watched, and one that sends as much in a minute as another does in an hour."""
    with bare_server() as url, scratch() as folder:
        extra = CONFIGURATION.format(url=url, watched_s=WATCHED_S, hour_s=HOUR_S)
        settings = write_config(folder, extra)
        with warehouse(settings) as store, _agent(settings) as agent, _client(settings) as client:
            lags = _watch(settings, client)
            with dashboard(settings):
                shown = _look(settings, client)
            memory, requests = _hour(settings, client, {"agent": agent, "warehouse": store.pid})
    rows = [
        (
            "from a request's end to an answer that counts it, median",
            f"{statistics.median(lags):.2f} s",
        ),
        ("the longest of all", f"{max(lags):.2f} s"),
        (
            f"from a request's end to the frame that shows it, median (longest) of {len(shown)}",
            f"{statistics.median(shown):.2f} s ({max(shown):.2f} s)",
        ),
        *((f"memory of the {name}: before, most, after", told) for name, told in memory.items()),
    ]
    return Section(
        "A load test as it is run",
        f"""Agent and warehouse of an installation of its own. Ten users who think for 0.1 s are watched by
the question behind the run page (`run_seconds`), asked every {POLL_S:g} s: when an answer counts more
requests than the one before it, the lag is that of the oldest that is new, by the end that the spool has
of it ({len(lags)} answers). The same is told of the page itself, opened in Chromium during a second run:
it asks every second, and each frame in which its count of requests has grown is noted. Memory is
resident: {requests:,} requests sent, shipped and stored in {HOUR_S} s, as many as an hour has at
{requests / 3600:,.0f}/s; a real hour was not waited for. Of the generator it is what its beats told.""",
        ("", ""),
        rows,
    )


@contextmanager
def _agent(settings: Settings) -> Iterator[int]:
    command = [sys.executable, str(ROOT / "perfhouse.py"), "--config", str(settings.path), "agent"]
    with process(command) as child:
        yield child.pid


@contextmanager
def _client(settings: Settings) -> Iterator[Client]:
    with Client.for_process(settings, "cli") as client:
        yield client


def _begin(client: Client, preset: str) -> str:
    """Request the run of a preset; its id."""
    return str(client.request_run("bench", preset, preset, via="cli")["run_id"])


def _has_ended(client: Client, run_id: str) -> bool:
    return client.ask("run", run_id=run_id)["complete_at"][0] is not None


def _watch(settings: Settings, client: Client) -> list[float]:
    """How old the oldest new request was in each answer that counted more than the one before."""
    run_id = _begin(client, "watched")
    seen: list[tuple[int, float]] = [(0, 0.0)]
    until = time.monotonic() + WAIT_S
    while time.monotonic() < until and not _has_ended(client, run_id):
        count = int(client.ask("run_seconds", run_id=run_id)["requests"].sum() or 0)
        if count > seen[-1][0]:
            seen.append((count, time.time()))
        time.sleep(POLL_S)
    ends_s = _ends_s(settings, run_id)
    assert seen[-1][0] == len(ends_s), "every request was shown"
    return _lags(seen, ends_s)


def _look(settings: Settings, client: Client) -> list[float]:
    """The same in frames of the run page in Chromium."""
    run_id = _begin(client, "watched")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        page = browser.new_page(viewport={"width": 1440, "height": 1000})
        page.goto(f"http://127.0.0.1:{settings.dashboard.port}/run?run={run_id}")
        page.evaluate(COUNTS)
        until = time.monotonic() + WAIT_S
        while time.monotonic() < until and not _has_ended(client, run_id):
            page.wait_for_timeout(500)
        page.wait_for_timeout(2000)
        seen: list[tuple[int, float]] = [(int(count), at_s) for count, at_s in page.evaluate("window.counts")]
        browser.close()
    assert len(seen) > 1, "the page showed the run"
    return _lags(seen, _ends_s(settings, run_id))


def _lags(seen: list[tuple[int, float]], ends_s: list[float]) -> list[float]:
    """How old the oldest new request was each time that more were shown (count, Unix time)."""
    return [at_s - ends_s[before] for (before, _), (_, at_s) in itertools.pairwise(seen)]


def _ends_s(settings: Settings, run_id: str) -> list[float]:
    """When each request of a run ended, in order."""
    return sorted((row.start_us + row.service_us) / 1e6 for row in _rows(settings, run_id))


def _rows(settings: Settings, run_id: str) -> list[Row]:
    files = Folder(settings.runs_dir / run_id).path.glob("requests-*.bin")
    return [row for file in sorted(files) for row in unpack(file.read_bytes())]


def _hour(settings: Settings, client: Client, pids: dict[str, int]) -> tuple[dict[str, str], int]:
    """Resident memory of each part around and during a run, and the run's requests."""
    before = {name: _resident(pid) for name, pid in pids.items()}
    most = dict(before)
    is_over = threading.Event()

    def look() -> None:
        while not is_over.wait(0.2):
            for name, pid in pids.items():
                most[name] = max(most[name], _resident(pid))

    looking = threading.Thread(target=look)
    looking.start()
    try:
        run_id = _begin(client, "hour")
        until = time.monotonic() + HOUR_S + WAIT_S
        while not _has_ended(client, run_id):
            if time.monotonic() > until:
                raise PerfhouseError("the run did not end")
            time.sleep(0.5)
    finally:
        is_over.set()
        looking.join()
    told = {name: _told([before[name], most[name], _resident(pid)]) for name, pid in pids.items()}
    beats = _beats(settings, run_id)
    told["generator"] = _told([beats[SETTLED], max(beats), beats[-1]])
    stored = int(client.ask("run", run_id=run_id)["requests"][0])
    return told, stored


def _beats(settings: Settings, run_id: str) -> list[int]:
    """Resident bytes at each of the generator's beats."""
    file: Path = settings.runs_dir / run_id / "events-0.jsonl"
    lines = map(json.loads, file.read_bytes().splitlines())
    return [int(line.get("memory_bytes", 0)) for line in lines if line["kind"] == "beat"]


def _resident(pid: int) -> int:
    return int(psutil.Process(pid).memory_info().rss)


def _told(values: list[int]) -> str:
    return ", ".join(f"{value / 1e6:.0f}" for value in values) + " MB"
