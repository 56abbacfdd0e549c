"""Steps in the level of a series with a season, found in one regression with it and its correlated noise.

Noise is a first-order autoregression. Everything is whitened by it, the season's columns included, and
steps are added one at a time or two at a time (up and back), each where it explains most, moved where
they fit better beside the others, and dropped when they no longer explain enough. So the season never
takes a step for itself: both are estimated together. The gain of a step at every place at once comes from
sums over the rest of the series, in O(points x columns).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from warehouse.analysis.requests import Floats, Ints

MOST_STEPS = 12
TINY = 1e-9
SHARE = 1e-6
"""A column that has less of its own than this is told by the others."""

Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Rules:
    """When a step counts: gains are differences of twice the logarithm of the likelihood.

    `gain` for one step, `pair_gain` for two that undo one another, `widths` how many points may lie
    between those two, `shortest` how many points any stretch must have, `smallest` its least size
    (logarithmic).
    """

    gain: float
    pair_gain: float
    widths: tuple[int, ...]
    shortest: int
    smallest: float

    def stricter(self, factor: float) -> Rules:
        """The same with gains so many times as large."""
        return replace(self, gain=factor * self.gain, pair_gain=factor * self.pair_gain)


@dataclass(frozen=True)
class Whitened:
    """A series as seen by the regression: `y` and `base` are whitened, and a step at place i has the
    column that is `head[i]` at i, `tail[j]` at every later j and 0 before.
    """

    y: Floats
    base: Floats
    head: Floats
    tail: Floats
    later: Floats = field(repr=False)

    @classmethod
    def make(cls, values: Floats, columns: Floats, penalties: Floats, places: Ints, noise: Noise) -> Whitened:
        """Whiten values and columns by the noise; gaps weaken the tie between neighbours."""
        apart = np.diff(places, prepend=places[0])
        tie = np.where(apart > 0, noise.lag ** np.maximum(apart, 1), 0.0)
        weight = np.sqrt((1 - noise.lag**2) / (1 - tie**2)) / noise.scale
        weight[0] = np.sqrt(1 - noise.lag**2) / noise.scale[0]

        def whiten(column: Floats) -> Floats:
            before = np.concatenate([column[:1], column[:-1]])
            return np.asarray((column - tie * before) * weight, dtype=float)

        base = np.column_stack([whiten(column) for column in columns.T])
        base = np.vstack([base, np.diag(np.sqrt(penalties))])
        blank = np.zeros(len(penalties))
        tail = np.concatenate([weight * (1 - tie), blank])
        squares = np.cumsum(tail[::-1] ** 2)[::-1]
        return cls(
            y=np.concatenate([whiten(values), blank]),
            base=base,
            head=np.concatenate([weight, blank]),
            tail=tail,
            later=np.append(squares[1:], 0.0),
        )

    @property
    def points(self) -> int:
        """How many points were observed."""
        return int(len(self.y) - self.base.shape[1])

    def step(self, place: int) -> Floats:
        """The column of a step."""
        column = self.tail.copy()
        column[:place] = 0.0
        column[place] = self.head[place]
        return column

    def against_steps(self, columns: Floats) -> Floats:
        """The products of each column with the step at every place, as places x columns."""
        tails = self.tail[:, None] * columns
        later = np.cumsum(tails[::-1], axis=0)[::-1] - tails
        return np.asarray((self.head[:, None] * columns + later)[: self.points], dtype=float)


@dataclass(frozen=True)
class Noise:
    """Correlation of neighbours, and the standard deviation of what is new at each point."""

    lag: float
    scale: Floats


@dataclass(frozen=True)
class Fit:
    """Steps with size (logarithmic), standard error and gain; the season's coefficients; what is left."""

    places: tuple[int, ...]
    sizes: Floats
    errors: Floats
    gains: Floats
    coefficients: Floats
    covariance: Floats
    rest: Floats


def fit(seen: Whitened, places: Sequence[int]) -> Fit:
    """The regression with steps at these places."""
    columns = np.column_stack([seen.base, *(seen.step(place) for place in places)])
    inverse = np.linalg.pinv(columns.T @ columns)
    solved = inverse @ (columns.T @ seen.y)
    rest = (seen.y - columns @ solved)[: seen.points]
    width = seen.base.shape[1]
    errors = np.sqrt(np.maximum(np.diag(inverse), 0.0))
    gains = (solved / np.maximum(errors, TINY)) ** 2
    return Fit(tuple(places), solved[width:], errors[width:], gains[width:], solved[:width], inverse, rest)


def gain_after_first(seen: Whitened, places: Sequence[int], which: int) -> float:
    """The gain of one of the steps by what follows its first point.

    A single large shock fades in correlated noise, and whitened it looks like the first point of a step:
    what follows tells the two apart (innovational outlier and level shift; Chen and Liu, Joint Estimation of
    Model Parameters and Outlier Effects in Time Series, JASA 88, 1993).
    """
    columns = np.column_stack([seen.base, *(seen.step(place) for place in places)])
    kept = np.arange(len(seen.y)) != places[which]
    columns = columns[kept]
    inverse = np.linalg.pinv(columns.T @ columns)
    place = seen.base.shape[1] + which
    size = float(inverse[place] @ (columns.T @ seen.y[kept]))
    return size**2 / max(float(inverse[place, place]), TINY)


