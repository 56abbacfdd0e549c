"""Percentiles are the nearest rank, to the digit, and a timeout ranks above every answer."""

import math
import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import count

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from tests.warehouse.records import attempt
from warehouse.model import Batch, Outcome, Receipt, now
from warehouse.questions.asking import Trend

Put = Callable[[Batch], Receipt]
Ask = Callable[..., pa.Table]

_numbers = count()
LEVELS = {"p50_ms": 0.50, "p95_ms": 0.95, "p99_ms": 0.99}


def nearest_rank(values: list[float], level: float) -> float:
    """The ceil(level * n)-th smallest, in exact hundredths."""
    rank = math.ceil(round(level * 100) * len(values) / 100)
    return sorted(values)[max(rank, 1) - 1]


def send(put: Put, *attempts: object) -> None:
    put(Batch(batch_id=f"percentiles-{next(_numbers)}", attempts=attempts))  # type: ignore[arg-type]


@hypothesis_settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    latencies=st.lists(st.integers(1, 5_000_000) | st.none(), min_size=1, max_size=130),
    deadline_us=st.integers(5_000_000, 9_000_000),
)
def test_equals_the_nearest_rank_of_the_pooled_values(
    put: Put, ask: Ask, latencies: list[int | None], deadline_us: int
) -> None:
    endpoint = f"GET /{next(_numbers)}"
    at = now() - timedelta(minutes=1)
    send(
        put,
        *(
            attempt(
                at + timedelta(milliseconds=number),
                ms=None if us is None else us / 1000,
                endpoint=endpoint,
                deadline_us=deadline_us,
            )
            for number, us in enumerate(latencies)
        ),
    )
    answer = ask("latency_summary", start=at, end=now(), endpoint=(endpoint,)).to_pylist()[0]
    ranked = [math.inf if us is None else us / 1000 for us in latencies]
    assert answer["n"] == len(latencies)
    assert answer["timeouts"] == latencies.count(None)
    for column, level in LEVELS.items():
        expected = nearest_rank(ranked, level)
        assert answer[column.replace("_ms", "_above")] is math.isinf(expected)
        assert answer[column] == pytest.approx(deadline_us / 1000 if math.isinf(expected) else expected)


def test_a_hundred_answers_give_the_99th_as_p99(put: Put, ask: Ask) -> None:
    at = now() - timedelta(minutes=1)
    send(put, *(attempt(at, ms=float(ms)) for ms in range(1, 101)))
    answer = ask("latency_summary", start=at, end=now()).to_pylist()[0]
    assert (answer["p50_ms"], answer["p95_ms"], answer["p99_ms"], answer["max_ms"]) == (50, 95, 99, 100)
    assert (answer["tier"], answer["source"], answer["error_bound"]) == ("raw", "probe", 0.0)


def test_a_rank_on_a_timeout_says_above_the_deadline(put: Put, ask: Ask) -> None:
    at = now() - timedelta(minutes=1)
    send(put, *(attempt(at, ms=5.0) for _ in range(90)), *(attempt(at, ms=None) for _ in range(10)))
    answer = ask("latency_summary", start=at, end=now()).to_pylist()[0]
    assert (answer["p50_ms"], answer["p50_above"]) == (5.0, False)
    assert (answer["p95_ms"], answer["p95_above"]) == (3000.0, True)
    assert answer["errors"] == 10
    assert answer["error_ratio"] == pytest.approx(0.1)


def test_of_two_deadlines_the_answer_never_promises_too_much(put: Put, ask: Ask) -> None:
    """One answer of 5 s and one timeout at 3 s: the p99 is above 3 s."""
    at = now() - timedelta(minutes=1)
    send(put, attempt(at, ms=5000.0, deadline_us=10_000_000), attempt(at, ms=None, deadline_us=3_000_000))
    answer = ask("latency_summary", start=at, end=now()).to_pylist()[0]
    assert (answer["p50_ms"], answer["p50_above"]) == (5000.0, False)
    assert (answer["p99_ms"], answer["p99_above"]) == (3000.0, True)


