"""A real Redis on a free port, its data gone with it."""

import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import redis

from tests.servers.ports import free_port

START_S = 60
STOP_S = 30


class StartedRedis:
    """A running server that can be killed and started again."""

    def __init__(self, folder: Path, password: str = "", *options: str) -> None:
        self.port = free_port()
        self.password = password
        self._folder = folder
        self._options = options
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """How a client reaches it, password included."""
        return f"redis://{f':{self.password}@' if self.password else ''}127.0.0.1:{self.port}/0"

    def client(self) -> redis.Redis:
        """A client of one's own; close it."""
        return redis.Redis.from_url(self.url)

    def start(self) -> None:
        """Start it and wait until it answers."""
        self.launch()
        until = time.monotonic() + START_S
        while time.monotonic() < until:
            assert self._process is not None
            assert self._process.poll() is None, "redis-server ended"
            try:
                with self.client() as client:
                    client.ping()
                return
            except redis.ConnectionError:
                time.sleep(0.02)
        raise AssertionError(f"no answer within {START_S} s")

    def launch(self) -> None:
        """Start it."""
        command = [
            "redis-server",
            "--port",
            str(self.port),
            "--bind",
            "127.0.0.1",
            "--save",
            "",
            *self._options,
        ]
        if self.password:
            command += ["--requirepass", self.password]
        self._process = subprocess.Popen(command, cwd=self._folder, stdout=subprocess.DEVNULL)

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal, such as SIGSTOP."""
        assert self._process is not None
        self._process.send_signal(number)

    def stop(self) -> None:
        """kill -9, and wait."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(STOP_S)
            self._process = None


@contextmanager
def running_redis(folder: Path, password: str = "", *options: str) -> Iterator[StartedRedis]:
    """A started server that is stopped at the end."""
    server = StartedRedis(folder, password, *options)
    server.start()
    try:
        yield server
    finally:
        server.stop()
