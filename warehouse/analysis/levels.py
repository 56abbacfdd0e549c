"""The chance that a new level begins at each point of a short series, over all ways it may have gone.

A hidden Markov model: the level is the hidden state, on a grid; it stays, or jumps with a small chance. A
point scatters around it normally, or went astray. Chances come from forward and backward passes (Rabiner,
A tutorial on hidden Markov models, Proc. IEEE 77, 1989), averaged over how large the scatter may be by how
well each explains the series. Nothing is decided before everything is known: two spikes in a row, a small
step among noise and a large one are weighed by the same measure.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from warehouse.analysis.requests import Floats
from warehouse.analysis.robust import running_median, scatter

FINEST, FEWEST, MOST = 2.5, 40, 240
"""Levels to one standard deviation, and how many there are at least and at most."""

SCATTERS = (0.4, 0.55, 0.75, 1.0, 1.35, 1.8, 2.4)
"""What the scatter may be, in the one that neighbours tell."""

LEAST_SCATTER = 0.004
NEVER = 1e-12
"""Density of a point beyond all that is believed."""


@dataclass(frozen=True)
class Belief:
    """What is believed of a kind of series before one is seen; sizes are logarithmic.

    `rate` is the chance that a point begins a new level. It is `smallest` away from the one before at
    least, and rarer the farther (`typical`: the mean). `astray` is the share of points that are off by
    themselves, `far` their standard deviation. A change is told where its chance within `within` points
    is at least `sure`, or `sure_early` where it has fewer than `early` points, and `shortest` points or
    more stand on either side.
    """

    rate: float
    smallest: float
    typical: float
    astray: float
    far: float
    sure: float
    within: int
    shortest: int
    early: int = 0
    sure_early: float = 1.0


def likely_places(logs: Floats, belief: Belief) -> list[int]:
    """The first points of new levels that are likely enough, sorted."""
    left = jump_chances(logs, belief)
    around = np.ones(2 * belief.within + 1)
    found = []
    while True:
        near = np.convolve(left, around, "same")
        middle = int(np.argmax(near))
        if near[middle] < belief.sure:
            break
        first = max(0, middle - belief.within)
        place = first + int(np.argmax(left[first : middle + belief.within + 1]))
        left[first : middle + belief.within + 1] = 0.0
        after = len(logs) - place
        is_sure = after >= belief.early or near[middle] >= belief.sure_early
        if is_sure and place >= belief.shortest and after >= belief.shortest:
            found.append(place)
    return sorted(found)


def jump_chances(logs: Floats, belief: Belief) -> Floats:
    """For each point, the chance that it is the first of a new level."""
    spread = max(scatter(np.diff(logs)) or float(np.std(np.diff(logs))), LEAST_SCATTER) / np.sqrt(2)
    levels = _levels(logs, spread)
    jumps = _jumps(levels, belief)
    if jumps is None:
        return np.zeros(len(logs))
    scatters = np.maximum(np.array(SCATTERS) * spread, (levels[1] - levels[0]) / 2)
    seen = _densities(logs, levels, scatters, belief)
    moves = belief.rate * jumps
    moves[np.diag_indices_from(moves)] += 1 - belief.rate
    before, fits = _forward(seen, moves)
    chances = _backward(seen, before, moves, belief.rate)
    weights = np.exp(fits - fits.max())
    return np.asarray(weights @ chances / weights.sum(), dtype=float)


def _levels(logs: Floats, spread: float) -> Floats:
    """Where a level may be: between the extremes that two points of three bear out."""
    middle = running_median(logs, 3)
    low, high = middle.min() - spread, middle.max() + spread
    return np.linspace(low, high, int(np.clip(FINEST * (high - low) / spread, FEWEST, MOST)))


def _jumps(levels: Floats, belief: Belief) -> Floats | None:
    """The chance of each new level (columns) after each (rows); None where none is far enough away."""
    apart = np.abs(levels[:, None] - levels)
    chances = np.where(apart >= belief.smallest, np.exp(-apart / belief.typical), 0.0)
    sums = chances.sum(axis=1, keepdims=True)
    return np.asarray(chances / sums, dtype=float) if sums.all() else None


def _densities(logs: Floats, levels: Floats, scatters: Floats, belief: Belief) -> Floats:
    """Of each point under each scatter and level: scatters x points x levels."""
    squares = (logs[:, None] - levels) ** 2
    wide = scatters[:, None, None]
    usual = np.exp(squares / (-2 * wide**2)) / wide
    astray = np.exp(squares / (-2 * belief.far**2)) / belief.far
    return np.asarray((1 - belief.astray) * usual + belief.astray * astray + NEVER, dtype=float)


def _forward(seen: Floats, moves: Floats) -> tuple[Floats, Floats]:
    """The chances of each level after each point, and the logarithmic likelihood, for each scatter.

    `moves` has the chance of each level (columns) after each (rows).
    """
    after = np.empty_like(seen)
    totals = np.empty(seen.shape[:2])
    now = np.full((len(seen), len(moves)), 1 / len(moves))
    for place in range(seen.shape[1]):
        now = now * seen[:, place]
        totals[:, place] = total = now.sum(axis=1)
        after[:, place] = now = now / total[:, None]
        now = now @ moves
    return after, np.log(totals).sum(axis=1)


def _backward(seen: Floats, before: Floats, moves: Floats, rate: float) -> Floats:
    """The chance that each point began a level, given all points, for each scatter."""
    told, came = np.empty_like(seen), np.empty_like(seen)
    back = moves.T.copy()
    later = np.ones((len(seen), len(moves)))
    for place in range(seen.shape[1] - 1, 0, -1):
        told[:, place] = here = seen[:, place] * later
        came[:, place] = later = here @ back
        later = later / later.sum(axis=1, keepdims=True)
    chances = np.zeros(seen.shape[:2])
    stayed = (1 - rate) * np.einsum("spl,spl->sp", before[:, :-1], told[:, 1:])
    chances[:, 1:] = 1 - stayed / np.einsum("spl,spl->sp", before[:, :-1], came[:, 1:])
    return chances
