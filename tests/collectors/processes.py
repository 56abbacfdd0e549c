"""The daemon in a process of its own, and a target that counts what it served."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import polars as pl

from collectors.conditions import Conditions
from collectors.record import Recorder
from collectors.shipper import Shipper
from collectors.spool import Spool
from tests.servers.warehouse import ROOT, WarehouseProcess
from tests.warehouse.records import minute_ago
from warehouse.model import now

BOUND_S = 60

COLLECT = """
import sys
from pathlib import Path
from collectors import daemon
from warehouse import errors, settings
try:
    daemon.run(settings.load(Path(sys.argv[1]), {}))
except errors.PerfhouseError as error:
    print(error.title, error.message, file=sys.stderr)
    sys.exit(error.exit_code)
"""


def wait_for(what: Callable[[], object], bound_s: float = BOUND_S) -> None:
    """Wait until something is so."""
    until = time.monotonic() + bound_s
    while not what():
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.02)


class DaemonProcess:
    """Starts, stops and kills the collectors of one configuration file."""

    def __init__(self, config: Path, **environment: str) -> None:
        self._config = config
        self._environment = {**os.environ, **environment}
        self._log = config.with_name("collect.log")
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """The process that runs now."""
        assert self._process is not None
        return self._process.pid

    @property
    def log(self) -> str:
        """What all runs wrote so far."""
        return self._log.read_text() if self._log.exists() else ""

    def start(self) -> None:
        """Start it, and wait until its jobs run."""
        begun = self.log.count("jobs for")
        with self._log.open("ab") as log:
            command = [sys.executable, "-c", COLLECT, str(self._config)]
            self._process = subprocess.Popen(command, cwd=ROOT, stderr=log, env=self._environment)
        wait_for(lambda: self.log.count("jobs for") > begun or self._process.poll() is not None)

    def wait(self) -> int:
        """Its exit code, when it ends by itself."""
        assert self._process is not None
        return self._process.wait(BOUND_S)

    def end(self, how: signal.Signals = signal.SIGTERM) -> tuple[int, float]:
        """Signal it; its exit code and the seconds it took."""
        assert self._process is not None
        began = time.monotonic()
        if self._process.poll() is None:
            os.kill(self._process.pid, how)
        return self._process.wait(BOUND_S), time.monotonic() - began


@contextmanager
def running_daemon(config: Path, **environment: str) -> Iterator[DaemonProcess]:
    """Started collectors that are gone at the end."""
    daemon = DaemonProcess(config, **environment)
    daemon.start()
    try:
        yield daemon
    finally:
        daemon.end(signal.SIGKILL)


class _Counting(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        with self.server.counting:
            self.server.requests.append((f"GET {self.path}", now()))
        body = b"ok"
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


class CountingTarget(ThreadingHTTPServer):
    """Answers `ok` to every GET and counts them by endpoint."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Counting)
        self.requests: list[tuple[str, datetime]] = []
        self.counting = threading.Lock()

    @property
    def served(self) -> Counter[str]:
        """Requests so far, by endpoint."""
        with self.counting:
            return Counter(endpoint for endpoint, _ in self.requests)

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.server_port}"


@contextmanager
def counting_target() -> Iterator[CountingTarget]:
    """A started target that is stopped at the end."""
    server = CountingTarget()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join(BOUND_S)
        server.server_close()


def watching(name: str, url: str, paths: list[str], *, interval_s: float = 0.5, more: str = "") -> str:
    """The configuration of one target."""
    endpoints = "".join(f'[[target.endpoint]]\npath = "{path}"\nname = "GET {path}"\n' for path in paths)
    return f'[[target]]\nname = "{name}"\nurl = "{url}"\ninterval_s = {interval_s}\n{more}\n{endpoints}'


QUICK = "[collectors]\nflush_s = 0.2\nhealth_interval_s = 1\n"


def asked(process: WarehouseProcess, question: str, **parameters: str) -> pl.DataFrame:
    """All that a question knows of the last hour."""
    with process.client("dashboard") as client:
        return client.ask(question, start=minute_ago(3600), end=now() + timedelta(minutes=1), **parameters)


def ship_rest(process: WarehouseProcess) -> None:
    """Ship what a stopped daemon left in its spool."""
    spool = Spool(process.settings.spool_dir, 1_000_000_000)
    client = process.client("collect", retries=0)
    shipper = Shipper(Recorder("local"), spool, client, Conditions())
    shipper.start()
    try:
        wait_for(lambda: spool.batches == 0)
        assert spool.refused_rows == 0
    finally:
        assert shipper.stop(BOUND_S)
        spool.close()
        client.close()


def stored(process: WarehouseProcess, target: str) -> Counter[str]:
    """Attempts stored per endpoint; none of them twice."""
    attempts = asked(process, "attempts", target=target)
    assert attempts.select("endpoint", "at").is_unique().all(), "an attempt is stored twice"
    return Counter(attempts["endpoint"].to_list())
