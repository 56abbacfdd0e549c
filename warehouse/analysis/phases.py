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
