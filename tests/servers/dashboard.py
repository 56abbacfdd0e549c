"""The real dashboard in a process of its own."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from warehouse.settings import Settings

ROOT = Path(__file__).parents[2]
START_S = 90
STOP_S = 30
RUN = "import sys; from pathlib import Path; from dashboard import launch; from warehouse import settings; "
RUN += "launch.run(settings.load(Path(sys.argv[1]), {}))"


@contextmanager
def running_dashboard(settings: Settings, log: Path) -> Iterator[str]:
    """Start it as the command does and wait until it serves; its address. What it prints goes to `log`."""
    url = f"http://127.0.0.1:{settings.dashboard.port}"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-c", RUN, str(settings.path)],
            cwd=log.parent,
            stdout=out,
            stderr=subprocess.STDOUT,
            env=environment,
        )
        try:
            wait_served(process, url, log)
            yield url
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(STOP_S)


def wait_served(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    """Wait until it answers; fail when it ends before."""
    until = time.monotonic() + START_S
    while time.monotonic() < until:
        assert process.poll() is None, log.read_text()
        try:
            if httpx.get(f"{url}/_stcore/health", timeout=2, trust_env=False).text == "ok":
                return
        except httpx.HTTPError:
            time.sleep(0.1)
    raise AssertionError(f"the dashboard did not answer within {START_S} s: {log.read_text()}")
