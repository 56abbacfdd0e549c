"""Requests the runs that the configuration schedules; what was due while nobody looked is not made up."""

from __future__ import annotations

import logging
import re
from collections import deque
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

from apscheduler.triggers.cron import CronTrigger

from warehouse.errors import ConfigurationError, InvalidInputError, PerfhouseError, RefusedError
from warehouse.plan import make_plan
from warehouse.settings import ScheduleSettings, Settings

log = logging.getLogger(__name__)

LATEST = timedelta(seconds=30)
"""How late a run may still be requested; later it is missed."""

JUST_AFTER = timedelta(microseconds=1)

DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
NUMBERED = re.compile(r"(?P<first>\*|\d+)(?:-(?P<last>\d+))?(?:/(?P<step>\d+))?")
"""A day of the week, or a range of them, in numbers."""

Request = Callable[[ScheduleSettings], Any]
"""Makes the run request. Raises PerfhouseError when it was not made."""

TellMissed = Callable[[ScheduleSettings, datetime, str], Any]
"""Says which run was due when and was not requested, and why. Raises PerfhouseError."""

MOST_UNTOLD = 100
"""Missed runs that wait to be told; the oldest are dropped."""


class Trigger(Protocol):
    """When a schedule is due: APScheduler's."""

    def get_next_fire_time(self, previous: datetime | None, now: datetime) -> datetime | None:
        """The first instant at or after `now` and after `previous`."""
        ...


class Schedule:
    """The scheduled runs. Call `tick` about once a second."""

    def __init__(
        self,
        entries: Iterable[ScheduleSettings],
        request: Request,
        *,
        since: datetime,
        tell_missed: TellMissed | None = None,
        trigger: Callable[[ScheduleSettings], Trigger] | None = None,
    ) -> None:
        """Nobody looked after the schedules since `since`. Raises ConfigurationError for a wrong cron."""
        make = trigger or cron_trigger
        self._request = request
        self._tell_missed = tell_missed
        self._untold: deque[tuple[ScheduleSettings, datetime, str]] = deque(maxlen=MOST_UNTOLD)
        self._entries = [(entry, make(entry)) for entry in entries]
        self._next = {entry.name: made.get_next_fire_time(None, since) for entry, made in self._entries}

    def next_at(self, name: str) -> datetime | None:
        """When a schedule is due next."""
        return self._next[name]

    def tick(self, at: datetime) -> None:
        """Request what is due at `at`; tell what was missed.

        Raises PerfhouseError where that cannot be told now: it is tried again at the next tick.
        """
        for entry, trigger in self._entries:
            due = self._next[entry.name]
            if due is None or due > at:
                continue
            self._next[entry.name] = trigger.get_next_fire_time(None, max(at, due + JUST_AFTER))
            if at - due > LATEST:
                log.warning(
                    "schedule %s was due at %s and missed: nobody looked until %s",
                    entry.name,
                    due.isoformat(),
                    at.isoformat(),
                )
                self._untold.append((entry, due, f"no load agent looked until {at:%Y-%m-%d %H:%M:%S} UTC"))
            else:
                self._make(entry, due)
        self._tell()

    def _make(self, entry: ScheduleSettings, due: datetime) -> None:
        try:
            self._request(entry)
        except PerfhouseError as error:
            log.warning(
                "schedule %s was due at %s and made no run: %s", entry.name, due.isoformat(), error.message
            )
            if not isinstance(error, RefusedError):  # what the warehouse refused is in its audit log
                self._untold.append((entry, due, f"it could not be requested: {error.message}"))
        else:
            log.info("schedule %s requested %s at %s", entry.name, entry.preset, entry.target)

    def _tell(self) -> None:
        while self._untold and self._tell_missed is not None:
            try:
                self._tell_missed(*self._untold[0])
            except RefusedError as error:
                log.warning("the warehouse would not hear of a missed run: %s", error.message)
            self._untold.popleft()


def refuse_impossible(settings: Settings) -> None:
    """Raise ConfigurationError for all schedules that would never make a run, at once.

    Their cron is none, or their target does not bear the preset.
    """
    problems = []
    for entry in settings.schedule:
        try:
            cron_trigger(entry)
        except ConfigurationError as error:
            problems += error.problems
        try:
            make_plan(settings, entry.target, entry.preset, entry.scenario)
        except InvalidInputError as error:
            problems.append(f"schedule {entry.name}: {error.field}: {error.message}")
    if problems:
        raise ConfigurationError(problems)


def cron_trigger(entry: ScheduleSettings) -> Trigger:
    """A schedule's five fields, UTC. Raises ConfigurationError."""
    *others, days = entry.cron.split()
    try:
        made: Trigger = CronTrigger.from_crontab(" ".join([*others, _named(days)]), timezone=UTC)
    except ValueError as error:
        raise ConfigurationError(
            [f"schedule {entry.name}: cron: expected five fields of cron, given {entry.cron!r}: {error}"]
        ) from None
    return made


def _named(days: str) -> str:
    """Days of the week by name: in cron 0 and 7 are Sunday, to APScheduler 0 is Monday.

    Raises ValueError for a day that is none.
    """
    return ",".join(map(_named_part, days.split(",")))


def _named_part(part: str) -> str:
    found = NUMBERED.fullmatch(part)
    if found is None or part == "*":
        return part
    first, last, step = found["first"], found["last"], int(found["step"] or 1)
    low = 0 if first == "*" else int(first)
    high = 6 if first == "*" else int(last or (6 if found["step"] else first))
    if high > 7 or low > high or step < 1:
        raise ValueError(f"{part} is no range of days between 0 (Sunday) and 7 (Sunday)")
    return ",".join(DAYS[day % 7] for day in range(low, high + 1, step))
