"""Durations from looks at running queries: the truth lies within the bounds."""

from hypothesis import given
from hypothesis import strategies as st

from collectors.postgres.looks import SLACK_US, STEP, Execution, Looks, Seen, bucket

HISTORIES = st.lists(st.tuples(st.integers(0, 300_000), st.integers(1, 2_000_000)), min_size=1, max_size=20)


@given(
    st.lists(HISTORIES, min_size=1, max_size=4),
    st.lists(st.integers(10_000, 200_000), min_size=200, max_size=200),
)
def test_the_truth_lies_within_the_bounds(sessions: list[list[tuple[int, int]]], pauses: list[int]) -> None:
    """Each session pauses and runs in turn; looks come irregularly, as on a busy machine."""
    runs = []
    for history in sessions:
        at, own = 0, []
        for pause, duration in history:
            own.append((at + pause, at + pause + duration))
            at += pause + duration
        runs.append(own)
    looks, at, found = Looks(), 0, []
    for pause in pauses:
        at += pause
        found += looks.look(
            at, at + 300, {pid: seen for pid, own in enumerate(runs) if (seen := _seen(own, at))}
        )
    truths = [end - start for own in runs for start, end in own if end < at - 5_000_000 or end < at]
    assert len(found) <= len(truths) + len(runs)
    longest_pause = max(pauses)
    for execution in found:
        assert any(execution.low_us <= truth <= execution.high_us for truth in truths), execution
    certain = [
        truth for own in runs for start, end in own if (truth := end - start) > longest_pause and end < at
    ]
    assert len(found) >= len(certain)
    counts = bucket(found)
    assert sum(counts.values()) == len(found)
    assert all(low < high for low, high in counts)


def _seen(own: list[tuple[int, int]], at: int) -> Seen | None:
    """What pg_stat_activity tells of a session at an instant."""
    begun = [(start, end) for start, end in own if start <= at]
    if not begun:
        return None
    start, end = begun[-1]
    return Seen(1, 7, start, is_active=at < end, until=None if at < end else end)


def test_a_session_that_is_idle_tells_exactly() -> None:
    looks = Looks()
    looks.look(1_000_000, 1_000_100, {1: Seen(5, 9, 900_000, is_active=True, until=None)})
    assert looks.look(1_040_000, 1_040_100, {1: Seen(5, 9, 900_000, is_active=False, until=1_010_000)}) == [
        Execution(5, 9, 110_000 - SLACK_US, 110_000)
    ]


def test_a_session_that_began_another_query_bounds_by_its_start() -> None:
    looks = Looks()
    looks.look(1_000_000, 1_000_100, {1: Seen(5, 9, 900_000, is_active=True, until=None)})
    found = looks.look(1_040_000, 1_040_100, {1: Seen(5, 9, 1_015_000, is_active=True, until=None)})
    assert found == [Execution(5, 9, 100_000 - SLACK_US, 115_000)]


def test_a_session_that_is_gone_bounds_by_the_look() -> None:
    looks = Looks()
    looks.look(1_000_000, 1_000_100, {1: Seen(5, 9, 900_000, is_active=True, until=None)})
    assert looks.look(1_040_000, 1_040_100, {}) == [Execution(5, 9, 100_000 - SLACK_US, 140_100)]


@given(st.lists(st.floats(0, 1e9), min_size=1, max_size=2000))
def test_buckets_are_few_and_round_outwards(durations: list[float]) -> None:
    counts = bucket(Execution(1, None, max(0.0, us - SLACK_US), us) for us in durations)
    for us in durations:
        assert any(low <= us <= high * (1 + 1e-12) for low, high in counts)
    assert all(high <= max(1.0, low + SLACK_US) * STEP**2.001 for low, high in counts)
