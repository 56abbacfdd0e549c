"""What the warehouse does by itself at intervals, whatever the wall clock does."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from datetime import datetime, timedelta

from apscheduler.schedulers.background import BackgroundScheduler

from warehouse.model import now

log = logging.getLogger(__name__)

LOOK_EVERY_S = 0.5


class Schedule:
    """Jobs at intervals on threads of their own. APScheduler waits for the wall clock alone: a step back by
    an hour would stop every job for an hour, so each step moves them along with it.
    """

    def __init__(self, look: Callable[[], timedelta], *, wall: Callable[[], datetime] = now) -> None:
        """`look` says how far the wall clock stepped since it was asked before; `wall` is that clock."""
        self._look = look
        self._wall = wall
        self._scheduler = BackgroundScheduler(timezone="UTC")
        self._looking = threading.Lock()
        self._stopping = threading.Event()
        self._watch = threading.Thread(target=self._keep_watch, name="clock", daemon=True)

    def every(self, seconds: float, work: Callable[[], object]) -> None:
        """Do this at once and then at that interval; what was missed is made up for once.

        The clock is looked at before each time.
        """

        def run() -> None:
            self.check_clock()
            work()

        self._scheduler.add_job(
            run,
            "interval",
            seconds=seconds,
            coalesce=True,
            max_instances=1,
            misfire_grace_time=None,
            next_run_time=self._wall(),
        )

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

    def _keep_watch(self) -> None:
        while not self._stopping.wait(LOOK_EVERY_S):
            try:
                self.check_clock()
            except Exception:  # the thread lives as long as the warehouse
                log.exception("watching the clock")
