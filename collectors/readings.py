"""What a host's resources are measured as: metrics, readings, and counters that turn into rates."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import psutil

from warehouse.model import Outcome

METRICS: Mapping[str, tuple[str, Literal["lower", "higher"] | None]] = {
    "cpu_ratio": ("ratio", "lower"),
    "cpu_user_ratio": ("ratio", "lower"),
    "cpu_system_ratio": ("ratio", "lower"),
    "cpu_iowait_ratio": ("ratio", "lower"),
    "memory_used_ratio": ("ratio", "lower"),
    "memory_used_bytes": ("bytes", "lower"),
    "memory_total_bytes": ("bytes", None),
    "swap_used_ratio": ("ratio", "lower"),
    "swap_used_bytes": ("bytes", "lower"),
    "load1": ("1", "lower"),
    "load5": ("1", "lower"),
    "load15": ("1", "lower"),
    "cores": ("1", None),
    "disk_used_ratio": ("ratio", "lower"),
    "disk_free_bytes": ("bytes", "higher"),
    "disk_busy_ratio": ("ratio", "lower"),
    "disk_read_bytes_per_s": ("bytes/s", None),
    "disk_write_bytes_per_s": ("bytes/s", None),
    "net_received_bytes_per_s": ("bytes/s", None),
    "net_sent_bytes_per_s": ("bytes/s", None),
    "net_errors_total": ("1", "lower"),
    "process_cpu_ratio": ("ratio", "lower"),
    "process_memory_bytes": ("bytes", "lower"),
    "process_count": ("1", None),
}
"""Every metric of a host: its unit, and which direction is better."""

ABSENT = (FileNotFoundError, NotADirectoryError, PermissionError, NotImplementedError, psutil.AccessDenied)
"""How a platform, or a container without part of /proc, says that something cannot be measured there."""

BROKEN = (OSError, psutil.Error, ArithmeticError, AssertionError, LookupError, ValueError)
"""How psutil fails on what it can read but not understand."""


@dataclass(frozen=True, slots=True)
class Reading:
    """One number of one metric, or why there is none."""

    metric: str
    value: float | None
    object: str = ""
    outcome: Outcome = Outcome.OK


def missing(metric: str, thing: str = "", outcome: Outcome = Outcome.NOT_MEASURABLE) -> Reading:
    """A reading that could not be had."""
    return Reading(metric, None, thing, outcome)


def guarded(metrics: Sequence[str], read: Callable[[], Iterable[Reading]], thing: str = "") -> list[Reading]:
    """The readings of one part; when it fails, a row for each of its metrics that says so."""
    try:
        return list(read())
    except ABSENT:
        outcome = Outcome.NOT_MEASURABLE
    except BROKEN:
        outcome = Outcome.ERROR
    return [missing(metric, thing, outcome) for metric in metrics]


@dataclass(frozen=True, slots=True)
class Growth:
    """How much each counter of one thing grew, and over how many seconds."""

    seconds: float
    by: Mapping[str, float]

    def share(
        self, metric: str, thing: str, counters: Sequence[str], over: float, most: float = float("inf")
    ) -> Reading:
        """The growth of the counters together, divided by `over`.

        A counter that the platform does not have is not measurable; one that went back (a device
        that was exchanged, a driver that started anew) tells nothing of this interval.
        """
        if any(counter not in self.by for counter in counters):
            return missing(metric, thing)
        if any(self.by[counter] < 0 for counter in counters):
            return missing(metric, thing, Outcome.ERROR)
        return Reading(metric, min(sum(self.by[counter] for counter in counters) / over, most), thing)


class Meter:
    """Remembers the counters of one kind of things and tells how much they grew since it last looked."""

    def __init__(self) -> None:
        self._seen_s = 0.0
        self._before: Mapping[str, Mapping[str, float]] = {}

    def grow(self, counters: Mapping[str, Mapping[str, float]]) -> dict[str, Growth]:
        """The growth of each thing that was there before; a new thing has none yet."""
        seen_s = time.monotonic()
        seconds = seen_s - self._seen_s
        growths = {
            thing: Growth(
                seconds,
                {name: value - before[name] for name, value in present.items() if name in before},
            )
            for thing, present in counters.items()
            if (before := self._before.get(thing)) is not None
        }
        self._seen_s, self._before = seen_s, counters
        return growths
