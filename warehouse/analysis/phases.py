"""Steady phases: where two load tests sent the same load, for equally long at each level of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from warehouse.analysis.requests import Span

SHORTEST_S = 5.0
"""A level that lasted less in one of the runs is left out."""


@dataclass(frozen=True)
class Plateau:
    """Planned users stood still from `from_s` to `to_s` after the run's start."""

    from_s: float
    to_s: float
    users: int


@dataclass(frozen=True)
class Level:
    """One number of users that both runs held for `length_s`, and where each did."""

    users: int
    length_s: float
    a: tuple[Span, ...]
    b: tuple[Span, ...]


def ended_at(plateaus: Sequence[Plateau], length_s: float) -> list[Plateau]:
    """What of the plateaus really happened in a run that ended `length_s` after its start."""
    return [
        Plateau(each.from_s, min(each.to_s, length_s), each.users)
        for each in plateaus
        if each.from_s < length_s
    ]


def common_levels(a: Sequence[Plateau], b: Sequence[Plateau]) -> list[Level]:
    """Levels that both runs held, fewest users first.

    Of each the same number of seconds is taken from both, so that pooling levels weighs them alike.
    """
    levels = []
    for users in sorted({each.users for each in a} & {each.users for each in b}):
        own, other = ([each for each in side if each.users == users] for side in (a, b))
        length_s = min(sum(each.to_s - each.from_s for each in side) for side in (own, other))
        if length_s >= SHORTEST_S:
            levels.append(Level(users, length_s, _first(own, length_s), _first(other, length_s)))
    return levels


def _first(plateaus: Sequence[Plateau], length_s: float) -> tuple[Span, ...]:
    """The first `length_s` of the plateaus."""
    spans = []
    left_s = length_s
    for each in plateaus:
        taken_s = min(left_s, each.to_s - each.from_s)
        if taken_s > 0:
            spans.append((each.from_s, each.from_s + taken_s))
        left_s -= taken_s
    return tuple(spans)


def shared_levels(runs: Sequence[Sequence[Plateau]]) -> list[list[tuple[Span, ...]]]:
    """Of each of several runs the spans of each level that all of them held, fewest users first.

    Of a level the same number of seconds is taken from each, the least that one of them held; shorter ones
    than SHORTEST_S are left out.
    """
    held = [_by_users(plateaus) for plateaus in runs]
    users = sorted(set.intersection(*(set(each) for each in held))) if held else []
    lengths = {each: min(_length_s(own[each]) for own in held) for each in users}
    kept = [each for each in users if lengths[each] >= SHORTEST_S]
    return [[_first(own[each], lengths[each]) for each in kept] for own in held]


def _by_users(plateaus: Sequence[Plateau]) -> dict[int, list[Plateau]]:
    held: dict[int, list[Plateau]] = {}
    for each in plateaus:
        held.setdefault(each.users, []).append(each)
    return held


def _length_s(plateaus: Sequence[Plateau]) -> float:
    return sum(each.to_s - each.from_s for each in plateaus)
