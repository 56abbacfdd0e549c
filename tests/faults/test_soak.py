"""Everything running for long: memory, threads and open files of each process stay flat.

Half a minute in `make test`, half an hour in `make soak`.
"""

import os
import statistics
import threading
import time
from collections import defaultdict
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path

import psutil
import pytest

from cli.presence import present
from tests.cli.children import wait_for
from tests.cli.test_up import Up
from tests.collectors.processes import CountingTarget, counting_target, watching
from tests.servers.session import Session
from tests.servers.warehouse import write_config

SOAK = os.environ.get("PERFHOUSE_SOAK") == "1"
LASTS_S = float(os.environ.get("PERFHOUSE_SOAK_S", "1800")) if SOAK else 30.0
WARM_UP_SHARE = 1 / 3
"""Caches fill and pools grow at first: so much is not judged."""

MOST_MB_AN_HOUR = 60.0
"""What each process may grow by. Half a minute tells no more than that nothing runs away: then it may grow
by so many megabytes in all."""

SESSIONS = 6
PARTS = ("warehouse", "collect", "agent", "dashboard")
BUSY = "CPU is critical"
"""What the page truly says while other tests keep this machine busy."""

QUERIES = ("range=15m", "range=1h&prev=1", "range=6h")
LOAD = "[host]\ninterval_s = 1\n[collectors]\nhealth_interval_s = 1\n[warehouse]\nmemory_limit_mb = 256\n"


@dataclass
class Course:
    """What one process took over time."""

    at_s: list[float] = field(default_factory=list)
    rss_mb: list[float] = field(default_factory=list)
    threads: list[int] = field(default_factory=list)
    files: list[int] = field(default_factory=list)

    def look(self, process: psutil.Process, at_s: float) -> None:
        with process.oneshot():
            self.at_s.append(at_s)
            self.rss_mb.append(process.memory_info().rss / 1e6)
            self.threads.append(process.num_threads())
            self.files.append(process.num_fds())

    def warm(self) -> "Course":
        """Without the warm-up."""
        first = next(n for n, at_s in enumerate(self.at_s) if at_s >= self.at_s[-1] * WARM_UP_SHARE)
        return Course(self.at_s[first:], self.rss_mb[first:], self.threads[first:], self.files[first:])

    @property
    def mb_an_hour(self) -> float:
        """Median of the slopes between all pairs of points (Theil-Sen): no single peak bends it."""
        thin = max(1, len(self.at_s) // 200)
        points = list(zip(self.at_s[::thin], self.rss_mb[::thin], strict=True))
        return 3600 * statistics.median((y - x) / (b - a) for (a, x), (b, y) in combinations(points, 2))

    def grown(self, counts: list[int]) -> float:
        """Median of the last third above that of the first."""
        third = max(1, len(counts) // 3)
        return statistics.median(counts[-third:]) - statistics.median(counts[:third])

    def __str__(self) -> str:
        return (
            f"{self.rss_mb[0]:.0f} -> {self.rss_mb[-1]:.0f} MB (most {max(self.rss_mb):.0f}), "
            f"{self.mb_an_hour:+.1f} MB/h, threads {self.threads[0]} -> {self.threads[-1]}, "
            f"files {self.files[0]} -> {self.files[-1]}, {len(self.at_s)} looks in {self.at_s[-1]:.0f} s"
        )


def read(url: str, number: int, stopping: threading.Event, wrong: list[str]) -> None:
    """A reader who looks at the page every second."""
    session = Session(url, QUERIES[number % len(QUERIES)])
    try:
        while not stopping.wait(1):
            shown = session.run()
            wrong += [*shown.exceptions, *(alert for alert in shown.alerts if BUSY not in alert)]
    finally:
        session.close()


def watch(up: Up, target: CountingTarget) -> dict[str, Course]:
    """Look at each process once a second, and end early when one dies."""
    processes = {}
    for part in PARTS:
        there = present(up.settings, part)
        assert there is not None
        processes[part] = psutil.Process(there.pid)
    courses: dict[str, Course] = defaultdict(Course)
    began = time.monotonic()
    while (at_s := time.monotonic() - began) < LASTS_S:
        for part, process in processes.items():
            courses[part].look(process, at_s)
        time.sleep(1)
    assert "starting again" not in up.said
    assert target.served.total() > LASTS_S * 5, "the collectors were at work"
    return courses


@pytest.mark.timeout(LASTS_S + 300)
def test_memory_threads_and_files_stay_flat(tmp_path: Path) -> None:
    stopping, wrong = threading.Event(), []
    with counting_target() as target:
        paths = [f"/{number}" for number in range(10)]
        config = write_config(tmp_path, watching("shop", target.url, paths, interval_s=0.2))
        text = config.read_text().replace("[warehouse]", LOAD, 1)
        config.write_text(text)
        with Up(config, tmp_path / "up.log") as up:
            up.wait_ready()
            wait_for(lambda: all(present(up.settings, part) for part in PARTS))
            url = f"http://127.0.0.1:{up.settings.dashboard.port}"
            readers = [
                threading.Thread(target=read, args=(url, number, stopping, wrong), daemon=True)
                for number in range(SESSIONS)
            ]
            for reader in readers:
                reader.start()
            try:
                courses = watch(up, target)
            finally:
                stopping.set()
                for reader in readers:
                    reader.join(60)
            up.process.terminate()
            up.process.wait(30)
    told = "\n".join(f"{part}: {course}" for part, course in courses.items())
    print(told)
    assert not wrong, wrong[:3]
    for part, course in courses.items():
        warm = course.warm()
        grown = warm.mb_an_hour if SOAK else warm.rss_mb[-1] - warm.rss_mb[0]
        assert grown < MOST_MB_AN_HOUR, f"{part} grows: {told}"
        assert warm.grown(warm.threads) <= 2, f"{part} gathers threads: {told}"
        assert warm.grown(warm.files) <= 5, f"{part} gathers open files: {told}"