def search(seen: Whitened, rules: Rules, start: Sequence[int] = ()) -> list[int]:
    """The places where steps count, sorted; begun from those of an earlier search."""
    places = sorted(start)
    for _ in range(MOST_STEPS):
        added = _best(seen, rules, places)
        if not added:
            break
        kept = pruned(seen, rules, _moved(seen, rules, sorted([*places, *added])))
        if kept == places:
            break
        places = kept
    return pruned(seen, rules, _moved(seen, rules, places))


def _allowed(points: int, places: Sequence[int], shortest: int) -> Flags:
    """Where a further step leaves no stretch too short."""
    allowed = np.ones(points, dtype=bool)
    allowed[:shortest] = False
    allowed[max(points - shortest + 1, 0) :] = False
    for place in places:
        allowed[max(place - shortest + 1, 0) : place + shortest] = False
    return allowed


@dataclass(frozen=True)
class Gains:
    """What a further step at each place would explain beside those there are.

    `product` is with what is left of y, `left` how much of the step's column is its own.
    """

    shadow: Floats
    product: Floats
    own: Floats
    left: Floats
    usable: Flags

    @classmethod
    def beside(cls, seen: Whitened, places: Sequence[int], shortest: int) -> Gains:
        """Of every place at once."""
        columns = np.column_stack([seen.base, *(seen.step(place) for place in places)])
        basis = np.linalg.qr(columns)[0]
        shadow = seen.against_steps(basis)
        product = seen.against_steps((seen.y - basis @ (basis.T @ seen.y))[:, None])[:, 0]
        own = seen.head[: seen.points] ** 2 + seen.later[: seen.points]
        left = own - np.einsum("ij,ij->i", shadow, shadow)
        usable = _allowed(seen.points, places, shortest) & (left > SHARE * own)
        return cls(shadow, product, own, left, usable)

    def single(self, smallest: float = 0.0) -> Floats:
        """Of one step, 0 where none may stand or it would be too small."""
        fine = self.usable & (np.abs(self.product) >= smallest * self.left)
        return np.where(fine, self.product**2 / np.where(fine, self.left, 1.0), 0.0)

    def pair(self, seen: Whitened, width: int, smallest: float) -> Floats:
        """Of a step and one back `width` points later, by the first's place."""
        one, two = slice(0, seen.points - width), slice(width, seen.points)
        crossed = seen.head[two] * seen.tail[two] + seen.later[two]
        apart = self.shadow[one] - self.shadow[two]
        left = self.own[one] + self.own[two] - 2 * crossed - np.einsum("ij,ij->i", apart, apart)
        moved = self.product[one] - self.product[two]
        fine = self.usable[one] & self.usable[two] & (left > SHARE * self.own[one])
        fine &= np.abs(moved) >= smallest * left
        return np.where(fine, moved**2 / np.where(fine, left, 1.0), 0.0)


def _best(seen: Whitened, rules: Rules, places: Sequence[int]) -> list[int]:
    """The one or two steps that explain most of what is left, if that is enough."""
    gains = Gains.beside(seen, places, rules.shortest)
    single = gains.single(rules.smallest)
    place = int(np.argmax(single))
    most, found = float(single[place]) - rules.gain, [place]
    for width in rules.widths:
        if width >= seen.points - rules.shortest:
            break
        pair = gains.pair(seen, width, rules.smallest)
        place = int(np.argmax(pair))
        if pair[place] - rules.pair_gain > most:
            most, found = float(pair[place]) - rules.pair_gain, [place, place + width]
    return found if most >= 0 else []


def _moved(seen: Whitened, rules: Rules, places: Sequence[int]) -> list[int]:
    """Each step moved to where it explains most beside the others, without passing one."""
    places = list(places)
    for turn in range(len(places)):
        others = places[:turn] + places[turn + 1 :]
        gains = Gains.beside(seen, others, rules.shortest).single()
        gains[: others[turn - 1] if turn else 0] = 0.0
        gains[others[turn] if turn < len(others) else seen.points :] = 0.0
        if gains.any():
            places[turn] = int(np.argmax(gains))
    return places


def pruned(seen: Whitened, rules: Rules, places: Sequence[int]) -> list[int]:
    """Steps that explain enough beside the others; the weakest goes first."""
    places = list(places)
    while places:
        now = fit(seen, places)
        small = np.abs(now.sizes) < rules.smallest
        ranked = np.where(small, 0.0, now.gains)
        weakest = int(np.argmin(ranked))
        if ranked[weakest] >= rules.gain:
            break
        del places[weakest]
    return places
