"""Change points while points arrive: a cheap look at each, and the whole method where one seems to differ.

New points are held against a model that was frozen before them, so that it cannot absorb a shift that has
just begun. Only when they leave it, the regression of `changes` decides, on the history it would have
had. A change is told once.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from warehouse.analysis.anew import told_anew
from warehouse.analysis.changes import (
    Change,
    Points,
    Setting,
    Study,
    changes_of,
    logarithms,
    study,
    without_unshown,
)
from warehouse.analysis.levels import Belief
from warehouse.analysis.requests import Floats
from warehouse.analysis.steps import Rules

AROUND = 24
"""So many points on either side of a change tell its levels."""

LATE_APART = 2
"""What is told late was found elsewhere than it would have been early: so many times as far apart."""

KNOWN_DAYS = 2
"""Until a time of day was seen so often, a weak step may as well be the season."""


@dataclass(frozen=True)
class Alertness:
    """When a live series is looked at and when an alarm is raised.

    `rules` are stricter than those for a series that is complete, `spike` is its own. `memory` points are
    kept, the model is frozen for `frozen` points (0: every point gets the whole method), `hot` is the gain
    above which it is asked whether something changed, at most every `pause` points. An alarm is about
    one of the last `recent` points, `apart` from the last one, and of a level that has `steady` points. Its
    first point is looked for up to `ahead` points before the place that was found.

    What was too weak for an alarm is looked at again whenever the model is frozen, by the rules for a
    complete series: a change is told late if it has `settled` points, but no more than `late`. Either way
    what follows its first point must explain `shown` (a gain), so that no shock is told for a level.
    """

    rules: Rules | Belief
    spike: int
    memory: int
    frozen: int
    hot: float
    pause: int
    recent: int
    apart: int
    steady: int = 0
    ahead: int = 0
    settled: int = 0
    late: int = 0
    shown: float = 0.0


class Watch:
    """One series that grows. Not for more than one thread.

    `past` is what it was before, of which nothing is told; `told` the place of the last change that was.
    """

    def __init__(
        self, setting: Setting, alertness: Alertness, past: Points = (), told: int | None = None
    ) -> None:
        self._whole = setting
        self._setting = replace(setting, rules=alertness.rules, spike=alertness.spike)
        self._alertness = alertness
        self._values = array("d", np.asarray(past, dtype=float))
        self._first = 0
        self._told = -alertness.apart if told is None else told
        self._asked = 0
        self._rest: Floats = np.zeros(0)

    def __len__(self) -> int:
        """How many points it was given."""
        return self._first + len(self._values)

    @property
    def measured(self) -> int:
        """How many of the points it remembers were measured."""
        return int(np.isfinite(np.array(self._values)).sum())

    def update(self, value: float | None) -> Change | None:
        """Take the next point (None: not measured); the change it proves, if any."""
        self._values.append(math.nan if value is None else value)
        self._forget()
        if value is None or len(self._values) < self._setting.fewest:
            return None
        place = self._first + len(self._values) - 1
        if self._alertness.frozen:
            if len(self._rest) == 0 or len(self._values) - self._frozen_at >= self._alertness.frozen:
                late = self._late(self._freeze(), place)
                if late is not None:
                    return late
            if place - self._asked < self._alertness.pause or not self._is_hot():
                return None
            self._asked = place
        return self._alarm(place)

    def again(self, place: int, end: int, *, upwards: bool) -> Change | None:
        """What the change told at a place is by the points before `end`; None where they tell nothing."""
        if place <= self._first:
            return None
        values = np.array(self._values[: end - self._first])
        near = self._alertness.apart
        change = told_anew(values, place - self._first, self._setting, near, upwards=upwards)
        return None if change is None else replace(change, place=change.place + self._first)

    def _forget(self) -> None:
        """Drop a whole day or a quarter of the memory once there is one too many: phases stay."""
        most = self._alertness.memory
        step = 7 * self._setting.season.day or most // 4
        if len(self._values) >= most + step:
            del self._values[:step]
            self._first += step
            self._rest = np.zeros(0)

    def _alarm(self, now: int) -> Change | None:
        done = study(np.array(self._values), self._setting)
        for change in self._latest(done, self._setting):
            place = change.place + self._first
            if now - place > self._alertness.recent or place - self._told < self._alertness.apart:
                return None
            if now - place + 1 < self._alertness.steady:
                return None
            self._told = place
            self._rest = np.zeros(0)
            first = first_of(np.array(self._values), change.place, self._alertness.ahead)
            return replace(change, place=self._first + first)
        return None

    def _is_hot(self) -> bool:
        """Whether the points since the model was frozen left it."""
        at = np.array([len(self._values) - 1])
        log = float(logarithms(np.array(self._values[-1:]))[0])
        rest = log - self._level - float(self._setting.season.columns(at, self._wave)[0] @ self._coefficients)
        self._rest = np.append(self._rest, rest)[-self._alertness.recent :]
        new = np.clip((self._rest[1:] - self._lag * self._rest[:-1]) / self._scale, -3.0, 3.0)
        length = np.arange(1, len(new) + 1)
        gains = np.cumsum(new[::-1]) ** 2 / length
        return bool(gains[3:].max(initial=0.0) > self._alertness.hot)

    def _late(self, done: Study | None, now: int) -> Change | None:
        """The latest change that was not told, if it is settled."""
        if done is None or len(self._values) < KNOWN_DAYS * self._setting.season.day:
            return None
        for change in self._latest(done, self._whole):
            place, told = change.place + self._first, self._told
            if now - place > self._alertness.late or place - told < LATE_APART * self._alertness.apart:
                return None
            if now - place >= self._alertness.settled:
                self._told = place
                return replace(change, place=place)
        return None

    def _latest(self, done: Study | None, setting: Setting) -> Iterator[Change]:
        """The changes that more than their first point tells, the latest first."""
        if done is not None and self._alertness.shown:
            done = without_unshown(done, setting, self._alertness.shown)
        return reversed([] if done is None else changes_of(done, setting))

    def _freeze(self) -> Study | None:
        """Make the model from what was before the last points, and what they are from it."""
        self._frozen_at = len(self._values)
        done = study(np.array(self._values), self._whole)
        if done is None:
            self._level, self._lag, self._scale = 0.0, 0.0, 1.0
            self._wave = self._setting.season.no_wave()
            self._coefficients = np.zeros(len(self._setting.season.penalties()))
            return None
        self._level, self._lag = float(done.found.sizes.sum()), done.noise.lag
        self._scale = float(np.median(done.noise.scale))
        self._wave, self._coefficients = done.wave_of_day, done.found.coefficients
        columns = self._setting.season.columns(done.places[-self._alertness.recent :], self._wave)
        self._rest = done.values[-self._alertness.recent :] - self._level - columns @ self._coefficients
        return done


def first_of(values: Floats, place: int, ahead: int) -> int:
    """The first point of a new level that was found at `place`: up to `ahead` points before it.

    Where points are drawn in from spikes, the first ones of a level still look like the one before. They are
    nearer to the median of what follows than to that of what went before.
    """
    logs = logarithms(np.where(np.isfinite(values), values, 0.0))
    known = np.isfinite(values)
    earlier, later = slice(max(0, place - AROUND), max(0, place - ahead)), slice(place, place + AROUND)
    before, after = logs[earlier][known[earlier]], logs[later][known[later]]
    if not len(before) or not len(after):
        return place
    low, high = float(np.median(before)), float(np.median(after))
    first = place
    while first > max(0, place - ahead) and known[first - 1]:
        if abs(logs[first - 1] - high) >= abs(logs[first - 1] - low):
            break
        first -= 1
    return first
