"""Change points of a series: when, from what to what, how large with an interval, and how sure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from warehouse.analysis.levels import Belief, likely_places
from warehouse.analysis.pieces import Break, Pieces, find_breaks
from warehouse.analysis.requests import Floats, Ints
from warehouse.analysis.robust import Z, lag_correlation, scatter, winsorised
from warehouse.analysis.season import Season
from warehouse.analysis.steps import TINY, Fit, Noise, Rules, Whitened, fit, gain_after_first, pruned, search


@dataclass(frozen=True)
class Setting:
    """How one kind of series is judged.

    Steps are where `rules` find them in the regression, or where by a belief they are likely; or else changes
    are the ends of straight pieces, without logarithms, season and regression. Spikes shorter than half of
    `spike` points are drawn in to `reach` standard deviations from their running median, and where `firm` is
    given, to so many from the regression. `fewest` values are needed at all. `rounds` regressions are made,
    each on what the last tells of spikes and noise. `vary`: noise differs by the time of day; `least` is what
    it is at least (standard deviation, logarithmic), where values are counted and a series that stood still
    says nothing of it. Steps the same way within `ramp` points are one. `correlated`: neighbours may be
    alike. What follows the first point of a step must explain `shown` (a gain).
    """

    rules: Rules | Belief | Pieces
    season: Season = field(default_factory=Season)
    spike: int = 13
    reach: float = 3.0
    firm: float = 0.0
    fewest: int = 12
    rounds: int = 2
    vary: bool = False
    ramp: int = 0
    correlated: bool = True
    least: float = 1e-6
    shown: float = 0.0


@dataclass(frozen=True)
class Change:
    """`place` is the first point of the new level. Sizes are relative: 0.2 is 20 % more, with the ends
    of the 95 % interval; `confidence` is one less the chance to see so much anywhere by chance alone.
    Levels of straight pieces are those at their middles.
    """

    place: int
    before: float
    after: float
    size: float
    low: float
    high: float
    confidence: float


def is_large(change: Change, floor: float, smallest_ratio: float) -> bool:
    """Whether a change counts: by its difference, in the unit of the series, and relatively."""
    return abs(change.after - change.before) >= floor and abs(change.size) >= smallest_ratio


@dataclass(frozen=True)
class Study:
    """A regression on a series with what it stood on; `places` are the points observed.

    `wave_of_day` is what it took rest days to have more or less of (see `Season.columns`).
    """

    places: Ints
    wave_of_day: Floats
    values: Floats
    seen: Whitened
    noise: Noise
    found: Fit


LEAST_BASE = 0.01
"""A level nearer to 0 than this share of the typical value is no measure of a size."""

Points = Sequence[float | None] | Floats
"""A series at even steps of time; None or NaN where nothing was measured."""


def find_changes(values: Points, setting: Setting) -> list[Change]:
    """The changes of a series."""
    if isinstance(setting.rules, Pieces):
        return _changes_by_pieces(values, setting, setting.rules)
    done = study(values, setting)
    if done is None:
        return []
    return changes_of(without_unshown(done, setting, setting.shown) if setting.shown else done, setting)


def _changes_by_pieces(values: Points, setting: Setting, pieces: Pieces) -> list[Change]:
    array = np.asarray(values, dtype=float)
    places = np.flatnonzero(np.isfinite(array))
    if len(places) < setting.fewest:
        return []
    cleaned = winsorised(array[places], setting.spike, setting.reach)
    least = LEAST_BASE * float(np.median(np.abs(cleaned[cleaned != 0]))) if cleaned.any() else 0.0
    return [_change_at(found, places, least) for found in find_breaks(places, cleaned, pieces)]


def _change_at(found: Break, places: Ints, least: float) -> Change:
    """Sizes are shares of the level before without its sign; of what is surely no 0 where that may be one.

    The error of a ratio is that of its first-order expansion. The chance to see such a gain at a place is
    that of chi-squared with two degrees of freedom, a level and a slope, for each place there is.
    """
    base = max(abs(found.before), Z * found.before_error, least)
    size = (found.after - found.before) / base
    error = math.hypot(found.after_error, found.before_error * found.after / base) / base
    return Change(
        place=int(places[found.place]),
        before=found.before,
        after=found.after,
        size=size,
        low=size - Z * error,
        high=size + Z * error,
        confidence=max(0.0, 1 - len(places) * math.exp(-found.gain / 2)),
    )


def study(values: Points, setting: Setting) -> Study | None:
    """The regression itself; None when there are too few values, all are the same, or no step is believed."""
    if isinstance(setting.rules, Pieces):
        raise TypeError("straight pieces are not found by a regression with steps")
    array = np.asarray(values, dtype=float)  # None becomes NaN
    places = np.flatnonzero(np.isfinite(array))
    if len(places) < setting.fewest:
        return None
    logs = logarithms(array[places])
    if np.ptp(logs) <= TINY:
        return None
    rules = setting.rules
    steps = likely_places(logs, rules) if isinstance(rules, Belief) else []
    if isinstance(rules, Belief) and not steps:
        return None
    season = setting.season
    wave_of_day, penalties = season.no_wave(), season.penalties()
    cleaned = winsorised(logs, setting.spike, setting.reach, setting.least)
    noise = _first_noise(cleaned, setting)
    for turn in range(setting.rounds):
        columns = season.columns(places, wave_of_day)
        seen = Whitened.make(cleaned, columns, penalties, places, noise)
        if isinstance(rules, Rules):
            steps = search(seen, rules, steps)
        found = fit(seen, steps)
        if turn + 1 < setting.rounds:
            model = _model(columns, steps, found)
            rest = _without_spikes(logs - model, setting)
            cleaned = model + rest
            noise = _noise(rest, places, setting)
            wave_of_day = season.wave_of_day(found.coefficients)
    return Study(places, wave_of_day, cleaned, seen, noise, found)


def _without_spikes(rest: Floats, setting: Setting) -> Floats:
    """What the regression left, spikes drawn in."""
    if not setting.firm:
        return winsorised(rest, setting.spike, setting.reach, setting.least)
    most = setting.firm * (scatter(rest) or float(np.std(rest)))
    return np.clip(rest, -most, most)


def logarithms(values: Floats) -> Floats:
    """Logarithms; values of 0 or less are drawn up to a hundredth of the typical positive one."""
    positive = values[values > 0]
    if len(positive) == 0:
        return np.zeros(len(values))
    return np.log(np.maximum(values, 0.01 * float(np.median(positive))))


def _first_noise(cleaned: Floats, setting: Setting) -> Noise:
    lag = lag_correlation(cleaned) if setting.correlated else 0.0
    new = np.diff(cleaned)
    spread = (scatter(new) or float(np.std(new))) / math.sqrt(2 * (1 - lag) / (1 - lag**2))
    return Noise(lag, np.full(len(cleaned), max(spread, setting.least)))


def _noise(rest: Floats, places: Ints, setting: Setting) -> Noise:
    """The noise of what the regression left."""
    centred = rest - rest.mean()
    total = float(centred @ centred)
    lag = (
        float(np.clip(centred[1:] @ centred[:-1] / total, 0.0, 0.95))
        if total > 0 and setting.correlated
        else 0.0
    )
    new = centred[1:] - lag * centred[:-1]
    spread = max(float(np.std(new)), setting.least)
    scale = np.full(len(rest), spread)
    if setting.vary and setting.season.day:
        scale *= _by_time(np.hypot(new, setting.least), places[1:], places, setting.season.day)
    return Noise(lag, scale)


def _by_time(sizes: Floats, at: Ints, places: Ints, day: int) -> Floats:
    """How much larger than usual the noise is at each time of day: half-waves of a regression."""
    turn, whole = 2 * np.pi * at / day, 2 * np.pi * places / day
    columns = np.column_stack([np.ones(len(at)), *(f(k * turn) for k in (1, 2, 3) for f in (np.cos, np.sin))])
    out = np.column_stack(
        [np.ones(len(places)), *(f(k * whole) for k in (1, 2, 3) for f in (np.cos, np.sin))]
    )
    solved = np.linalg.lstsq(columns, sizes, rcond=None)[0]
    typical = float(sizes.mean())
    return np.asarray(np.clip(out @ solved / max(typical, TINY), 0.4, 3.0), dtype=float)


def _model(columns: Floats, steps: Sequence[int], found: Fit) -> Floats:
    """The season with the steps at every observed point."""
    model = columns @ found.coefficients
    for step, size in zip(steps, found.sizes, strict=True):
        model[step:] += size
    return model


def changes_of(done: Study, setting: Setting) -> list[Change]:
    """The changes that a regression found."""
    columns = setting.season.columns(done.places, done.wave_of_day)
    season = (columns[:, 1:] - columns[:, 1:].mean(axis=0)) @ done.found.coefficients[1:]
    level = done.values - season
    ramps = _ramps_joined(done.found, setting.ramp)
    begins = [0, *(ramp.last for ramp in ramps)]
    ends = [*(ramp.first for ramp in ramps), len(level)]
    means = [float(np.exp(np.mean(level[begin:end]))) for begin, end in zip(begins, ends, strict=True)]
    found = []
    for turn, ramp in enumerate(ramps):
        chance = math.erfc(abs(ramp.size) / max(ramp.error, TINY) / math.sqrt(2)) * len(level)
        found.append(
            Change(
                place=int(done.places[ramp.place]),
                before=means[turn],
                after=means[turn + 1],
                size=math.expm1(ramp.size),
                low=math.expm1(ramp.size - Z * ramp.error),
                high=math.expm1(ramp.size + Z * ramp.error),
                confidence=max(0.0, 1 - chance),
            )
        )
    return found


def without_unshown(done: Study, setting: Setting, least: float) -> Study:
    """The regression without the changes whose first points alone tell them, the others fitted anew.

    What follows the first point of a change must explain `least`, a gain (see `Rules`); of a ramp what the
    best of its steps does counts. Steps that no longer explain enough without them go too.
    """
    rules = setting.rules
    while done.found.places and isinstance(rules, Rules):
        steps = done.found.places
        gains = [gain_after_first(done.seen, steps, which) for which in range(len(steps))]
        best = [
            (
                max(gain for step, gain in zip(steps, gains, strict=True) if ramp.first <= step <= ramp.last),
                ramp,
            )
            for ramp in _ramps_joined(done.found, setting.ramp)
        ]
        weakest, ramp = min(best, key=lambda each: each[0])
        if weakest >= least:
            break
        left = [step for step in steps if not ramp.first <= step <= ramp.last]
        done = replace(done, found=fit(done.seen, pruned(done.seen, rules, left)))
    return done


@dataclass(frozen=True)
class _Ramp:
    """Steps the same way, or a single one: where it is told, its size and error, its first and last step."""

    place: int
    size: float
    error: float
    first: int
    last: int


def _ramps_joined(found: Fit, ramp: int) -> list[_Ramp]:
    """Each step; those the same way within `ramp` points are one, midway. Its levels lie outside of it."""
    joined: list[_Ramp] = []
    for place, size, error in zip(found.places, found.sizes, found.errors, strict=True):
        step = _Ramp(place, float(size), float(error), place, place)
        if joined and place - joined[-1].last <= ramp and step.size * joined[-1].size > 0:
            before = joined.pop()
            total = before.size + step.size
            middle = round((before.place * before.size + place * step.size) / total)
            step = _Ramp(middle, total, max(before.error, step.error), before.first, place)
        joined.append(step)
    return joined
