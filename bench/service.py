"""Real processes to measure: a warehouse on a free port, in a directory that is deleted afterwards."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import psutil

from warehouse.client import Client
from warehouse.errors import WarehouseAwayError
from warehouse.settings import Settings, load

ROOT = Path(__file__).parents[1]
START_S = 30.0
SETTLE_S = 600.0
IDLE_FOR_S, IDLE_PERCENT = 5.0, 5.0
"""A process is idle if it takes no more of a core for so long."""


def free_port() -> int:
    """A TCP port on 127.0.0.1 that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def write_config(folder: Path, extra: str = "", warehouse: str = "") -> Settings:
    """A configuration with free ports whose data lies below `folder`."""
    file = folder / "perfhouse.toml"
    file.write_text(
        f'data_dir = "data"\n[warehouse]\nport = {free_port()}\n{warehouse}\n'
        f"[dashboard]\nport = {free_port()}\n{extra}",
        encoding="utf-8",
    )
    return load(file, {})


@contextmanager
def process(command: Sequence[str], **environment: str) -> Iterator[subprocess.Popen[bytes]]:
    """A child process that is asked to stop at the end, and made to after 15 s."""
    child = subprocess.Popen(list(command), cwd=ROOT, env={**_environment(), **environment})
    try:
        yield child
    finally:
        child.terminate()
        try:
            child.wait(15)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


@contextmanager
def warehouse(settings: Settings) -> Iterator[subprocess.Popen[bytes]]:
    """The warehouse of a configuration, answering."""
    own = [sys.executable, str(ROOT / "perfhouse.py"), "--config", str(settings.path), "warehouse"]
    with process(own) as child:
        wait_ready(settings)
        yield child


def wait_ready(settings: Settings) -> None:
    """Wait until the warehouse answers."""
    until = time.monotonic() + START_S
    with Client(settings.warehouse.url, lambda: "", retries=0) as client:
        while True:
            try:
                client.health()
                return
            except WarehouseAwayError:
                if time.monotonic() > until:
                    raise
                time.sleep(0.05)


def wait_idle(child: subprocess.Popen[bytes]) -> None:
    """Wait until the warehouse has done what its start set off, such as a look at a whole history."""
    watched = psutil.Process(child.pid)
    until = time.monotonic() + SETTLE_S
    while watched.cpu_percent(IDLE_FOR_S) > IDLE_PERCENT:
        if time.monotonic() > until:
            raise TimeoutError(f"the warehouse was busy for {SETTLE_S:g} s after its start")


@contextmanager
def scratch() -> Iterator[Path]:
    """A directory that is deleted afterwards."""
    with tempfile.TemporaryDirectory(prefix="perfhouse-bench-") as folder:
        yield Path(folder)


def _environment() -> dict[str, str]:

    return {name: value for name, value in os.environ.items() if not name.startswith("PERFHOUSE_")}
