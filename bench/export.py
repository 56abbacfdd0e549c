"""Exports of 10 M attempts: how long, and how much memory each process on the way takes for it."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path

import httpx
import psutil
import uvicorn
from starlette.responses import PlainTextResponse

from bench.filling import ATTEMPTS, DAYS, fill
from bench.report import Section
from bench.service import free_port, scratch, warehouse, write_config
from dashboard.download import Downloads
from dashboard.tickets import TICKETS, Download
from warehouse.client import Client
from warehouse.model import now
from warehouse.service import PRELOAD_AFTER_S
from warehouse.settings import Settings

NOWHERE = Path("/dev/null")
LOOK_EVERY_S = 0.02
LIMIT_MB = 150


def measure() -> Section:
    """By the client and through the dashboard's route, each from a warehouse that was just started."""
    with scratch() as folder:
        settings, end = write_config(folder), now()
        fill(settings, end)
        rows = [
            _one(settings, form, way, end)
            for form in ("csv", "parquet")
            for way in ("client", "dashboard's route")
        ]
    just_started = max(float(row[4].split()[0]) for row in rows)
    settled = max(float(row[column].split()[0]) for row in rows for column in (5, 6))
    return Section(
        "Exports",
        f"""`attempts`, all {ATTEMPTS:,} rows of {DAYS} days, streamed to nowhere: by the command line's
client, and by HTTP through the dashboard's route, which here runs in the bench's own process. Memory is
the resident set's growth at its highest, looked at every {LOOK_EVERY_S * 1000:.0f} ms, over that before;
what DuckDB keeps cached of the table is in it. "Just started" begins {2 * PRELOAD_AFTER_S:g} s after a
start, when the exports' code has been loaded; "after a small one" after an export of an hour.""",
        ("format", "way", "bytes", "time", "warehouse, just started", "after a small one", "reader"),
        rows,
        f"At most {settled:.0f} MB more in any process, {just_started:.0f} MB in a warehouse just started; "
        f"the aim is {LIMIT_MB} MB.",
    )


def _one(settings: Settings, form: str, way: str, end: datetime) -> tuple[str, ...]:
    grown: dict[bool, tuple[float, float]] = {}
    for warm in (False, True):
        with warehouse(settings) as child, Client.for_process(settings, "dashboard") as client:
            started = end - timedelta(hours=1 if warm else 0.001)
            if warm:
                _run(client, form, way, started, end)
            else:
                time.sleep(2 * PRELOAD_AFTER_S)
            watched = psutil.Process(child.pid)
            with _highest(watched, psutil.Process()) as most:
                began = time.monotonic()
                sent = _run(client, form, way, end - timedelta(days=DAYS + 1), end)
                took_s = time.monotonic() - began
        grown[warm] = (most[0], most[1])
    return (
        form,
        way,
        f"{sent / 1e6:,.0f} MB",
        f"{took_s:.1f} s",
        f"{grown[False][0]:.0f} MB",
        f"{grown[True][0]:.0f} MB",
        f"{max(both[1] for both in grown.values()):.0f} MB",
    )


def _run(client: Client, form: str, way: str, start: datetime, end: datetime) -> int:
    """Bytes that arrived."""
    if way == "client":
        return client.export("attempts", form, NOWHERE, start=start, end=end)
    window = {"start": start, "end": end}
    download = TICKETS.issue(Download("attempts", window, form, "Attempts", f"attempts.{form}", client))
    with _route() as address:
        url = f"{address}/download/{download.ticket}"
        with httpx.stream("GET", url, timeout=60, trust_env=False) as answer:
            return sum(map(len, answer.raise_for_status().iter_raw()))


@contextmanager
def _route() -> Iterator[str]:
    port = free_port()
    app = Downloads(PlainTextResponse(""), ["127.0.0.1"])
    server = uvicorn.Server(uvicorn.Config(app, port=port, log_level="warning"))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join()


@contextmanager
def _highest(*processes: psutil.Process) -> Iterator[list[float]]:
    """The highest growth of each process's resident set meanwhile, in MB."""
    before = [process.memory_info().rss for process in processes]
    most, ended = [0.0] * len(processes), threading.Event()

    def look() -> None:
        while not ended.wait(LOOK_EVERY_S):
            for place, process in enumerate(processes):
                most[place] = max(most[place], (process.memory_info().rss - before[place]) / 1e6)

    watcher = threading.Thread(target=look)
    watcher.start()
    try:
        yield most
    finally:
        ended.set()
        watcher.join()
