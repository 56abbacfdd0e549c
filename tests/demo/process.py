"""The real demo in a process of its own, on a free port and a directory of its own."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx
import psutil

from demo.account import choose_account
from demo.postgres import open_cluster

ROOT = Path(__file__).parents[2]
START_S = 60
STOP_S = 10


class DemoProcess:
    """Starts, stops, kills and starts again the demo of one data directory."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.data_dir = folder / "demo"
        self.options = options
        self.url = ""
        self._output = folder / "demo.out"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """The process that runs now."""
        assert self._process is not None
        return self._process.pid

    @property
    def cluster(self) -> Path:
        """The folder of its PostgreSQL cluster."""
        return choose_account().folder(self.data_dir) / "cluster"

    @property
    def postgres_pid(self) -> int:
        """The process of its PostgreSQL."""
        return int((self.cluster / "postmaster.pid").read_text().splitlines()[0])

    def output(self) -> str:
        """Everything it has said since the last start."""
        return self._output.read_text(errors="replace")

    def launch(self, *, port: int = 0) -> None:
        """Start it without waiting."""
        with self._output.open("wb") as output:
            self._process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "demo", "--port", str(port)),
                    *("--data-dir", str(self.data_dir), *self.options),
                ],
                cwd=ROOT,
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    def start(self) -> None:
        """Start it and wait until it says that it is ready."""
        self.launch()
        until = time.monotonic() + START_S
        while "demo ready: " not in self.output():
            assert self._process is not None
            assert self._process.poll() is None, self.output()
            assert time.monotonic() < until, self.output()
            time.sleep(0.05)
        self.url = self.output().partition("demo ready: ")[2].split()[0]

    def client(self) -> httpx.Client:
        """A client of its API."""
        return httpx.Client(base_url=self.url, timeout=10, trust_env=False)

    def wait(self, seconds: float = STOP_S) -> int:
        """Wait for its end; the exit code."""
        assert self._process is not None
        return self._process.wait(seconds)

    def end(self, how: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal and wait; the exit code."""
        if self._process is None:
            return 0
        if self._process.poll() is None:
            os.kill(self._process.pid, how)
        return self.wait()

    def servers(self) -> list[psutil.Process]:
        """Every PostgreSQL process that works on its cluster."""
        found = []
        for process in psutil.process_iter():
            try:
                if process.name().startswith("postgres") and Path(process.cwd()) == self.cluster:
                    found.append(process)
            except psutil.Error:
                continue
        return found

    def discard(self) -> None:
        """Stop it and delete what it keeps outside of its directory."""
        self.end()
        cluster = open_cluster(self.data_dir)
        cluster.stop()
        cluster.discard()
