"""Straight pieces of a series: where one ends and another begins, and how many there are.

Each piece is a least-squares line of its own: a trend is no change, a step or a bend is one. For each number
of changes the places that leave least are found among all there are (dynamic programming: Bellman and Roth,
Curve fitting by segmented straight lines, JASA 64, 1969). How many pay for themselves is told by Schwarz's
criterion (Estimating the dimension of a model, Annals of Statistics 6, 1978): a change is three numbers more,
its place, a level and a slope. Points that are like their neighbours tell less: of n with the correlation r,
n (1 - r) / (1 + r) count (Bayley and Hammersley, J. R. Stat. Soc. Suppl. 8, 1946). r is that of what the most
changes leave, so that none of them passes for correlation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from warehouse.analysis.requests import Floats, Ints

NUMBERS = 3
"""What a piece adds to a description: where it begins, a level and a slope."""

MOST_ENDS = 500
"""Of a longer series so many places are tried at first, and those between them near the best ones."""

ALIKE = 1e-9
"""Values that differ by no more than this share of the largest are the same."""

EXACT = 1e-8
"""Share of the variance that is left at least: no description is better than what it is written with."""

MOST_CORRELATION = 0.99


@dataclass(frozen=True)
class Pieces:
    """How a series may be divided: into `most` changes at most, and into pieces of at least `shortest`
    points and the `share` of all points.
    """

    most: int
    shortest: int
    share: float

    def least_of(self, points: int) -> int:
        """The fewest that a piece of so many has; a line through two would leave nothing."""
        return max(3, self.shortest, int(np.ceil(self.share * points)))


@dataclass(frozen=True)
class Break:
    """An end of a piece: `place` is the first point of the next one.

    `before` and `after` are the levels of the two pieces at their middles, in the unit of the series, with
    their standard errors. `gain` is what the change explains beside the others, as a difference of twice the
    logarithm of the likelihood. For both, points count as the correlation of what these pieces leave tells.
    """

    place: int
    before: float
    after: float
    before_error: float
    after_error: float
    gain: float


@dataclass(frozen=True)
class Sums:
    """Sums over the first points of a series, from which the line of any stretch follows at once.

    Rows of `table` are the count, t, y, tt, ty and yy; columns how many points they are of, 0 to all.
    """

    table: Floats

    @classmethod
    def make(cls, at: Floats, values: Floats) -> Sums:
        """Of values at instants, both best near 0, where little is lost to rounding."""
        rows = np.stack([np.ones(len(at)), at, values, at * at, at * values, values * values])
        return cls(np.pad(np.cumsum(rows, axis=1), ((0, 0), (1, 0))))

    def left(self, start: Ints | int, end: Ints | int) -> Floats:
        """The squares that the line of the points from `start` to before `end` leaves, summed."""
        count, t, y, tt, ty, yy = self.table[:, np.atleast_1d(end)] - self.table[:, np.atleast_1d(start)]
        count = np.maximum(count, 1.0)
        wide = tt - t * t / count
        product = ty - t * y / count
        told = np.where(wide > 0, product**2 / np.where(wide > 0, wide, 1.0), 0.0)
        return np.asarray(np.maximum(yy - y * y / count - told, 0.0), dtype=float)

    def level(self, start: int, end: int) -> float:
        """The mean of a stretch."""
        return float((self.table[2, end] - self.table[2, start]) / (end - start))

    def left_by(self, ends: Sequence[int]) -> float:
        """What the lines of all pieces leave; `ends` begins with 0 and closes with the count of points."""
        return float(self.left(np.array(ends[:-1]), np.array(ends[1:])).sum())


def find_breaks(at: Ints, values: Floats, pieces: Pieces) -> list[Break]:
    """The ends of pieces that pay for themselves; `at` are instants in steps of the series."""
    points = len(values)
    if points == 0 or np.ptp(values) <= ALIKE * np.max(np.abs(values)):
        return []
    middle, spread = float(values.mean()), float(values.std())
    instants = (at - at.mean()) / points
    scaled = (values - middle) / spread
    sums = Sums.make(instants, scaled)
    ways = best_ways(sums, points, pieces)
    counting = _counting(_rest(instants, scaled, ways[-1]))
    ends = min(ways, key=lambda way: criterion(sums, way, counting))
    counting = _counting(_rest(instants, scaled, ends))
    return [_break(sums, ends, turn, counting, (middle, spread)) for turn in range(1, len(ends) - 1)]


def criterion(sums: Sums, ends: Sequence[int], counting: float) -> float:
    """Schwarz's, less is better; `counting` is the share of points that count."""
    points, changes = ends[-1], len(ends) - 2
    return counting * points * _log_variance(sums, ends) + NUMBERS * changes * float(np.log(points))


