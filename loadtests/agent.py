"""The load agent: takes run requests, starts their launchers, ships what they measure, says how they do."""

from __future__ import annotations

import logging
import os
import random
import signal
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from loadtests.claiming import Claims
from loadtests.delivery import Delivery
from loadtests.door import Door
from loadtests.folder import hold
from loadtests.launching import Launch, launch
from loadtests.roster import Roster
from loadtests.schedule import Schedule
from warehouse import logs
from warehouse.client import Client
from warehouse.errors import AlreadyRunningError, PerfhouseError, WarehouseAwayError
from warehouse.lock import make_private
from warehouse.model import now
from warehouse.settings import ScheduleSettings, Settings

log = logging.getLogger(__name__)

CLAIM_EVERY_S = 0.5
SHIP_EVERY_S = 0.3
WATCH_EVERY_S = 0.2
CLEAN_EVERY_S = 600.0
LONGEST_PAUSE_S = 5.0
"""How long the warehouse is left alone when it is away; the pauses grow to this."""

TIMEOUT_S = 10.0
STOP_S = 4.5
"""How long a stop waits for the runs it stops, and for what they measured to be shipped."""

LEAVE_S = 0.5
"""How long a stop that leaves the runs going waits for what is on its way."""


def run(settings: Settings, *, stop_runs: bool) -> None:
    """Serve run requests until told to stop (SIGTERM or SIGINT).

    With `stop_runs` the end of the agent is the end of its runs, gracefully; without it they go on, and
    the next agent takes them up. Raises AlreadyRunningError, ConfigurationError or StorageError.
    """
    logs.set_up()
    logging.getLogger("httpx").setLevel(logging.WARNING)
    os.umask(0o077)
    if settings.agent.token is not None:
        settings.agent.token.reveal()
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    with Client.for_process(settings, "agent", retries=0, timeout_s=TIMEOUT_S) as client:
        Agent(settings, client).serve(stop, stop_runs=stop_runs)
    log.info("stopped")


class Agent:
    """Three loops over one roster: claims, deliveries, and the watch over what runs here. Serves once."""

    def __init__(self, settings: Settings, door: Door, *, launcher: Launch = launch) -> None:
        """One agent per runs directory. Raises AlreadyRunningError, or OSError."""
        make_private(settings.runs_dir)
        lock = hold(settings.runs_dir / "agent.lock")
        if lock is None:
            raise AlreadyRunningError(
                f"a load agent of {settings.runs_dir} runs already",
                "Stop that process first, or choose another data_dir.",
            )
        self._lock = lock
        self._door = door
        self.roster = Roster(settings.runs_dir, launcher)
        self._delivery = Delivery(self.roster, door, settings.agent_name)
        self._claims = Claims(settings, door, self.roster, self._delivery)
        self._schedule = Schedule(
            settings.schedule,
            self.request,
            since=_unwatched_since(lock, settings),
            tell_missed=self.tell_missed,
        )
        self._stopping = threading.Event()
        self._quitting = threading.Event()

    def serve(self, stop: threading.Event, *, stop_runs: bool = False) -> None:
        """Work until `stop` is set."""
        self.roster.reattach()
        log.info("load agent (pid %d), %d runs taken up again", os.getpid(), len(self.roster.runs))
        threads = [
            threading.Thread(target=self._loop, args=loop, daemon=True)
            for loop in (
                ("claims", self._claim, CLAIM_EVERY_S, self._stopping),
                ("deliveries", self._delivery.once, SHIP_EVERY_S, self._quitting),
                ("schedule", self._tick, 1.0, self._stopping),
            )
        ]
        for thread in threads:
            thread.start()
        clean_at = 0.0
        while not stop.wait(WATCH_EVERY_S):
            self._look()
            if time.monotonic() >= clean_at:
                clean_at = time.monotonic() + CLEAN_EVERY_S
                self.roster.clean()
        self._stopping.set()
        self.roster.close()
        self._end(stop_runs=stop_runs)
        self._quitting.set()
        for thread in threads:
            thread.join(LEAVE_S / len(threads))
        os.close(self._lock)

    def _end(self, *, stop_runs: bool) -> None:
        if not stop_runs:
            if self.roster.runs:
                log.info("%d runs go on without us", len(self.roster.runs))
            return
        for run in self.roster.runs:
            run.folder.cancel("the load agent was stopped")
        until = time.monotonic() + STOP_S
        while self.roster.runs and time.monotonic() < until:
            self._look()
            time.sleep(WATCH_EVERY_S / 2)
        for run in self.roster.runs:
            log.info("%s ends by itself; what it measured is shipped when an agent runs again", run.run_id)

    def _look(self) -> None:
        for run in self.roster.runs:
            try:
                run.watch.look()
            except OSError as error:  # a full disk: looked at again in a moment
                log.warning("%s cannot be looked after: %s", run.run_id, error.strerror)

    def _claim(self) -> bool:
        self._claims.once()
        return False

    def _tick(self) -> bool:
        self._schedule.tick(now())
        os.utime(self._lock)
        return False

    def request(self, entry: ScheduleSettings) -> Any:
        """Request a run that is due. Raises PerfhouseError."""
        return self._door.request_run(entry.target, entry.preset, entry.scenario, via="schedule")

    def tell_missed(self, entry: ScheduleSettings, due: datetime, why: str) -> Any:
        """Have it noted that a run was missed. Raises PerfhouseError."""
        due_at_us = int(due.timestamp() * 1_000_000)
        return self._door.tell_missed(entry.name, entry.target, entry.preset, due_at_us=due_at_us, why=why)

    def _loop(self, name: str, work: Callable[[], bool], every_s: float, ends: threading.Event) -> None:
        """Do `work` again and again: at once when there is more, less often while the warehouse is away."""
        pauses = Pauses(name, every_s)
        while not ends.is_set():
            try:
                more = work()
                pause = 0.0 if more else every_s
                pauses.well()
            except (PerfhouseError, OSError) as error:
                pause = pauses.after(error)
            except Exception as error:  # the loop lives as long as the agent
                log.exception("%s", name)
                pause = pauses.after(error)
            ends.wait(pause)


def _unwatched_since(lock: int, settings: Settings) -> datetime:
    """When an agent last looked at the schedules as they are now, by the times of lock and configuration."""
    seen = os.fstat(lock).st_mtime
    with suppress(OSError):  # a configuration that is gone meanwhile
        seen = max(seen, settings.path.stat().st_mtime)
    return min(now(), datetime.fromtimestamp(seen, UTC))


class Pauses:
    """Longer and longer pauses while something does not work, told once when it begins and when it ends."""

    def __init__(self, name: str, every_s: float) -> None:
        self._name = name
        self._every_s = every_s
        self._failures = 0
        self._told = ""

    def well(self) -> None:
        """It worked."""
        if self._failures:
            log.info("%s: works again", self._name)
        self._failures, self._told = 0, ""

    def after(self, error: Exception) -> float:
        """It did not; seconds until the next try."""
        words = error.message if isinstance(error, PerfhouseError) else f"{type(error).__name__}: {error}"
        if words != self._told:
            level = logging.INFO if isinstance(error, WarehouseAwayError) else logging.WARNING
            log.log(level, "%s: %s", self._name, words)
            self._told = words
        self._failures += 1
        longest = min(LONGEST_PAUSE_S, self._every_s * 2 ** min(self._failures, 8))
        return random.uniform(longest / 2, longest)  # noqa: S311 - spreads retries, guards nothing
