"""The processes of a run: Locust's, and those of setup and teardown."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from loadtests.rundir import LAUNCHER, RUN_DIR, WORKER, WORKERS
from warehouse.plan import Plan

ROOT = Path(__file__).parents[1]
LOCUSTFILE = Path(__file__).with_name("locustfile.py")
CONNECT_S = 30
"""How long a master waits for its workers."""


class Seats(NamedTuple):
    """Which processes of a run are here: a master or not, and workers numbered from `first`.

    `total` workers take part everywhere; 0 means that one process does everything.
    """

    total: int
    here: int
    first: int
    master_host: str
    master_port: int
    is_master: bool


def workers_of(plan: Plan) -> int:
    """How many workers a plan asks for on each agent; 0 where one process does everything."""
    return max(1, plan.workers) if plan.agents > 1 else plan.workers


class Processes:
    """Starts the run's processes, each holding the target's locks, and ends them."""

    def __init__(self, run_dir: Path, locks: Sequence[int]) -> None:
        self._run_dir = run_dir
        self._locks = tuple(locks)
        self.running: dict[int, subprocess.Popen[bytes]] = {}
        """Locust's processes by their worker's number; 0 is the master or the only one."""

    def start_locust(self, seats: Seats) -> None:
        """Start what belongs here."""
        master = ("--master-host", seats.master_host, "--master-port", str(seats.master_port))
        bind = ("--master-bind-host", seats.master_host, "--master-bind-port", str(seats.master_port))
        expect = ("--expect-workers", str(seats.total), "--expect-workers-max-wait", str(CONNECT_S))
        if seats.total == 0:
            self._start(0, 1, ())
        elif seats.is_master:
            self._start(0, seats.total, ("--master", *bind, *expect))
        for worker in range(seats.first, seats.first + seats.here):
            self._start(worker, seats.total, ("--worker", *master))

    def start_steps(self, part: str) -> subprocess.Popen[bytes]:
        """Start the setup or the teardown."""
        command = (sys.executable, "-m", "loadtests.steps", str(self._run_dir), part)
        return self._popen(command, self._run_dir / f"{part}.log", {})

    def signal_all(self, number: signal.Signals) -> None:
        """Send a signal to all that still run."""
        for process in self.running.values():
            if process.poll() is None:
                process.send_signal(number)

    def exit_codes(self) -> dict[int, int | None]:
        """Each worker's exit code, None while it runs; minus a signal's number when that ended it."""
        return {worker: process.poll() for worker, process in self.running.items()}

    def _start(self, worker: int, workers: int, arguments: Sequence[str]) -> None:
        command = (
            *(sys.executable, "-m", "locust", "-f", str(LOCUSTFILE), "--headless", "--only-summary"),
            *("--exit-code-on-error", "0", *arguments),
        )
        told = {WORKER: str(worker), WORKERS: str(workers)}
        self.running[worker] = self._popen(command, self._run_dir / f"locust-{worker}.log", told)

    def _popen(self, command: Sequence[str], log: Path, told: dict[str, str]) -> subprocess.Popen[bytes]:
        inherited = {name: text for name, text in os.environ.items() if not name.startswith("LOCUST_")}
        environment = (
            inherited
            | told
            | {
                RUN_DIR: str(self._run_dir),
                LAUNCHER: str(os.getpid()),
                "PYTHONPATH": str(ROOT),
                "HOME": str(self._run_dir),  # where Locust would look for settings of its own
                "LOCUST_WAIT_FOR_WORKERS_REPORT_AFTER_RAMP_UP": "0.1",  # or a stage begins a second late
            }
        )
        with log.open("ab") as output:
            return subprocess.Popen(
                command,
                cwd=self._run_dir,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                pass_fds=self._locks,
            )
