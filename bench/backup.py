"""The whole warehouse out into one file and back, while batches go on arriving."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta

import psutil

from bench.filling import ATTEMPTS, ENDPOINTS, fill
from bench.report import Section, nearest_rank
from bench.service import ROOT, scratch, warehouse, write_config
from warehouse.client import Client, pack
from warehouse.model import Attempt, Batch, Outcome, now
from warehouse.settings import Settings

SETTLE_S = 10.0
ROWS = 1_000
"""In each of the batches that go on arriving."""


def measure() -> Section:
    """Fill a warehouse, let batches arrive all the time, and run the commands as a person does."""
    rows = []
    with scratch() as folder:
        settings = write_config(folder, warehouse="deadline_s = 120")
        fill(settings, now())
        file = folder / "backup.tar"
        with warehouse(settings) as serving, Client.for_process(settings, "collect") as client:
            _warm(settings)
            with _arriving(client) as times, _watched(serving.pid) as memory:
                time.sleep(SETTLE_S)
                quiet = list(times)
                for label, command in (
                    ("`backup`", ("backup", str(file))),
                    ("`backup --check`", ("backup", "--check", str(file))),
                    ("`restore --replace`", ("restore", str(file), "--replace")),
                ):
                    times.clear()
                    memory.peak = memory.now
                    before = memory.now
                    took_s, most_mb = _run(settings, command)
                    grown = f"{memory.peak - before:,.0f} MB"
                    rows.append((label, f"{took_s:.1f} s", grown, f"{most_mb:,.0f} MB", _slowest(times)))
        size = file.stat().st_size / 1e6
        held = settings.database_file.stat().st_size / 1e6
    return Section(
        "Backup and restore",
        f"""{ATTEMPTS:,} attempts of {ENDPOINTS} endpoints ({held:,.0f} MB of DuckDB file, {size:,.0f} MB of
backup), a warehouse whose reading has filled its cache, and one sender of batches of {ROWS:,} rows, one after
the other with 50 ms between. Before the commands its batches took {_slowest(quiet)}. Memory is the resident
set: of the warehouse, what it grew by; of the command, all of it (a Python with what the command imports
has about 130 MB before it does anything). The load average of the machine was {os.getloadavg()[1]:.0f}.""",
        ("command", "took", "the warehouse grew by", "the command's memory", "a batch meanwhile, p50 / p95"),
        rows,
    )


def _slowest(times: list[float]) -> str:
    if not times:
        return "none"
    return f"{nearest_rank(times, 0.5):.0f} / {nearest_rank(times, 0.95):.0f} ms"


def _warm(settings: Settings) -> None:
    """Read everything once: what DuckDB caches is no part of what a backup costs."""
    with Client.for_process(settings, "cli", timeout_s=300) as client:
        client.ask("latency_summary", start=now() - timedelta(days=30), end=now())


def _run(settings: Settings, command: tuple[str, ...]) -> tuple[float, float]:
    """Seconds, and the most memory in MB."""
    began = time.perf_counter()
    own = [sys.executable, str(ROOT / "perfhouse.py"), "--config", str(settings.path), *command]
    child = subprocess.Popen(own, cwd=ROOT, stderr=subprocess.DEVNULL)
    with _watched(child.pid) as memory:
        assert child.wait() == 0
    return time.perf_counter() - began, memory.peak


@dataclass
class _Memory:
    now: float = 0.0
    peak: float = 0.0
    stopping: threading.Event = field(default_factory=threading.Event)


@contextmanager
def _watched(pid: int) -> Iterator[_Memory]:
    """The resident set of a process in MB, looked at every 20 ms."""
    memory = _Memory()
    process = psutil.Process(pid)

    def watch() -> None:
        while not memory.stopping.wait(0.02):
            try:
                memory.now = process.memory_info().rss / 1e6
            except psutil.NoSuchProcess:
                return
            memory.peak = max(memory.peak, memory.now)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield memory
    finally:
        memory.stopping.set()
        thread.join()


@contextmanager
def _arriving(client: Client) -> Iterator[list[float]]:
    """Milliseconds from sending each batch to its receipt."""
    times: list[float] = []
    stopping = threading.Event()

    def send() -> None:
        while not stopping.wait(0.05):
            batch_id, body = _body()
            began = time.perf_counter()
            client.send(batch_id, body)
            times.append((time.perf_counter() - began) * 1000)

    thread = threading.Thread(target=send)
    thread.start()
    try:
        yield times
    finally:
        stopping.set()
        thread.join()


def _body() -> tuple[str, bytes]:
    at = now() - timedelta(seconds=5)
    attempts = tuple(
        Attempt.model_construct(
            at=at + timedelta(milliseconds=number),
            target="bench",
            endpoint=f"GET /{number % ENDPOINTS}",
            outcome=Outcome.OK,
            status=200,
            total_us=5_200 + number,
            deadline_us=3_000_000,
        )
        for number in range(ROWS)
    )
    batch = Batch.model_construct(batch_id=uuid.uuid4().hex, attempts=attempts)
    return batch.batch_id, pack(batch)
