"""What the warehouse does by itself at intervals, whatever the wall clock does."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from datetime import datetime, timedelta

from apscheduler.events import EVENT_JOB_MAX_INSTANCES, JobEvent
from apscheduler.schedulers.background import BackgroundScheduler

from warehouse.model import now

log = logging.getLogger(__name__)

LOOK_EVERY_S = 0.5

STALLED_S = 3600.0
"""After how long a piece of work is told as stalled: cells of a long history, and waiting for a compaction,
take minutes, and its turns meanwhile are made up for by the next one."""


class _Turn:
    """One run of a piece of work; one that stalls is told once, and when it ended after all."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._began = 0.0
        self._told = False

    def __enter__(self) -> None:
        self._began, self._told = time.monotonic(), False

    def __exit__(self, *_: object) -> None:
        if self._told:
            log.info("%s ended after %.0f min", self._name, (time.monotonic() - self._began) / 60)

    def tell_stall(self) -> None:
        ran_s = time.monotonic() - self._began
        if ran_s >= STALLED_S and not self._told:
            self._told = True
            log.warning("%s has not ended for %.0f min", self._name, ran_s / 60)


class Schedule:
    """Jobs at intervals on threads of their own. APScheduler waits for the wall clock alone: a step back by
    an hour would stop every job for an hour, so each step moves them along with it.
    """

    def __init__(self, look: Callable[[], timedelta], *, wall: Callable[[], datetime] = now) -> None:
        """`look` says how far the wall clock stepped since it was asked before; `wall` is that clock."""
        self._look = look
        self._wall = wall
        self._scheduler = BackgroundScheduler(timezone="UTC")
        self._scheduler.add_listener(self._look_at_turn, EVENT_JOB_MAX_INSTANCES)
        self._turns: dict[str, _Turn] = {}
        self._looking = threading.Lock()
        self._stopping = threading.Event()
        self._watch = threading.Thread(target=self._keep_watch, name="clock", daemon=True)

    def every(self, seconds: float, work: Callable[[], object]) -> None:
        """Do this at once and then at that interval; what was missed is made up for once.

        The clock is looked at before each time.
        """

        turn = _Turn(getattr(work, "__qualname__", str(work)))

        def run() -> None:
            self.check_clock()
            with turn:
                work()

        job = self._scheduler.add_job(
            run,
            "interval",
            seconds=seconds,
            coalesce=True,
            max_instances=1,
            misfire_grace_time=None,
            next_run_time=self._wall(),
        )
        self._turns[job.id] = turn

    def start(self) -> None:
        """Begin."""
        self._scheduler.start()
        self._watch.start()

    def stop(self) -> None:
        """Start no more work; what runs goes on to its end."""
        self._stopping.set()
        if self._scheduler.running:
            self._watch.join()
            self._scheduler.shutdown(wait=False)

    def check_clock(self) -> None:
        """Where the wall clock stepped, let each job wait for as long as it would have without the step."""
        with self._looking:
            step = self._look()
            if not step:
                return
            wall = self._wall()
            for job in self._scheduler.get_jobs():
                left = min(max(timedelta(), job.next_run_time - (wall - step)), job.trigger.interval)
                job.modify(next_run_time=wall + left)

    def _look_at_turn(self, event: JobEvent) -> None:
        """A turn is due while the one before still runs."""
        self._turns[event.job_id].tell_stall()

    def _keep_watch(self) -> None:
        while not self._stopping.wait(LOOK_EVERY_S):
            try:
                self.check_clock()
            except Exception:  # the thread lives as long as the warehouse
                log.exception("watching the clock")
