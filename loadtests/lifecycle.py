"""The life of one Locust process: it beats, ends gracefully, and never outlives who started it."""

from __future__ import annotations

import logging
import os
import signal
from pathlib import Path
from typing import Any

import gevent
from locust.rpc import Message
from locust.runners import MasterRunner, Runner, WorkerRunner

from loadtests.guard import Guard
from loadtests.load_run import LoadRun
from loadtests.machine import Usage
from loadtests.orphaned import become
from loadtests.rundir import LAUNCHER, asked_to_stop
from loadtests.scenario_user import ScenarioUser
from loadtests.tie import is_orphan

VALUES = "perfhouse-values"
BEAT_S = 1.0
WATCH_S = 0.1
DRAIN_S = 3.0
"""How long users that were stopped may wait for their last answer."""

SPOOL_FAILED = 74
"""Exit code (sysexits.h: EX_IOERR) when requests could not be recorded."""

CRASHED = 70
"""Exit code (sysexits.h: EX_SOFTWARE) when a job of ours failed."""

TERMINATED = 128 + signal.SIGTERM
"""Exit code, as shells tell it, when SIGTERM ended the load before its time."""

logger = logging.getLogger(__name__)


class Life:
    """Listens to Locust's events in one process."""

    def __init__(self, run: LoadRun, run_dir: Path, runner: Runner, guard: Guard) -> None:
        self._run = run
        self._guard = guard
        self._run_dir = run_dir
        self._runner = runner
        self._usage = Usage()
        self._is_over = False
        self._arriving: gevent.Greenlet | None = None

    def begin(self) -> None:
        """Say that this process is ready, beat each second, and watch for the wish to stop."""
        if isinstance(self._runner, WorkerRunner):
            self._runner.register_message(VALUES, self._take_values)
        # Locust minds SIGTERM only after its shape has ended; until then it would die of it at once.
        gevent.signal_handler(signal.SIGTERM, self._end, TERMINATED)
        self._run.spool.life("ready")
        for job in (self._beats, self._watch):
            gevent.spawn(job).link_exception(self._crashed)

    def start(self, **_: Any) -> None:
        """The load begins. Workers on other machines learn from the master what the setup extracted."""
        self._run.spool.life("started")
        if isinstance(self._runner, MasterRunner):
            self._runner.send_message(VALUES, self._run.values)
        if ScenarioUser.arrivals is not None and not isinstance(self._runner, MasterRunner):
            self._arriving = gevent.spawn(ScenarioUser.arrivals.run)
            self._arriving.link_exception(self._crashed)

    def stopping(self, **_: Any) -> None:
        """The load ends: nothing arrives any more."""
        if self._arriving is not None:
            self._arriving.unlink_all()
            self._arriving.kill()

    def stop(self, **_: Any) -> None:
        """All users were asked to stop: wait for their last answers, then cut them off."""
        if not self._is_over:
            self._is_over = True
            self._run.spool.life("stopping")
        # Whoever comes second, as another SIGTERM does, waits as well: it would end the process meanwhile.
        if not ScenarioUser.draining.join(timeout=DRAIN_S):
            ScenarioUser.draining.kill()

    def quit(self, **_: Any) -> None:
        """The last beat; the process ends after it, unless it has to end the run in its launcher's place."""
        self._beat()
        self._run.spool.life("stopped")
        self._run.spool.close()
        if self._run.worker == 0 and is_orphan(int(os.environ[LAUNCHER])):
            self._guard.may_start = True
            become(self._run_dir)

    def _take_values(self, environment: object, msg: Message, **_: Any) -> None:  # noqa: ARG002 - Locust's names
        self._run.values.update(msg.data)

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
        self._end(CRASHED)
