"""Runs one load test from its plan to its end: `python -m loadtests.launcher RUN_DIR`.

A process of its own in a session of its own, so that a run outlives whoever asked for it. It holds the
target's lock, starts Locust, keeps `state.json` true, and ends the run when it is cancelled (the file
`cancel`, or SIGTERM), when a criterion with `stop` is broken, or when it takes too long.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from loadtests.addresses import resolve
from loadtests.attack import Attack
from loadtests.folder import write_whole
from loadtests.prepared import prepare
from loadtests.processes import Processes, Seats, workers_of
from loadtests.rundir import CANCEL, PLAN, SETUP, TEARDOWN, asked_to_stop, read_plan
from loadtests.seats import free_port
from loadtests.state import Ending, RunState
from loadtests.target_lock import locked
from warehouse.errors import ConfigurationError, InvalidInputError, PerfhouseError
from warehouse.loads import refuse_unreachable
from warehouse.plan import Plan, total_s

POLL_S = 0.1
LOOPBACK = "127.0.0.1"
SEAT = "seat.json"
STEPS_S = 60.0
"""How long a setup may take."""

TEARDOWN_S = 30.0


class Launch:
    """One run."""

    def __init__(self, run_dir: Path, *, is_seat: bool) -> None:
        self._run_dir = run_dir
        self._is_seat = is_seat
        self._state = RunState(run_dir)

    def run(self) -> Ending:
        """Run it, and write how it ended."""
        signal.signal(signal.SIGTERM, self._cancel)
        signal.signal(signal.SIGINT, self._cancel)
        self._state.update()
        try:
            plan = self._plan()
            locks = () if self._is_seat else plan.addresses
            with locked(self._run_dir.parent, locks, self._run_dir.name) as descriptors:
                ending = self._hold(plan, Processes(self._run_dir, descriptors))
        except PerfhouseError as error:
            ending = Ending("failed", f"could not run: {error.message}", exit_code=error.exit_code)
        self._state.end(ending)
        return ending

    def _cancel(self, number: int, _: object) -> None:
        """A signal is a wish to stop like any other."""
        file = self._run_dir / CANCEL
        if not file.exists():
            file.write_text(f"the launcher got {signal.Signals(number).name}\n", encoding="utf-8")

    def _plan(self) -> Plan:
        """The plan, within its caps and with the target's addresses. Raises PerfhouseError."""
        try:
            plan = read_plan(self._run_dir)
        except (OSError, ValidationError) as error:
            raise ConfigurationError([f"the plan cannot be read: {error}"]) from None
        refuse_over_cap(plan)
        plan = plan.model_copy(update={"addresses": resolve(plan.url)})
        prepare(plan)
        write_whole(self._run_dir / PLAN, plan.model_dump_json())
        return plan

    def _hold(self, plan: Plan, processes: Processes) -> Ending:
        """Setup, load and teardown, while the target is ours alone."""
        failure = self._steps(processes, SETUP) if plan.setup and not self._is_seat else ""
        if failure:
            ending = Ending("failed", f"the setup failed: {failure}")
        elif (why := asked_to_stop(self._run_dir)) is not None:
            ending = Ending("cancelled", why)
        else:
            processes.start_locust(self._seats(plan))
            ending = Attack(plan, self._run_dir, self._state, processes).watch()
        if plan.teardown and not self._is_seat:
            failure = self._steps(processes, TEARDOWN)
            if failure:
                ending = ending._replace(reason=_joined(ending.reason, f"the teardown failed: {failure}"))
        return ending

    def _seats(self, plan: Plan) -> Seats:
        here = workers_of(plan)
        total = here * max(1, plan.agents)
        seat = read_seat(self._run_dir)
        if self._is_seat:
            return Seats(total, here, seat["first_worker"], seat["master_host"], seat["master_port"], False)
        host = seat.get("bind", LOOPBACK)
        port = seat.get("port") or (free_port(host) if total else 0)
        return Seats(total, here, 1, host, port, is_master=True)

    def _steps(self, processes: Processes, part: str) -> str:
        """Run the setup or the teardown; why it failed, or nothing. Cancelling a run ends its setup."""
        until = time.monotonic() + (STEPS_S if part == SETUP else TEARDOWN_S)
        process = processes.start_steps(part)
        beat_at = time.monotonic()
        while (code := process.poll()) is None:
            is_cancelled = part == SETUP and asked_to_stop(self._run_dir) is not None
            if is_cancelled or time.monotonic() > until:
                process.kill()
                process.wait()
                return "" if is_cancelled else "it took too long"
            if time.monotonic() >= beat_at + 1:
                beat_at += 1
                self._state.update()
            time.sleep(POLL_S)
        if code == 0:
            return ""
        said = (self._run_dir / f"{part}.log").read_text(encoding="utf-8", errors="replace").splitlines()
        return said[-1] if said else f"exit code {code}"


def refuse_over_cap(plan: Plan) -> None:
    """Raise InvalidInputError for a plan that asks for more than its own caps, or cannot be followed."""
    asked = (
        ("users", plan.users, plan.max_users),
        ("duration_s", max(plan.duration_s, total_s(plan.stages)), plan.max_duration_s),
        ("requests_per_s", plan.rate_per_s or 0, plan.max_requests_per_s),
    )
    for cap, wanted, most in asked:
        if wanted > most:
            raise InvalidInputError(f"{cap} = {wanted:g} is over the target's cap of {most:g}", field=cap)
    try:
        refuse_unreachable(plan.stages)
    except ValueError as error:
        raise InvalidInputError(str(error), field="stages") from None


def read_seat(run_dir: Path) -> dict[str, Any]:
    """Where the master of several agents is, as `seat.json` says; empty for a run of this machine alone."""
    try:
        return dict(json.loads((run_dir / SEAT).read_bytes()))
    except FileNotFoundError:
        return {}


def _joined(*reasons: str) -> str:
    return "; ".join(reason for reason in reasons if reason)


def main(arguments: list[str]) -> int:
    """Run the load test of the folder named on the command line; 1 when it failed."""
    parser = argparse.ArgumentParser(prog="loadtests.launcher")
    parser.add_argument("run_dir", type=Path)
    parser.add_argument("--seat", action="store_true", help="run workers only, for the master in seat.json")
    options = parser.parse_args(arguments)
    with contextlib.suppress(PermissionError):  # whoever started us made the session already
        os.setsid()
    os.umask(0o077)
    ending = Launch(options.run_dir.absolute(), is_seat=options.seat).run()
    return 1 if ending.state == "failed" else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