def _log_variance(sums: Sums, ends: Sequence[int]) -> float:
    return float(np.log(sums.left_by(ends) / ends[-1] + EXACT))


def best_ways(sums: Sums, points: int, pieces: Pieces) -> list[list[int]]:
    """For 0 changes, 1 and so on the ends of the pieces that leave least; each begins with 0."""
    least = pieces.least_of(points)
    step = -(-points // MOST_ENDS)
    tried = np.append(np.arange(0, points, step), points)
    start, end = tried[:, None], tried[None, :]
    left = np.where(end - start >= least, sums.left(start, end), np.inf)
    reached, came_from = left[0], []
    ways = [[0, points]]
    for _ in range(min(pieces.most, points // least - 1)):
        through = reached[:, None] + left
        came_from.append(np.argmin(through, axis=0))
        reached = np.min(through, axis=0)
        if not np.isfinite(reached[-1]):
            break
        ways.append(_refined(sums, _way_back(tried, came_from), step, least))
    return ways


def _way_back(tried: Ints, came_from: Sequence[Ints]) -> list[int]:
    place = len(tried) - 1
    ends = [int(tried[place])]
    for table in reversed(came_from):
        place = int(table[place])
        ends.append(int(tried[place]))
    return [0, *reversed(ends)]


def _refined(sums: Sums, ends: list[int], step: int, least: int) -> list[int]:
    """Each end moved to the best of the places around it that were not tried."""
    for turn in range(1, len(ends) - 1 if step > 1 else 0):
        low = max(ends[turn - 1] + least, ends[turn] - step)
        high = min(ends[turn + 1] - least, ends[turn] + step)
        near = np.arange(low, high + 1)
        left = sums.left(ends[turn - 1], near) + sums.left(near, ends[turn + 1])
        ends[turn] = int(near[np.argmin(left)])
    return ends


def _rest(instants: Floats, values: Floats, ends: Sequence[int]) -> list[Floats]:
    """What the line of each piece leaves of its points."""
    rest = []
    for start, end in pairwise(ends):
        t, y = instants[start:end] - instants[start:end].mean(), values[start:end] - values[start:end].mean()
        rest.append(y - t * float(t @ y) / float(t @ t))
    return rest


def _counting(rest: Sequence[Floats]) -> float:
    """The share of points that count beside neighbours that are alike.

    What is fitted leans towards the noise. That takes from the products of neighbours about as much as from
    the squares: the variance of a point for each number that was free.
    """
    whole = np.concatenate(rest)
    seen = float(whole[1:] @ whole[:-1]) / (float(whole @ whole) + EXACT * len(whole))
    taken = (NUMBERS * len(rest) - 1) / len(whole)
    correlation = float(np.clip(seen + (1 - seen) * taken, 0.0, MOST_CORRELATION))
    return (1 - correlation) / (1 + correlation)


def _break(sums: Sums, ends: Sequence[int], turn: int, counting: float, scale: tuple[float, float]) -> Break:
    """What is told of one end; `scale` is mean and standard deviation of the series in its own unit."""
    before, place, after = ends[turn - 1], ends[turn], ends[turn + 1]
    middle, spread = scale
    points, lines = ends[-1], len(ends) - 1
    variance = (sums.left_by(ends) / (points - 2 * lines) + EXACT) / counting
    without = [*ends[:turn], *ends[turn + 1 :]]
    return Break(
        place=place,
        before=middle + spread * sums.level(before, place),
        after=middle + spread * sums.level(place, after),
        before_error=spread * float(np.sqrt(variance / (place - before))),
        after_error=spread * float(np.sqrt(variance / (after - place))),
        gain=counting * points * (_log_variance(sums, without) - _log_variance(sums, ends)),
    )