def test_failed_attempts_are_counted_and_tell_no_latency(put: Put, ask: Ask) -> None:
    at = now() - timedelta(minutes=1)
    send(
        put,
        attempt(at, ms=10.0),
        attempt(at, outcome=Outcome.BAD_STATUS, status=500, ms=1.0),
        attempt(at, outcome=Outcome.REFUSED, total_us=None),
    )
    answer = ask("latency_summary", start=at, end=now()).to_pylist()[0]
    assert (answer["attempts"], answer["n"], answer["errors"], answer["timeouts"]) == (3, 1, 2, 0)
    assert answer["p50_ms"] == answer["max_ms"] == 10.0


def test_only_failures_give_no_percentile_and_not_zero(put: Put, ask: Ask) -> None:
    at = now() - timedelta(minutes=1)
    send(put, attempt(at, outcome=Outcome.DNS, total_us=None))
    answer = ask("latency_summary", start=at, end=now()).to_pylist()[0]
    assert (answer["n"], answer["p95_ms"], answer["p95_above"], answer["max_ms"]) == (0, None, None, None)
    assert answer["error_ratio"] == 1.0


def test_merged_percentiles_are_those_of_the_pooled_attempts(put: Put, ask: Ask) -> None:
    chance = random.Random(7)
    at = now() - timedelta(minutes=2)
    fast = [chance.lognormvariate(2, 0.4) for _ in range(400)]
    slow = [chance.lognormvariate(5, 0.4) for _ in range(40)]
    send(put, *(attempt(at, ms=ms, endpoint="fast") for ms in fast))
    send(put, *(attempt(at, ms=ms, endpoint="slow") for ms in slow), attempt(at, ms=9999, endpoint="other"))
    merged = ask("latency_summary", start=at, end=now(), endpoint=("fast", "slow"), merged=True).to_pylist()
    pooled = [round(ms * 1000) / 1000 for ms in fast + slow]
    assert len(merged) == 1
    assert merged[0]["n"] == 440
    for column, level in LEVELS.items():
        assert merged[0][column] == pytest.approx(nearest_rank(pooled, level))
    average_of_p95s = (nearest_rank(fast, 0.95) + nearest_rank(slow, 0.95)) / 2
    assert abs(merged[0]["p95_ms"] - average_of_p95s) > 1


def test_trend_buckets_hold_exactly_the_window(put: Put, ask: Ask) -> None:
    start = datetime.now(UTC).replace(second=0, microsecond=0) - timedelta(minutes=10)
    instants = [start + timedelta(seconds=seconds) for seconds in range(-5, 305)]
    send(put, *(attempt(at, ms=float(number + 1)) for number, at in enumerate(instants)))
    end = start + timedelta(minutes=5)
    rows = ask("percentile_trend", start=start, end=end, buckets=6).to_pylist()
    assert [row["bucket_s"] for row in rows] == [60] * 5
    assert [row["bucket_at"] for row in rows] == [start + timedelta(minutes=minute) for minute in range(5)]
    assert [row["n"] for row in rows] == [60] * 5
    assert rows[0]["max_ms"] == 65.0


@pytest.mark.parametrize(
    "length", [timedelta(minutes=15), timedelta(days=1), timedelta(days=30), timedelta(days=365)]
)
@pytest.mark.parametrize("buckets", [1, 2, 60, 300])
def test_never_more_buckets_than_asked_for(length: timedelta, buckets: int) -> None:
    for offset in (0, 1, 3599, 86_399):
        start = datetime(2026, 3, 1, tzinfo=UTC) + timedelta(seconds=offset)
        asked = Trend(start=start, end=start + length, buckets=buckets)
        first = start.timestamp() // asked.bucket_s
        last = ((start + length).timestamp() - 0.001) // asked.bucket_s
        assert last - first + 1 <= max(buckets, 2)
