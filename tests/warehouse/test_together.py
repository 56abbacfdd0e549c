"""What moved at a moment, and what moves at that hour on every day."""

import numpy as np
import pytest

from warehouse.analysis.together import Move, beyond, move


def moves(seed: int, before: float, after: float, days: int) -> list[Move]:
    """So many days whose points scatter by a twentieth."""
    random = np.random.default_rng(seed)
    found = []
    for _ in range(days):
        sides = [level * (1 + 0.05 * random.standard_normal(24)) for level in (before, after)]
        found.append(move(*sides))
    return [each for each in found if each is not None]


def test_a_day_like_the_others_is_no_move() -> None:
    for seed in range(50):
        today, *others = moves(seed, 50.0, 30.0, 5)
        assert today.coincides
        assert not beyond(today, others).coincides


def test_more_than_the_usual_is_told_by_how_much() -> None:
    (today,) = moves(1, 50.0, 60.0, 1)
    rest = beyond(today, moves(2, 50.0, 30.0, 4))
    assert rest.coincides
    assert rest.usual == pytest.approx(-20, abs=2)
    assert rest.rest == pytest.approx(30, abs=2)
    assert (rest.before, rest.after) == (today.before, today.after)
    assert rest.error > today.error


def test_one_odd_day_does_not_bend_what_is_usual() -> None:
    today, *others = moves(3, 50.0, 30.0, 4)
    (holiday,) = moves(4, 50.0, 50.0, 1)
    assert not beyond(today, [*others, holiday]).coincides


def test_without_other_days_a_move_stays_as_it_is() -> None:
    (today,) = moves(5, 50.0, 30.0, 1)
    assert beyond(today, []) == today
