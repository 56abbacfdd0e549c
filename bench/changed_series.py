"""Changes planted in series, and how many a watch finds: with the season to be learned, or known."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from bench.report import Section
from bench.stable_series import DAY, Series, latency_parts
from warehouse.analysis.changes import Change, Setting
from warehouse.analysis.kinds import LATENCY, LIVE_LATENCY
from warehouse.analysis.solving import solve_on_one_thread
from warehouse.analysis.watch import Watch

SIZES = (1.08, 1.15, 1.2, 1.3, 1.5, 2.0, 0.85, 0.75, 0.65)
COUNT = 40
SEED = 20_260_731
BIG = 0.2
MARGIN = 12
"""So many points may lie between a change and where it was found."""

KNOWN = replace(LATENCY, season=replace(LATENCY.season, swing=1e-4, rest=1e-4))
"""Where the season was taken out there is none to be learned; noise still has a time of day."""


@dataclass(frozen=True)
class Planted:
    """A series, the same without its season, and where it changed by how much (relative)."""

    seasonal: Series
    bare: Series
    changes: Sequence[tuple[int, float]]


@dataclass
class Tally:
    """What a watch found in several series; delays in points."""

    planted: int = 0
    big: int = 0
    wrong: int = 0
    points: int = 0
    cpu_s: float = 0.0
    delays: list[int] = field(default_factory=list)
    big_delays: list[int] = field(default_factory=list)

    def row(self, name: str) -> tuple[str, ...]:
        """The columns of `HEADER`."""
        found = len(self.delays)
        f1 = 2 * found / max(self.planted + found + self.wrong, 1)
        return (
            *(name, str(self.planted), f"{found / max(self.planted, 1):.2f}"),
            *(f"{f1:.2f}", _delay(self.delays)),
            *(f"{len(self.big_delays) / max(self.big, 1):.2f}", _delay(self.big_delays)),
            f"{1000 * self.cpu_s / max(self.points, 1):.2f} ms",
        )


HEADER = (
    *("p95, live", "changes", "recall", "F1", "median delay"),
    *("recall of 20 % or more", "their median delay", "CPU a point"),
)


def _delay(delays: Sequence[int]) -> str:
    return f"{statistics.median(delays):.0f} points" if delays else "-"


def planted(random: np.random.Generator) -> Planted:
    """A p95 of eight days that changes by a step every one to three days."""
    parts = latency_parts(random)
    steps = np.zeros(len(parts.logs))
    changes = []
    place = int(random.integers(DAY, 2 * DAY))
    while place < len(steps) - DAY // 2:
        factor = float(random.choice(SIZES))
        steps[place:] += np.log(factor)
        changes.append((place, factor - 1))
        place += int(random.integers(DAY, 3 * DAY))
    return Planted(parts.series(steps), parts.series(steps, is_seasonal=False), changes)


def measure(count: int = COUNT) -> Section:
    """What the watch finds, and what it would find if it were told the season."""
    solve_on_one_thread()
    random = np.random.default_rng(SEED)
    series = [planted(random) for _ in range(count)]
    return Section(
        title="What the watch over p95 finds",
        how="Series of `bench/stable_series.py` with steps of 8 to 100 % planted every one to three days, "
        f"point by point. A change is found if an alarm lies within {MARGIN} points of it. The second row is "
        "no detector but the ceiling: the same watch, from whose series the true season was taken out, which "
        "only the generator knows. What is missing there is lost to noise, what lies between the rows to not "
        "knowing the season yet.",
        header=HEADER,
        rows=[
            _tally(series, LATENCY, is_seasonal=True).row("the watch"),
            _tally(series, KNOWN, is_seasonal=False).row("told the true season"),
        ],
    )


def _tally(series: Sequence[Planted], setting: Setting, *, is_seasonal: bool) -> Tally:
    tally = Tally()
    for each in series:
        values = each.seasonal if is_seasonal else each.bare
        watch = Watch(setting, LIVE_LATENCY)
        began = time.process_time()
        told = [(now, change) for now, value in enumerate(values) if (change := watch.update(value))]
        tally.cpu_s += time.process_time() - began
        tally.points += len(values)
        _count(tally, each.changes, told)
    return tally


def _count(tally: Tally, changes: Sequence[tuple[int, float]], told: list[tuple[int, Change]]) -> None:
    """Each change is found by the nearest alarm near enough; alarms that are left are wrong."""
    left = list(told)
    for place, size in changes:
        tally.planted += 1
        tally.big += abs(size) >= BIG
        near = min(left, key=lambda each: abs(each[1].place - place), default=None)
        if near is not None and abs(near[1].place - place) <= MARGIN:
            left.remove(near)
            tally.delays.append(near[0] - place)
            if abs(size) >= BIG:
                tally.big_delays.append(near[0] - place)
    tally.wrong += len(left)
