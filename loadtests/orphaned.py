"""Ends a run whose launcher is gone: `python -m loadtests.orphaned RUN_DIR`.

The run's first process becomes this one once it has ended its load: it waits for the others, runs the
teardown that the launcher would have run, and says in `state.json` how the run ended.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Collection
from pathlib import Path

import psutil

from loadtests.folder import ENDED, write_whole
from loadtests.guard import Guard
from loadtests.rundir import STATE, TEARDOWN, read_plan
from loadtests.state import now_us, read_state
from loadtests.steps import perform
from warehouse.errors import PerfhouseError

OTHERS_S = 5.0
"""How long other processes of the run may take to end; each of them ends by itself."""

TEARDOWN_S = 30
WHY = "the launcher was ended; the load was stopped, what was measured until then is kept"


def become(run_dir: Path) -> None:
    """Turn this process into the one that ends the run; whoever stops the load does not stop that."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    os.execv(sys.executable, [sys.executable, "-m", "loadtests.orphaned", str(run_dir)])  # noqa: S606


def settle(run_dir: Path, *, is_torn_down: bool) -> None:
    """Run the teardown, unless that was done, and say how the run ended, unless that was said."""
    state = read_state(run_dir)
    if state.get("state") in ENDED:
        return
    _wait_for(set(state.get("locust_pids", ())) - {os.getpid()})
    _say(run_dir, WHY)
    plan = read_plan(run_dir)
    if is_torn_down or not plan.teardown:
        return
    Guard(plan.addresses).install()
    signal.alarm(TEARDOWN_S)
    try:
        failure = perform(plan, run_dir, TEARDOWN)
    except (PerfhouseError, OSError) as error:
        failure = str(error)
    _say(run_dir, f"{WHY}; the teardown failed: {failure}" if failure else f"{WHY}; the teardown was run")


def _wait_for(pids: Collection[int]) -> None:
    until = time.monotonic() + OTHERS_S
    while any(psutil.pid_exists(pid) for pid in pids) and time.monotonic() < until:
        time.sleep(0.05)


def _say(run_dir: Path, reason: str) -> None:
    ended = {"state": "failed", "reason": reason, "is_partial": True, "ended_at_us": now_us()}
    write_whole(run_dir / STATE, json.dumps(read_state(run_dir) | ended, indent=1) + "\n")


if __name__ == "__main__":
    signal.signal(
        signal.SIGTERM, signal.SIG_IGN
    )  # whoever stops what a launcher left stops the load, not this
    settle(Path(sys.argv[1]), is_torn_down=TEARDOWN in sys.argv[2:])
