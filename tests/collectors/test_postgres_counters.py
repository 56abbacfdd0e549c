"""Deltas of counters, on literal and on generated histories."""

import math
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors.postgres.counters import Row, Took, difference

START = datetime(2026, 1, 1, tzinfo=UTC)
DURATIONS = st.lists(st.floats(0.001, 1e5, allow_subnormal=False), max_size=20)


@dataclass
class Entry:
    """What pg_stat_statements keeps of the durations of one statement, in ms."""

    calls: list[float] = field(default_factory=list)
    stats_since: datetime | None = None
    minmax_since: datetime | None = None

    def row(self) -> Row:
        """As the collector reads it."""
        calls, total = len(self.calls), math.fsum(self.calls)
        mean = total / calls if calls else 0.0
        deviation = (
            math.sqrt(math.fsum((each - mean) ** 2 for each in self.calls) / calls) if calls > 1 else 0.0
        )
        extremes = (min(self.calls, default=0.0), max(self.calls, default=0.0))
        counts = (calls, calls, 0, 0, 0, 0, None, 10 * calls)
        return (
            1,
            2,
            True,
            3,
            calls,
            total,
            *extremes,
            deviation,
            *counts,
            self.stats_since,
            self.minmax_since,
        )


def took(old: Entry | None, new: Entry) -> Took | None:
    return difference(None if old is None else old.row(), new.row(), START, is_partial=False)


@given(DURATIONS, DURATIONS, st.booleans())
def test_an_interval_is_told_as_it_was(before: list[float], within: list[float], is_new: bool) -> None:
    found = took(None if is_new else Entry(before), Entry(within if is_new else before + within))
    if not within:
        assert found is None
        return
    assert found is not None
    assert not found.is_partial
    assert found.calls == len(within)
    slack = 1e-9 * math.fsum(before) + 1e-6
    assert found.total == pytest.approx(math.fsum(within), rel=1e-9, abs=slack)
    wide = 1e-9 * math.fsum(each * each for each in before) + slack
    assert found.squares == pytest.approx(math.fsum(each * each for each in within), rel=1e-6, abs=wide)
    assert found.squares >= found.total**2 / found.calls * (1 - 1e-9)
    assert found.least is not None
    assert found.least <= min(within) + slack
    assert found.ceiling >= max(within) - slack
    if found.longest is not None:
        assert found.longest == pytest.approx(max(within), rel=1e-9, abs=slack)


@given(DURATIONS, DURATIONS, DURATIONS, st.booleans())
def test_a_reset_never_tells_more_than_was_executed(
    before: list[float], lost: list[float], within: list[float], says_so: bool
) -> None:
    """Calls `lost` ended before the reset, in the same interval as those after it."""
    second = START + timedelta(seconds=1)
    old = Entry(before, START if says_so else None, START if says_so else None)
    new = Entry(within, second if says_so else None, second if says_so else None)
    found = took(old, new)
    if found is None:
        return
    assert 0 < found.calls <= len(within)
    assert 0 <= found.total <= math.fsum(within) * (1 + 1e-9)
    assert found.squares >= 0
    assert all(count is None or count >= 0 for count in found.counts)
    assert found.total <= found.calls * found.ceiling * (1 + 1e-9)
    if says_so:
        assert found.is_partial
        assert found.calls == len(within)


def test_any_falling_counter_tells_of_a_reset_before_17() -> None:
    found = took(Entry([100.0, 5.0]), Entry([1.0, 2.0, 3.0]))
    assert found is not None
    assert (found.calls, found.total, found.is_partial) == (3, 6.0, True)
    found = took(Entry([10.0, 10.0, 10.0]), Entry([10.0, 1.0, 1.0, 1.0]))
    assert found is not None
    assert (found.calls, found.total, found.is_partial) == (4, 13.0, True)


def test_a_reset_that_outgrew_the_counters_is_told_by_17_and_newer() -> None:
    later = START + timedelta(seconds=1)
    found = took(Entry([1.0], START, START), Entry([1.0, 2.0, 3.0], later, later))
    assert found is not None
    assert (found.calls, found.is_partial) == (3, True)


def test_extremes_that_were_reset_alone_bound_nothing() -> None:
    later = START + timedelta(seconds=1)
    old, new = Entry([50.0], START, START).row(), list(Entry([50.0, 90.0, 2.0], START, later).row())
    new[6] = new[7] = 2.0  # the call of 90 ms ended before the extremes were reset
    found = difference(old, tuple(new), START, is_partial=False)
    assert found is not None
    assert (found.calls, found.least, found.longest, found.is_partial) == (2, None, None, False)
    assert found.ceiling == pytest.approx(92.0)


def test_one_call_is_its_own_extreme() -> None:
    found = took(Entry([1.0, 80.0]), Entry([1.0, 80.0, 7.0]))
    assert found is not None
    assert (found.least, found.longest, found.ceiling) == (7.0, 7.0, 7.0)


def test_sums_know_the_longest_only_where_nothing_unknown_can_be_longer() -> None:
    known, unknown = took(None, Entry([1.0, 80.0])), took(Entry([90.0]), Entry([90.0, 40.0, 30.0]))
    assert known is not None
    assert unknown is not None
    assert (known.longest, unknown.longest, unknown.ceiling) == (80.0, None, 70.0)
    known.add(unknown)
    assert (known.calls, known.longest, known.ceiling) == (4, 80.0, 80.0)
    longer = took(Entry([900.0]), Entry([900.0, 400.0, 300.0]))
    assert longer is not None
    known.add(longer)
    assert (known.longest, known.ceiling) == (None, 700.0)
