"""Watches Locust's processes while they send load: keeps the state true, and ends them when it is time."""

from __future__ import annotations

import json
import signal
import time
from pathlib import Path

from loadtests.processes import Processes
from loadtests.rundir import CANCEL, STOP, asked_to_stop
from loadtests.spool_format import events_file
from loadtests.state import Ending, RunState, now_us
from loadtests.stop_rules import StopRules
from warehouse.plan import Plan

POLL_S = 0.1
EXITS = {
    0: "ended early",
    70: "failed: see its events",
    74: "could not record all requests: see its log",
    128 + signal.SIGTERM: "was ended by SIGTERM",
}
"""What Locust's exit codes mean."""

START_S = 60.0
"""How long it may take until the load begins."""

SLACK_S = 10.0
"""How much longer than planned a run may take."""

MASTER_LAG_S = 5.0
"""How long a master may outlive its workers at a run's end."""

TERM_AFTER_S = 6.0
KILL_AFTER_S = 12.0
"""Seconds after the wish to stop until SIGTERM, and until SIGKILL."""


class Attack:
    """The time in which load is sent."""

    def __init__(self, plan: Plan, run_dir: Path, state: RunState, processes: Processes) -> None:
        self._plan = plan
        self._run_dir = run_dir
        self._state = state
        self._processes = processes
        self._rules = StopRules(plan, run_dir)
        self._deadline = time.monotonic() + START_S
        self._stopping_at: float | None = None
        self._first_ended_at: float | None = None
        self._signalled: set[signal.Signals] = set()
        self._failure = ""
        self._rule = ""

    def watch(self) -> Ending:
        """Wait until every process has ended; how it all ended."""
        self._state.update(locust_pids=[each.pid for each in self._processes.running.values()])
        due = time.monotonic()
        while None in (codes := self._processes.exit_codes()).values():
            now = time.monotonic()
            self._look_at(codes)
            if now >= due:
                due += 1.0
                self._each_second(now)
            if self._stopping_at is not None:
                self._press(now - self._stopping_at)
            time.sleep(POLL_S)
        return self._ending(codes)

    def _look_at(self, codes: dict[int, int | None]) -> None:
        """Notice the wish to stop, the load's beginning, and processes that ended."""
        if self._state.fields["started_at_us"] is None:
            self._notice_start()
        if self._stopping_at is not None:
            return
        if asked_to_stop(self._run_dir) is not None:
            self._stop("")
            return
        ended = {worker: code for worker, code in codes.items() if code is not None}
        if ended:
            self._judge_ended(ended, is_master_left=0 in codes and 0 not in ended)

    def _judge_ended(self, ended: dict[int, int], *, is_master_left: bool) -> None:
        """Some processes ended: all of them do at a run's end, the workers a little before their master."""
        broken = {worker: code for worker, code in ended.items() if code != 0}
        now = time.monotonic()
        self._first_ended_at = self._first_ended_at or now
        if not broken and is_master_left and now < self._first_ended_at + MASTER_LAG_S:
            return
        if broken or is_master_left:
            worker, code = next(iter((broken or ended).items()))
            self._failure = f"{_name(worker)} {_told(code)}"
        self._stop(self._failure or "its processes end")
        if self._failure and not is_master_left:
            self._processes.signal_all(signal.SIGTERM)

    def _notice_start(self) -> None:
        started_at_us = _started_at_us(self._run_dir, min(self._processes.running))
        if started_at_us is not None:
            self._state.update(state="running", started_at_us=started_at_us)
            self._deadline = time.monotonic() + self._plan.duration_s + SLACK_S

    def _each_second(self, now: float) -> None:
        self._state.update()
        if self._stopping_at is not None:
            return
        if now > self._deadline:
            self._failure = "it took longer than planned"
            self._stop(self._failure)
            return
        started_at_us = self._state.fields["started_at_us"]
        if started_at_us is None:
            return
        rule = self._rules.broken(started_at_us, (now_us() - started_at_us) / 1e6)
        if rule is not None:
            self._rule = f"stopped by a criterion: {rule}"
            self._stop(self._rule)

    def _stop(self, why: str) -> None:
        """Begin the end: Locust sees the file, and lets its users finish."""
        if why:
            try:
                (self._run_dir / STOP).write_text(f"{why}\n", encoding="utf-8")
            except OSError:
                self._processes.signal_all(signal.SIGTERM)  # no room even for a word
        self._stopping_at = time.monotonic()
        self._state.update(state="stopping", reason=why or asked_to_stop(self._run_dir) or "")

    def _press(self, since_s: float) -> None:
        """Processes that do not end by themselves are asked, then ended."""
        for number, after_s in ((signal.SIGTERM, TERM_AFTER_S), (signal.SIGKILL, KILL_AFTER_S)):
            if since_s >= after_s and number not in self._signalled:
                self._signalled.add(number)
                self._processes.signal_all(number)

    def _ending(self, codes: dict[int, int | None]) -> Ending:
        exit_code = codes.get(0, next(iter(codes.values())))
        killed = [worker for worker, code in codes.items() if code in (-signal.SIGKILL, -signal.SIGABRT)]
        broken = {worker: code for worker, code in codes.items() if code}
        if (self._run_dir / CANCEL).exists():
            ending = Ending("cancelled", asked_to_stop(self._run_dir) or "", bool(killed), exit_code)
        elif self._rule:
            ending = Ending("finished", self._rule, bool(killed), exit_code)
        elif self._failure or broken:
            worker, code = next(iter(broken.items()), (0, None))
            reason = self._failure or f"{_name(worker)} {_told(code)}"
            ending = Ending("failed", reason, is_partial=True, exit_code=exit_code)
        else:
            ending = Ending("finished", "", is_partial=False, exit_code=exit_code)
        return ending


def _started_at_us(run_dir: Path, worker: int) -> int | None:
    """When the load began, as this worker told it."""
    try:
        lines = (run_dir / events_file(worker)).read_bytes().splitlines()
    except FileNotFoundError:
        return None
    for line in lines:
        if b'"started"' in line:
            return int(json.loads(line)["at_us"])
    return None


def _name(worker: int) -> str:
    return "Locust" if worker == 0 else f"Locust's worker {worker}"


def _told(code: int | None) -> str:
    if code is not None and code < 0:
        return f"was ended by {signal.Signals(-code).name}"
    return EXITS.get(code or 0, f"ended with exit code {code}")
