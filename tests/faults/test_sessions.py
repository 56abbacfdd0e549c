"""20 dashboards with the warehouse killed and started under them: each recovers, and says nothing untrue."""

import json
import os
import random
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import psutil
import pytest

from tests.cli.children import wait_for
from tests.dashboard import worlds
from tests.dashboard.conftest import CONFIG
from tests.servers.dashboard import ROOT, running_dashboard
from tests.servers.session import Session, Shown
from tests.servers.warehouse import WarehouseProcess, running_warehouse

SOAK = os.environ.get("PERFHOUSE_SOAK") == "1"
KILLS = 60 if SOAK else 3
TABS = 2
SESSIONS = 20 - TABS
DOWN_S, UP_S = (0.5, 4.0), (2.0, 5.0)
MOST_GROWTH_MB = 150
"""What 20 sessions may add to the dashboard's memory: each takes 1 to 4 MB."""

BOUND_S = 60
TRUE_ALERTS = ("The warehouse is away", "is silent")
"""What pages may say here: it is away at times, and no collectors run, which shows after two minutes."""

QUERIES = ("range=15m", "range=1h", "range=1h&prev=1", "range=6h", "range=15m&live=1")


class Reader(threading.Thread):
    """One session that asks for its page again and again."""

    def __init__(self, url: str, number: int, stopping: threading.Event) -> None:
        super().__init__(name=f"reader {number}", daemon=True)
        self._session = Session(url, QUERIES[number % len(QUERIES)])
        self._chance = random.Random(number)
        self._stopping = stopping
        self.runs = self.away = 0
        self.last: Shown | None = None
        self.wrong: list[str] = []
        self.failure: BaseException | None = None

    def run(self) -> None:
        try:
            while not self._stopping.wait(self._chance.uniform(0.5, 1.5)):
                self._look()
        except BaseException as error:  # noqa: BLE001 - the test raises it
            self.failure = error
        finally:
            self._session.close()

    def _look(self) -> None:
        shown = self._session.run()
        self.runs += 1
        self.away += shown.away
        self.wrong += shown.exceptions
        self.wrong += [alert for alert in shown.alerts if not any(true in alert for true in TRUE_ALERTS)]
        self.wrong += [] if shown.finished else ["a run did not end well"]
        self.last = shown

    @property
    def is_well(self) -> bool:
        """Whether the newest run showed the page's numbers."""
        last = self.last
        return last is not None and last.finished and not last.away and "metric" in last.kinds


@contextmanager
def open_tabs(url: str) -> Iterator[subprocess.Popen[str]]:
    """A few tabs in a real browser that are open now."""
    command = [sys.executable, "-m", "tests.faults.tabs", url, str(TABS)]
    with subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            yield process
        finally:
            for child in (
                psutil.Process(process.pid).children(recursive=True) if process.poll() is None else ()
            ):
                child.kill()
            process.kill()


def kill_and_start(warehouse: WarehouseProcess, tabs: IO[str]) -> None:
    """Again and again, at times of chance; the first time until every tab has said so."""
    chance = random.Random(20261124)
    for number in range(KILLS):
        warehouse.kill()
        if number:
            time.sleep(chance.uniform(*DOWN_S))
        else:
            assert tabs.readline() == "noticed\n"
        warehouse.start()
        time.sleep(chance.uniform(*UP_S))


def tell(readers: list[Reader]) -> str:
    """Of each session that is not well: what it saw."""
    return "\n".join(
        f"{reader.name}: {reader.runs} runs, {reader.wrong}, {reader.failure}, {reader.last}"
        for reader in readers
        if not reader.is_well
    )


def megabytes(pid: int) -> float:
    return psutil.Process(pid).memory_info().rss / 1e6


@pytest.mark.timeout(1800 if SOAK else 300)
def test_twenty_dashboards_recover_while_the_warehouse_is_killed_under_them(tmp_path: Path) -> None:
    stopping = threading.Event()
    readers: list[Reader] = []
    with running_warehouse(tmp_path, CONFIG) as warehouse:
        with warehouse.client("collect") as client:
            worlds.plenty(client, minutes=30)
        log = tmp_path / "dashboard.log"
        with running_dashboard(warehouse.settings, log) as url, open_tabs(url) as tabs:
            pid = listener_of(warehouse.settings.dashboard.port)
            readers += [Reader(url, number, stopping) for number in range(SESSIONS)]
            try:
                for reader in readers:
                    reader.start()
                wait_for(
                    lambda: all(reader.is_well for reader in readers), BOUND_S, told=lambda: tell(readers)
                )
                before_mb = megabytes(pid)
                assert tabs.stdout is not None
                kill_and_start(warehouse, tabs.stdout)
                seen = {reader: reader.runs for reader in readers}
                wait_for(
                    lambda: all(reader.is_well and reader.runs > seen[reader] + 1 for reader in readers),
                    BOUND_S,
                )
                grown_mb = megabytes(pid) - before_mb
                said, _ = tabs.communicate("stop\n", timeout=BOUND_S)
            finally:
                stopping.set()
                for reader in readers:
                    reader.join(BOUND_S)
        for reader in readers:
            assert reader.failure is None
            assert reader.wrong == []
        assert sum(reader.away > 0 for reader in readers) > SESSIONS // 2, "most saw it away"
        told = json.loads(said)
        assert told["errors"] == []
        assert told["shown"] == ["Probes p50"] * TABS
        assert grown_mb < MOST_GROWTH_MB
        assert "Traceback" not in log.read_text()


def listener_of(port: int) -> int:
    """The process that listens on a port."""
    return next(
        kept.pid
        for kept in psutil.net_connections("tcp")
        if kept.status == psutil.CONN_LISTEN and kept.laddr and kept.laddr.port == port and kept.pid
    )
