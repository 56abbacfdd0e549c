"""Load tests of the tests: plans, launchers in processes of their own, and what they left behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

from loadtests.folder import ENDED
from loadtests.spool_format import OUTCOMES, Row, unpack
from loadtests.state import read_state
from warehouse.plan import Plan, PlanRequest, PlanToken

ROOT = Path(__file__).parents[2]
BOUND_S = 60


def request(path: str, part: str = "load", **fields: Any) -> dict[str, Any]:
    """A request, not numbered yet."""
    return {"method": "GET", "path": path, "part": part, **fields}


def make_plan(
    url: str,
    *requests: dict[str, Any],
    setup: tuple[dict[str, Any], ...] = (),
    teardown: tuple[dict[str, Any], ...] = (),
    token: dict[str, Any] | None = None,
    stages: tuple[tuple[float, int, float], ...] = ((3.0, 5, 50.0),),
    **fields: Any,
) -> Plan:
    """A plan of these requests, numbered as plans are."""
    listed = [*([token] if token else []), *setup, *(requests or (request("/health"),)), *teardown]
    numbered = [
        PlanRequest(endpoint=number, label=f"{each['method']} {each['path']}", **each)
        for number, each in enumerate(listed)
    ]
    defaults: dict[str, Any] = {
        "target": "counting",
        "url": url,
        "environment": "test",
        "verify_tls": True,
        "ca_file": None,
        "headers": {},
        "preset": "short",
        "scenario": "test",
        "stages": stages,
        "duration_s": sum(stage[0] for stage in stages),
        "workers": 0,
        "agents": 0,
        "max_users": 1000,
        "max_requests_per_s": 10_000.0,
        "max_duration_s": 600.0,
        "order": "weighted",
        "think_s": (0.02, 0.06),
        "pacing_s": None,
        "arrivals": "users",
        "rate_per_s": None,
        "scenario_hash": "0" * 64,
    }
    parts = {
        part: tuple(each for each in numbered if each.part == part) for part in ("setup", "load", "teardown")
    }
    return Plan(
        **(defaults | fields),
        token=PlanToken(request=numbered[0], pointer="access_token", header="Authorization", prefix="Bearer ")
        if token
        else None,
        requests=parts["load"],
        setup=parts["setup"],
        teardown=parts["teardown"],
    )


class LaunchedRun:
    """A run whose launcher was started."""

    def __init__(self, run_dir: Path, process: subprocess.Popen[bytes]) -> None:
        self.run_dir = run_dir
        self.process = process

    @property
    def state(self) -> dict[str, Any]:
        return read_state(self.run_dir)

    def wait_for(self, what: Callable[[LaunchedRun], bool], bound_s: float = BOUND_S) -> None:
        """Wait until it is so."""
        until = time.monotonic() + bound_s
        while not what(self):
            assert time.monotonic() < until, (self.state, self.logs())
            time.sleep(0.02)

    def wait_running(self, rows: int = 20) -> None:
        """Wait until load is being sent."""
        self.wait_for(lambda run: run.state.get("state") == "running" and len(run.rows()) >= rows)

    def wait_ended(self) -> dict[str, Any]:
        """Wait until the launcher has ended; the last state."""
        self.process.wait(BOUND_S)
        assert self.state["state"] in ENDED, (self.state, self.logs())
        return self.state

    def cancel(self, by: str = "a test") -> None:
        (self.run_dir / "cancel").write_text(by)

    def rows(self) -> list[Row]:
        """Every request in the spool, of all workers."""
        files = sorted(self.run_dir.glob("requests-*.bin"))
        return [row for file in files for row in unpack(file.read_bytes())]

    def events(self, kind: str = "") -> list[dict[str, Any]]:
        """Every event, of all workers."""
        found = []
        for file in sorted(self.run_dir.glob("events-*.jsonl")):
            worker = int(file.stem.rpartition("-")[2])
            events = [json.loads(line) for line in file.read_text().splitlines()]
            found += [event | {"worker": worker} for event in events if not kind or event["kind"] == kind]
        return found

    def outcomes(self) -> Counter[str]:
        return Counter(OUTCOMES[row.outcome].value for row in self.rows())

    def logs(self) -> str:
        return "\n".join(f"{file.name}:\n{file.read_text()}" for file in self.run_dir.glob("*.log"))

    def members(self) -> list[psutil.Process]:
        """All processes of the run's group that live."""
        found = []
        for process in psutil.process_iter():
            try:
                if os.getpgid(process.pid) == self.process.pid and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
            except (ProcessLookupError, psutil.NoSuchProcess):
                continue
        return found


def write_plan(runs: Path, plan: Plan, run_id: str = "r20261124120000-abcdef") -> Path:
    """The run's folder with its plan."""
    run_dir = runs / run_id
    run_dir.mkdir(parents=True)
    (run_dir / "plan.json").write_text(plan.model_dump_json())
    return run_dir


@contextmanager
def launched(
    run_dir: Path, *arguments: str, environment: dict[str, str] | None = None
) -> Iterator[LaunchedRun]:
    """Start a launcher; at the end nothing of its group is left."""
    command = [sys.executable, "-m", "loadtests.launcher", str(run_dir), *arguments]
    with (run_dir / "launcher.log").open("ab") as log:
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env=os.environ | (environment or {}),
        )
    run = LaunchedRun(run_dir, process)
    try:
        yield run
    finally:
        for member in run.members():
            member.send_signal(signal.SIGKILL)
        process.wait(BOUND_S)


def launch(runs: Path, plan: Plan, run_id: str = "r20261124120000-abcdef") -> Any:
    """Write a plan and start its launcher."""
    return launched(write_plan(runs, plan, run_id))
