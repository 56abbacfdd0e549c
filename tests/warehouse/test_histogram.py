"""Packed histograms say what the pooled durations say, within 1 %, however they were parted and merged."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from warehouse import histogram
from warehouse.histogram import LEVELS, Counts, Packed, bucket_of, encode, estimate, merge, pack, tally
from warehouse.model import MAX_US

Cell = list[int | None]
"""Durations in µs; None is a timeout."""

DEADLINES = (1_000_000, 3_000_000)


def packed_of(cells: list[Cell]) -> Packed:
    """Each cell as a packed histogram; every other timeout has the longer deadline."""
    blobs = []
    for cell in cells:
        buckets, counts = np.unique(
            bucket_of(np.array([us for us in cell if us is not None])), return_counts=True
        )
        late = cell.count(None)
        by_deadline = {DEADLINES[0]: late - late // 2, DEADLINES[1]: late // 2}
        blobs.append(encode(buckets, counts, {key: n for key, n in by_deadline.items() if n}))
    return Packed.of(blobs)


def nearest_rank(pooled: list[float], percent: int) -> float:
    return sorted(pooled)[max(math.ceil(percent * len(pooled) / 100), 1) - 1]


durations = st.integers(0, MAX_US) | st.integers(900, 90_000) | st.none()


@hypothesis_settings(max_examples=200, deadline=None)
@given(
    cells=st.lists(st.tuples(st.integers(0, 3), st.lists(durations, max_size=60)), min_size=1, max_size=12)
)
def test_merged_percentiles_are_within_1_percent_of_the_pooled(cells: list[tuple[int, Cell]]) -> None:
    groups = np.array([group for group, _ in cells])
    merged = merge(packed_of([cell for _, cell in cells]), groups, 4)
    for percent in LEVELS:
        found, above = merged.percentile(percent)
        for group in range(4):
            mine = [cell for number, cell in cells if number == group]
            pooled = [float(us) for cell in mine for us in cell if us is not None]
            late = [n for cell in mine for n in [cell.count(None)]]
            shorter = sum(n - n // 2 for n in late)
            ranked = pooled + [math.inf] * sum(late)
            if not ranked:
                assert math.isnan(found[group])
                continue
            expected = nearest_rank(ranked, percent)
            assert above[group] == math.isinf(expected)
            if math.isinf(expected):
                rank = max(math.ceil(percent * len(ranked) / 100), 1) - len(pooled)
                assert found[group] == DEADLINES[rank > shorter]
            else:
                assert found[group] == pytest.approx(max(expected, 1), rel=0.010_001)


def test_every_bucket_stands_within_1_percent_of_what_it_holds() -> None:
    us = np.unique(np.geomspace(1, MAX_US, 200_000).astype(np.int64))
    assert np.abs(estimate(bucket_of(us)) / us - 1).max() <= histogram.ERROR_BOUND + 1e-9


@pytest.mark.parametrize("most", [1, 255, 256, 65_535, 65_536, 4_000_000_000])
def test_counts_of_any_size_come_back(most: int) -> None:
    blob = encode(np.array([3, 500]), np.array([most, 1]), {7: most})
    buckets, timeouts = merge(Packed.of([blob, blob]), np.array([0, 0]), 1).entries()
    assert (buckets.key.tolist(), buckets.count.tolist()) == ([3, 500], [2 * most, 2])
    assert (timeouts.key.tolist(), timeouts.count.tolist()) == ([7], [2 * most])


def test_many_packed_at_once_are_those_packed_one_by_one() -> None:
    chance = np.random.default_rng(3)
    owner, key = np.sort(chance.integers(0, 40, 900)), chance.integers(0, 1100, 900)
    entries = tally(owner, key, chance.integers(1, 400, 900))
    late = tally(np.array([5, 5, 39]), np.array([3_000_000, 1_000_000, 3_000_000]), np.array([1, 2, 3]))
    packed = pack(41, entries, late)
    for number in range(41):
        mine, slow = (
            {int(k): int(n) for o, k, n in zip(c.owner, c.key, c.count, strict=True) if o == number}
            for c in (entries, late)
        )
        assert packed[number] == encode(np.array(list(mine), int), np.array(list(mine.values()), int), slow)
    assert len(packed[40]) == histogram.HEADER_BYTES


def test_an_hour_of_228_takes_few_bytes() -> None:
    us = np.random.default_rng(1).lognormal(math.log(50_000), 0.4, 228)
    buckets, counts = np.unique(bucket_of(us), return_counts=True)
    assert len(encode(buckets, counts, {})) < 160


@pytest.mark.parametrize(
    "damage", [lambda b: b[:-4], lambda b: b[:4], lambda b: b"\2" + b[1:], lambda b: b + b"123"]
)
def test_what_is_no_histogram_is_refused(damage) -> None:  # type: ignore[no-untyped-def]
    blob = encode(np.array([1, 9]), np.array([1, 1]), {5: 1})
    with pytest.raises(ValueError, match="packed histogram"):
        merge(Packed.of([damage(blob)]), np.array([0]), 1)


def test_nothing_merges_to_nothing() -> None:
    none = np.zeros(0, np.int64)
    merged = merge(pack(0, Counts(none, none, none), Counts(none, none, none)), none, 2)
    assert np.isnan(merged.percentile(50)[0]).all()
