"""A demo, or its PostgreSQL alone, started for one test and gone after it."""

import atexit
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import httpx
import psutil

from demo.postgres import Cluster, open_cluster
from demo.schema import prepare
from tests.servers.ports import free_port

ROOT = Path(__file__).parents[2]
START_S = 60
STOP_S = 15
POLL_S = 0.05


class DemoProcess:
    """Starts, stops and kills the demo of one data directory."""

    def __init__(self, data_dir: Path, *options: str, port: int | None = None) -> None:
        self.data_dir = data_dir
        self.port = port or free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.client = httpx.Client(base_url=self.url, timeout=20, trust_env=False)
        self.lines: list[str] = []
        self._options = options
        self._process: subprocess.Popen[str] | None = None

    @property
    def pid(self) -> int:
        """The demo itself."""
        assert self._process is not None
        return self._process.pid

    def launch(self) -> subprocess.Popen[str]:
        """Start the process without waiting; what it prints is gathered in `lines`."""
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "demo", "--port", str(self.port)),
                *("--data-dir", str(self.data_dir), *self._options),
            ],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._process, self.lines = process, []
        self._reader = threading.Thread(target=self._gather, args=(process, self.lines), daemon=True)
        self._reader.start()
        return process

    def start(self) -> None:
        """Start the process and wait until /health says ok."""
        process = self.launch()
        wait_until(lambda: process.poll() is not None or self.healthy(), START_S)
        assert process.poll() is None, f"the demo ended with {process.returncode}: {self.lines}"

    def healthy(self) -> bool:
        """Whether /health answers 200 now."""
        try:
            return self.client.get("/health").status_code == 200
        except httpx.HTTPError:
            return False

    def postgres(self) -> list[psutil.Process]:
        """Every process of its PostgreSQL."""
        demo = psutil.Process(self.pid)
        return [one for one in demo.children(recursive=True) if one.name().startswith("postgres")]

    def postmaster(self) -> psutil.Process:
        """Its PostgreSQL's first process."""
        return next(one for one in self.postgres() if one.ppid() == self.pid)

    def stop(self, how: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal and wait for the end; the exit code."""
        process, self._process = self._process, None
        if process is None:
            return 0
        if process.poll() is None:
            os.kill(process.pid, how)
        code = process.wait(STOP_S)
        self._reader.join(STOP_S)
        assert process.stdout is not None
        process.stdout.close()
        return code

    def close(self) -> None:
        """Stop it and delete all it made, what lies outside `data_dir` too."""
        self.stop()
        self.client.close()
        cluster = open_cluster(self.data_dir)
        cluster.stop()
        cluster.discard()

    def _gather(self, process: subprocess.Popen[str], lines: list[str]) -> None:
        assert process.stdout is not None
        lines.extend(line.rstrip("\n") for line in process.stdout)


@cache
def seeded() -> Cluster:
    """A stopped cluster with the seeded database, made once: to be copied, which is much quicker."""
    folder = Path(tempfile.mkdtemp())
    cluster = open_cluster(folder / "demo")
    atexit.register(shutil.rmtree, folder)
    atexit.register(cluster.discard)
    try:
        cluster.start()
        prepare(cluster)
    finally:
        cluster.stop()
    return cluster


@contextmanager
def running_demo(folder: Path, *options: str) -> Iterator[DemoProcess]:
    """A started demo that is stopped and deleted at the end; without --postgres on a copy of `seeded`."""
    demo = DemoProcess(folder / "demo", *options)
    if "--postgres" not in options:
        own = open_cluster(demo.data_dir)
        for source, target in ((seeded().data_dir, demo.data_dir), (seeded().folder, own.folder)):
            subprocess.run(["cp", "-a", "-T", str(source), str(target)], check=True, timeout=30)
    try:
        demo.start()
        yield demo
    finally:
        demo.close()


@contextmanager
def running_cluster(folder: Path, choice: str = "auto") -> Iterator[Cluster]:
    """A started PostgreSQL that is stopped and deleted at the end. `choice` is auto, debian or wheel."""
    cluster = open_cluster(folder / "postgres", choice)
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()
        cluster.discard()


def wait_until(condition: object, within_s: float = 15.0) -> None:
    """Wait until `condition()` is true; fail when it does not become so."""
    assert callable(condition)
    until = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < until, f"not so within {within_s:g} s: {condition}"
        time.sleep(POLL_S)


def living(processes: list[psutil.Process]) -> list[psutil.Process]:
    """Those that still run; a zombie does not."""
    found = []
    for one in processes:
        try:
            if one.is_running() and one.status() != psutil.STATUS_ZOMBIE:
                found.append(one)
        except psutil.NoSuchProcess:
            continue
    return found
