"""A real dashboard in a process of its own, started as a person starts it."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from warehouse.settings import Settings

ROOT = Path(__file__).parents[2]
START_S = 60
STOP_S = 15


@contextmanager
def running_dashboard(settings: Settings, folder: Path) -> Iterator[str]:
    """The address of a started dashboard that is stopped at the end. `folder` becomes its HOME."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("STREAMLIT_")}
    environment["HOME"] = str(folder)
    log = folder / "dashboard.log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, str(ROOT / "perfhouse.py"), "--config", str(settings.path), "dashboard"],
            cwd=folder,
            env=environment,
            stdout=out,
            stderr=subprocess.STDOUT,
        )
    url = f"http://127.0.0.1:{settings.dashboard.port}"
    try:
        _wait_ready(process, url, log)
        yield url
    finally:
        process.terminate()
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(STOP_S)


def _wait_ready(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    until = time.monotonic() + START_S
    while time.monotonic() < until:
        assert process.poll() is None, f"the dashboard ended: {log.read_text()}"
        try:
            if httpx.get(f"{url}/_stcore/health", trust_env=False).status_code == 200:
                return
        except httpx.HTTPError:
            time.sleep(0.1)
    raise AssertionError(f"the dashboard did not answer within {START_S} s: {log.read_text()}")
