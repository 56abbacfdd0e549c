"""The life of one Locust process: it beats, ends gracefully, and never outlives who started it."""

from __future__ import annotations

import ctypes
import logging
import os
import signal
import sys
from pathlib import Path
from typing import Any

import gevent
from locust.runners import MasterRunner, Runner, WorkerRunner

from loadtests.load_run import LoadRun
from loadtests.machine import Usage
from loadtests.rundir import asked_to_stop
from loadtests.scenario_user import ScenarioUser

BEAT_S = 1.0
WATCH_S = 0.1
DRAIN_S = 3.0
"""How long users that were stopped may wait for their last answer."""

SPOOL_FAILED = 74
"""Exit code (sysexits.h: EX_IOERR) when requests could not be recorded."""

PR_SET_PDEATHSIG = 1

logger = logging.getLogger(__name__)


def tie_to(starter: int) -> None:
    """Ask for SIGTERM when the starter ends; leave at once when it already has. Linux only."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != starter:
            sys.exit(f"process {starter} is gone")


class Life:
    """Listens to Locust's events in one process."""

    def __init__(self, run: LoadRun, run_dir: Path, runner: Runner) -> None:
        self._run = run
        self._run_dir = run_dir
        self._runner = runner
        self._usage = Usage()
        self._is_over = False

    def begin(self) -> None:
        """Say that this process is ready, beat each second, and watch for the wish to stop."""
        self._run.spool.life("ready")
        for job in (self._beats, self._watch):
            gevent.spawn(job).link_exception(self._crashed)

    def start(self, **_: Any) -> None:
        """The load begins."""
        self._run.spool.life("started")
        if ScenarioUser.arrivals is not None and not isinstance(self._runner, MasterRunner):
            gevent.spawn(ScenarioUser.arrivals.run).link_exception(self._crashed)

    def stop(self, **_: Any) -> None:
        """All users were asked to stop: wait for their last answers, then cut them off."""
        if not self._is_over:
            self._is_over = True
            self._run.spool.life("stopping")
        # Whoever comes second, as another SIGTERM does, waits as well: it would end the process meanwhile.
        if not ScenarioUser.draining.join(timeout=DRAIN_S):
            ScenarioUser.draining.kill()

    def quit(self, **_: Any) -> None:
        """The last beat; the process ends after it."""
        self._beat()
        self._run.spool.life("stopped")

    def _beats(self) -> None:
        while True:
            gevent.sleep(BEAT_S)
            self._beat()

    def _beat(self) -> None:
        spool, cap, arrivals = self._run.spool, self._run.cap, ScenarioUser.arrivals
        cpu_ratio, memory_bytes = self._usage.read()
        spool.event(
            "beat",
            at_us=spool.now_us(),
            users=0 if isinstance(self._runner, MasterRunner) else self._runner.user_count,
            cpu_ratio=cpu_ratio,
            dropped=ScenarioUser.late_dropped + (arrivals.dropped if arrivals else 0),
            backlog=cap.waiting + (arrivals.backlog if arrivals else 0),
            memory_bytes=memory_bytes,
            held=cap.held,
            held_us=cap.held_ns // 1000,
        )

    def _watch(self) -> None:
        """End the run when somebody wants it to end, or when nothing can be recorded any more."""
        while True:
            gevent.sleep(WATCH_S)
            if self._run.spool.failure:
                logger.error("%s; %d requests lost", self._run.spool.failure, self._run.spool.lost)
                self._end(SPOOL_FAILED)
                return
            why = asked_to_stop(self._run_dir)
            if why is not None and not isinstance(self._runner, WorkerRunner):
                logger.info("stopping: %s", why)
                self._end(0)
                return

    def _end(self, code: int) -> None:
        self._runner.environment.process_exit_code = code
        self._runner.quit()

    def _crashed(self, greenlet: gevent.Greenlet) -> None:
        """A job of ours failed, which nobody else would tell."""
        self._run.spool.event("crash", text=repr(greenlet.exception)[:500])
        self._end(70)
