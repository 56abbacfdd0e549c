"""Sums of runs of counts: the same as adding them up one by one, however many there are of a group."""

import numpy as np
import pytest

from warehouse import dense
from warehouse.dense import Runs


@pytest.mark.parametrize("size", [1, 2, 4])
@pytest.mark.parametrize("groups", [1, 7, 900])
@pytest.mark.parametrize("at_once", [500, 1_000_000])
def test_runs_are_summed_by_group_whatever_their_width_and_number(
    monkeypatch: pytest.MonkeyPatch, size: int, groups: int, at_once: int
) -> None:
    monkeypatch.setattr(dense, "AT_ONCE", at_once)
    random = np.random.default_rng(size)
    number, columns = 1000, 60
    first = random.integers(0, columns - 20, number)
    length = random.integers(0, 20, number)
    at = np.cumsum(length + 2) - length
    words = random.integers(0, 2 ** (8 * size), int(at[-1] + length[-1]), dtype=np.uint64).astype(f"<u{size}")
    group = random.integers(0, groups, number)
    expected = np.zeros((groups, columns), np.int64)
    for place in range(number):
        own = words[at[place] : at[place] + length[place]]
        expected[group[place], first[place] : first[place] + length[place]] += own
    sums = np.zeros((groups, columns), np.int64)
    dense.add_to(sums, Runs(words, at, first, length, group))
    assert (sums == expected).all()


def test_many_runs_of_a_group_are_not_added_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("one by one")

    monkeypatch.setattr(dense, "_add_each", refuse)
    zeros = np.zeros(100, np.int64)
    sums = np.zeros((2, 3), np.int64)
    runs = Runs(np.full(3, 255, np.uint8), zeros, zeros, np.full(100, 3), np.arange(100) % 2)
    dense.add_to(sums, runs)
    assert sums.tolist() == [[50 * 255] * 3] * 2


def test_no_runs_change_nothing() -> None:
    none = np.zeros(0, np.int64)
    sums = np.ones((2, 3), np.int64)
    dense.add_to(sums, Runs(np.zeros(4, np.uint8), none, none, none, none))
    assert (sums == 1).all()
