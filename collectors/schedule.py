"""Runs jobs at their intervals, spread evenly, and records every run that was due and did not happen."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

from apscheduler.events import EVENT_JOB_MAX_INSTANCES, EVENT_JOB_MISSED, EVENT_JOB_SUBMITTED
from apscheduler.schedulers.asyncio import AsyncIOScheduler
from apscheduler.triggers.base import BaseTrigger

from collectors.record import DAEMON, MOST_MISSED, Row, held
from warehouse.model import Attempt, Gap, GapReason

TICK_S = 0.25
STEP_S = 2.0
"""How far the wall clock may move against the monotonic clock between two looks."""


@dataclass(frozen=True)
class Job:
    """Something that measures: `run` answers what it measured, or raises."""

    name: str
    interval_s: float
    run: Callable[[], Awaitable[Sequence[Row]]]


@dataclass(frozen=True)
class _Due:
    """A run that is due, and how many there are until the next one."""

    at: datetime
    count: int


class Ledger(Protocol):
    """Who keeps count of the jobs' runs."""

    def ran(self, job: str, lag_s: float | None, run_s: float, error: BaseException | None) -> None:
        """A run ended."""
        ...

    def missed(self, job: str, count: int) -> None:
        """Runs that were due did not happen."""
        ...


class GridTrigger(BaseTrigger):  # type: ignore[misc]  # APScheduler ships no types
    """Fires every `interval`; what lies behind is stepped over at once, however much it is."""

    def __init__(self, interval: timedelta) -> None:
        self.interval = interval

    def get_next_fire_time(self, previous: datetime | None, now: datetime) -> datetime:
        """The first instant of the grid after `now`."""
        if previous is None:
            return now
        behind = max(0, (now - previous) // self.interval)
        return previous + (behind + 1) * self.interval


class Schedule:
    """Jobs on an event loop. Needs `start` and `stop` on that loop."""

    def __init__(
        self,
        jobs: Sequence[Job],
        record: Callable[[Iterable[Row]], None],
        ledger: Ledger,
        *,
        on_tick: Callable[[], None] = lambda: None,
        on_step: Callable[[], None] = lambda: None,
        wall: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """`wall` is the clock APScheduler reads too; `on_tick` is called four times a second,
        `on_step` when that clock stepped.
        """
        self._loop_lag_s = 0.0
        self._jobs = {job.name: job for job in jobs}
        self._record = record
        self._ledger = ledger
        self._on_tick = on_tick
        self._on_step = on_step
        self._wall = wall
        self._due: dict[str, _Due] = {}
        self._era = self._seen_wall = wall()
        self._seen_steady = time.monotonic()
        self._running: set[asyncio.Task[Any]] = set()
        self._watch: asyncio.Task[None] | None = None
        self._scheduler = AsyncIOScheduler(timezone=UTC)
        self._scheduler.add_listener(self._on_submitted, EVENT_JOB_SUBMITTED)
        self._scheduler.add_listener(self._on_missed, EVENT_JOB_MISSED)
        self._scheduler.add_listener(self._on_overlap, EVENT_JOB_MAX_INSTANCES)

    def start(self) -> None:
        """Schedule every job's first run and begin."""
        self._era = self._seen_wall = self._wall()
        self._seen_steady = time.monotonic()
        offsets = spread([job.interval_s for job in self._jobs.values()])
        for job, offset in zip(self._jobs.values(), offsets, strict=True):
            self._scheduler.add_job(
                self._run,
                GridTrigger(timedelta(seconds=job.interval_s)),
                args=[job],
                id=job.name,
                coalesce=True,
                max_instances=1,
                misfire_grace_time=max(1, round(job.interval_s)),
                next_run_time=self._seen_wall + timedelta(seconds=offset),
            )
        self._scheduler.start()
        self._watch = asyncio.get_running_loop().create_task(self._keep_watch())

    async def stop(self, patience_s: float) -> None:
        """Start no more runs, let those that run end within `patience_s`, and cut off the others."""
        if self._watch is not None:
            self._watch.cancel()
            await asyncio.gather(self._watch, return_exceptions=True)
        self._scheduler.remove_all_jobs()
        if self._running:
            await asyncio.wait(self._running, timeout=patience_s)
        for task in self._running:
            task.cancel()
        self._scheduler.shutdown(wait=False)
        await asyncio.sleep(0)

    def take_loop_lag(self) -> float:
        """The latest the loop came, in seconds, since this was asked before."""
        worst, self._loop_lag_s = self._loop_lag_s, 0.0
        return worst

    def check_clock(self) -> None:
        """When the wall clock stepped, move all jobs along with it and record the gap."""
        wall, steady = self._wall(), time.monotonic()
        expected = self._seen_wall + timedelta(seconds=steady - self._seen_steady)
        self._seen_wall, self._seen_steady = wall, steady
        step = wall - expected
        if abs(step.total_seconds()) <= STEP_S:
            return
        self._era = wall
        self._due.clear()
        for scheduled in self._scheduler.get_jobs():
            moved = scheduled.next_run_time + step
            # A run that was planned after the step is where it belongs already.
            if moved <= wall + scheduled.trigger.interval:
                scheduled.modify(next_run_time=moved)
        self._record_step(min(expected, wall), wall, step)
        self._on_step()

    def _record_step(self, at: datetime, until: datetime, step: timedelta) -> None:
        """The time stepped over holds no samples; stepped back, it holds some twice, and none is missed."""
        missed = {
            job.name: int(max(timedelta(), step) / timedelta(seconds=job.interval_s))
            for job in self._jobs.values()
        }
        missed[DAEMON] = max(1, missed.get(DAEMON, 0))
        self._record(
            _gap(name, at, until, GapReason.CLOCK_STEP, count) for name, count in missed.items() if count
        )

    async def _keep_watch(self) -> None:
        while True:
            due = time.monotonic() + TICK_S
            await asyncio.sleep(TICK_S)
            self._loop_lag_s = max(self._loop_lag_s, time.monotonic() - due)
            self.check_clock()
            self._on_tick()

    async def _run(self, job: Job) -> None:
        """One run: what it measured is recorded, how it went is told to the ledger."""
        task = asyncio.current_task()
        assert task is not None
        self._running.add(task)
        self.check_clock()
        due = self._due.pop(job.name, None)
        # The run that starts stands for itself alone, not for those that were stepped over.
        self._skip(job.name, due, GapReason.MISSED, happened=1)
        started_at, began = self._wall(), time.monotonic()
        rows: Sequence[Row] = ()
        failure: Exception | None = None
        try:
            rows = await job.run()
        except Exception as error:  # noqa: BLE001 - the job's state and event tell of it
            failure = error
        finally:
            self._running.discard(task)
        took_s = time.monotonic() - began
        # An attempt that waited for its place was late; the wait is none of its duration.
        first = min((row.at for row in rows if isinstance(row, Attempt)), default=started_at)
        waited_s = min(max(0.0, (first - started_at).total_seconds()), took_s)
        lag_s = None if due is None else max(0.0, (started_at - due.at).total_seconds()) + waited_s
        self._record(rows)
        self._ledger.ran(job.name, lag_s, took_s - waited_s, failure)

    def _on_submitted(self, event: Any) -> None:
        due = self._due_runs(event)
        if due is not None:
            self._due[event.job_id] = due

    def _on_missed(self, event: Any) -> None:
        self.check_clock()
        self._skip(event.job_id, self._due.pop(event.job_id, None), GapReason.MISSED)

    def _on_overlap(self, event: Any) -> None:
        self._skip(event.job_id, self._due_runs(event), GapReason.OVERLAP)

    def _due_runs(self, event: Any) -> _Due | None:
        """The runs from the one that is due to the next one; None when a clock step took them along."""
        self.check_clock()
        at = event.scheduled_run_times[-1]
        scheduled = self._scheduler.get_job(event.job_id)
        if scheduled is None or at < self._era:
            return None
        return _Due(at, round((scheduled.next_run_time - at) / scheduled.trigger.interval))

    def _skip(self, name: str, due: _Due | None, reason: GapReason, *, happened: int = 0) -> None:
        if due is not None and due.count > happened:
            missed = due.count - happened
            self._ledger.missed(name, missed)
            uncovered = timedelta(seconds=missed * self._jobs[name].interval_s)
            self._record([_gap(name, due.at, due.at + uncovered, reason, missed)])


def spread(intervals: Sequence[float]) -> list[float]:
    """The first start of each job, in seconds from now: even over each interval, by order.

    Groups of jobs with different intervals are shifted against one another.
    """
    groups: dict[float, list[int]] = {}
    for place, interval in enumerate(intervals):
        groups.setdefault(interval, []).append(place)
    offsets = [0.0] * len(intervals)
    for rank, (interval, places) in enumerate(groups.items()):
        shift = (rank + 0.5) / len(groups)
        for turn, place in enumerate(places):
            offsets[place] = (turn + shift) / len(places) * interval
    return offsets


def _gap(job: str, at: datetime, until: datetime, reason: GapReason, missed: int) -> Gap:
    return Gap(at=held(at), until=held(until), job=job, reason=reason, missed=min(missed, MOST_MISSED))
