"""The daemon's own health: counts per job as samples, changes of state as events."""

from __future__ import annotations

import logging
import time
import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import psutil

from collectors.record import DAEMON, Row
from warehouse.errors import PerfhouseError
from warehouse.model import Event, JobState, Sample, now

log = logging.getLogger(__name__)

LONGEST_TEXT = 2000
SETTLED_S = 5.0
"""How long after a step of the clock a batch may still hold rows of both times, and be refused whole."""


@dataclass
class _Count:
    """What one job did since the previous report, and its state."""

    interval_s: float
    runs: int = 0
    errors: int = 0
    missed: int = 0
    lag_s: float | None = None
    run_s: float | None = None
    succeeded_at: float | None = None
    failure: str = ""
    told: JobState | None = None


class Health:
    """Keeps count of every job; lives on the event loop."""

    def __init__(
        self,
        source: str,
        intervals: Mapping[str, float],
        record: Callable[[Iterable[Row]], None],
        trouble: Callable[[], str] = lambda: "",
    ) -> None:
        """`intervals` names every job; `trouble` says what is wrong with the daemon itself, or nothing."""
        self._source = source
        self._record = record
        self._trouble = trouble
        self._counts = {job: _Count(interval_s) for job, interval_s in intervals.items()}
        self._process = psutil.Process()
        self._cpu_s, self._cpu_at = self._cpu_time(), time.monotonic()
        self._settled_at: float | None = None

    def ran(self, job: str, lag_s: float | None, run_s: float, error: BaseException | None) -> None:
        """A run of a job ended; with an error, the job is failing."""
        count = self._counts[job]
        count.runs += 1
        count.run_s = max(run_s, count.run_s or 0.0)
        if lag_s is not None:
            count.lag_s = max(lag_s, count.lag_s or 0.0)
        if error is None:
            count.succeeded_at = time.monotonic()
            count.failure = ""
        else:
            count.errors += 1
            count.failure = describe(error)
            log.warning("%s failed: %s%s", job, count.failure, _origin(error))
        if job != DAEMON:
            self._tell(job, count.failure)

    def missed(self, job: str, count: int) -> None:
        """Runs of a job that were due did not happen."""
        self._counts[job].missed += count

    def judge_daemon(self) -> None:
        """Tell when the daemon's own state changed."""
        if self._settled_at is not None and time.monotonic() >= self._settled_at:
            self._settled_at = None
            self._forget()
        failure = self._counts[DAEMON].failure if DAEMON in self._counts else ""
        self._tell(DAEMON, "; ".join(text for text in (self._trouble(), failure) if text))

    def forget_failures(self) -> None:
        """Tell of every failure once more, now and when the clock's step is past.

        What was told while the clock was wrong may have been refused, and so may a batch that holds both.
        """
        self._settled_at = time.monotonic() + SETTLED_S
        self._forget()

    def _forget(self) -> None:
        for count in self._counts.values():
            if count.told == JobState.FAILING:
                count.told = None

    def report(self, daemon: Mapping[str, tuple[str, float]]) -> list[Sample]:
        """Samples of all jobs and of the daemon (metric -> unit, value); counts begin anew.

        What did not happen since the previous report has no number, rather than a zero.
        """
        samples: list[Sample] = []
        for job, count in self._counts.items():
            numbers = self._numbers(count)
            if job == DAEMON:
                numbers |= {**self._own_numbers(), **daemon}
            samples += self._samples(job, numbers)
            count.runs = count.errors = count.missed = 0
            count.lag_s = count.run_s = None
        return samples

    def _numbers(self, count: _Count) -> dict[str, tuple[str, float]]:
        numbers: dict[str, tuple[str, float]] = {
            "interval_s": ("s", count.interval_s),
            "runs_total": ("1", count.runs),
            "errors_total": ("1", count.errors),
            "missed_total": ("1", count.missed),
        }
        if count.lag_s is not None:
            numbers["lag_max_ms"] = ("ms", count.lag_s * 1000)
        if count.run_s is not None:
            numbers["run_max_ms"] = ("ms", count.run_s * 1000)
        if count.succeeded_at is not None:
            numbers["last_success_age_s"] = ("s", time.monotonic() - count.succeeded_at)
        return numbers

    def _own_numbers(self) -> dict[str, tuple[str, float]]:
        cpu_s, at = self._cpu_time(), time.monotonic()
        ratio = (cpu_s - self._cpu_s) / max(at - self._cpu_at, 1e-3)
        self._cpu_s, self._cpu_at = cpu_s, at
        return {
            "cpu_ratio": ("ratio", ratio),
            "memory_bytes": ("bytes", self._process.memory_info().rss),
        }

    def _samples(self, job: str, numbers: Mapping[str, tuple[str, float]]) -> Sequence[Sample]:
        at = now()
        return [
            Sample(
                at=at,
                kind="collector",
                target=self._source,
                object=job,
                metric=metric,
                unit=unit,
                value=float(value),
            )
            for metric, (unit, value) in numbers.items()
        ]

    def _tell(self, job: str, failure: str) -> None:
        """Record an event when the state is not the one told last."""
        state = JobState.FAILING if failure else JobState.OK
        count = self._counts.setdefault(job, _Count(0.0))
        if state == count.told:
            return
        text = failure or ("started" if count.told is None else "recovered")
        count.told = state
        log.log(logging.WARNING if failure else logging.INFO, "%s is %s: %s", job, state.value, text)
        self._record([Event(at=now(), job=job, state=state, text=text[:LONGEST_TEXT])])

    def _cpu_time(self) -> float:
        times = self._process.cpu_times()
        return times.user + times.system


def describe(error: BaseException) -> str:
    """An error in words that hold no secret: our own errors' text, of others only the kind."""
    if isinstance(error, PerfhouseError):
        return f"{error.title}: {error.message}"
    if isinstance(error, OSError) and error.strerror:
        return f"{type(error).__name__}: {error.strerror}"
    return type(error).__name__


def _origin(error: BaseException) -> str:
    """Where an error was raised, for the log; not its text, which may quote a secret."""
    frames = traceback.extract_tb(error.__traceback__)
    return f" ({frames[-1].filename}:{frames[-1].lineno})" if frames else ""
