"""The interval of a difference of two shares, against published values and by simulation."""

import numpy as np
import pytest

from warehouse.analysis.two_shares import Counted, design_effect, difference, newcombe, wilson

TABLE_II = [
    ((56, 70), (48, 80), 0.0524, 0.3339),
    ((9, 10), (3, 10), 0.1705, 0.8090),
    ((6, 7), (2, 7), 0.0582, 0.8062),
    ((5, 56), (0, 29), -0.0381, 0.1926),
    ((0, 10), (0, 20), -0.1611, 0.2775),
    ((0, 10), (0, 10), -0.2775, 0.2775),
    ((10, 10), (0, 20), 0.6791, 1.0000),
    ((10, 10), (0, 10), 0.6075, 1.0000),
]
"""Newcombe 1998, Stat. Med. 17, table II, method 10: every contrast of it."""


def counted(failures: list[float], attempts: list[float]) -> Counted:
    return Counted(np.array(failures, dtype=float), np.array(attempts, dtype=float))


@pytest.mark.parametrize(("one", "other", "low", "high"), TABLE_II)
def test_the_interval_is_the_published_one(
    one: tuple[int, int], other: tuple[int, int], low: float, high: float
) -> None:
    found = newcombe((one[0] / one[1], one[1]), (other[0] / other[1], other[1]))
    assert tuple(round(each, 4) for each in found) == (low, high)


def test_the_score_interval_of_one_share_is_the_published_one() -> None:
    """Newcombe 1998, Two-sided confidence intervals for the single proportion, Stat. Med. 17, table I."""
    for failures, n, low, high in (
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ):
        assert tuple(round(each, 4) for each in wilson(failures / n, n)) == (low, high)


def test_failures_that_come_together_tell_less() -> None:
    """The litters of Weil (1970), as Rao and Scott (1992) count them: survivors of the treated ones."""
    alive = [12, 11, 10, 9, 10, 9, 9, 8, 8, 4, 7, 4, 5, 3, 3, 0]
    born = [12, 11, 10, 9, 11, 10, 10, 9, 9, 5, 9, 7, 10, 6, 10, 7]
    treated = counted(alive, born)
    share, n = 112 / 145, 145
    by_hand = 16 / 15 * sum((a - share * b) ** 2 for a, b in zip(alive, born, strict=True)) / n**2
    assert design_effect(treated) == pytest.approx(by_hand / (share * (1 - share) / n))
    assert design_effect(treated) > 2
    even = counted([1] * 20, [10] * 20)
    assert design_effect(even) == 1.0, "never less than independent attempts"
    together = counted([0] * 19 + [10, 0], [10] * 21)
    spread = counted([1] * 10 + [0] * 11, [10] * 21)
    narrow, wide = (difference(counted([0] * 21, [10] * 21), each) for each in (spread, together))
    assert narrow is not None
    assert wide is not None
    assert wide.size == narrow.size
    assert wide.high - wide.low > 1.5 * (narrow.high - narrow.low)


def test_few_points_take_the_other_sides_likeness() -> None:
    before = counted([0] * 18 + [6, 8], [24] * 20)
    after = counted([5, 6, 4], [24] * 3)
    found = difference(before, after)
    assert found is not None
    assert found.effect_after == found.effect_before == design_effect(before) > 1
    assert found.low < found.size < found.high


def test_nothing_attempted_has_no_difference() -> None:
    assert difference(counted([], []), counted([1], [2])) is None
    assert difference(counted([1], [2]), counted([0], [0])) is None


def test_nineteen_of_twenty_intervals_hold_the_truth_where_failures_come_together() -> None:
    """Shares of points scatter as a beta distribution does, so that the design effect is about 3."""
    random = np.random.default_rng(3)
    held = {"counted": 0, "plain": 0}
    for _ in range(400):
        sides = []
        for share, points in ((0.05, 200), (0.12, 40)):
            shares = random.beta(share * 11, (1 - share) * 11, points)
            sides.append(Counted(random.binomial(24, shares).astype(float), np.full(points, 24.0)))
        found = difference(*sides)
        assert found is not None
        before, after = sides
        low, high = newcombe((after.share, after.n), (before.share, before.n))
        held["counted"] += found.low <= 0.07 <= found.high
        held["plain"] += low <= 0.07 <= high
    assert held["counted"] >= 0.92 * 400
    assert held["plain"] < 0.85 * 400, "taken for independent they would be far too narrow"
