"""Whatever was called, the p95 lies within the interval told of it: from statistics, and from looking."""

import math
import random
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pyarrow as pa
import pytest
from duckdb import DuckDBPyConnection

from tests.warehouse.records import query_latency, query_shape, query_stat, sample
from tests.warehouse.test_rollups import naive
from warehouse import staged, sum_tiers
from warehouse.analysis.query_p95 import rank
from warehouse.model import Batch, QueryLatency, QueryStat, Receipt, Sample, now
from warehouse.questions.asking import Piece
from warehouse.questions.query_latency import QueryLatencyWindow
from warehouse.questions.query_latency import query_latency as query_latency_question
from warehouse.reader import Reader
from warehouse.rollups import Alone
from warehouse.staged import Standing
from warehouse.store import Store
from warehouse.writer import Writer

Put = Callable[[Batch], Receipt]
Ask = Callable[..., pa.Table]

EVERY = timedelta(seconds=10)
INTERVALS = 24


class Load:
    """Calls of a few shapes over some minutes, what a server would tell of them, and what looks would see."""

    def __init__(self, seed: int, start: datetime) -> None:
        self._chance = random.Random(seed)
        self._gap_us = self._chance.choice([20_000.0, 40_000.0, 300_000.0])
        self._extremes: dict[str, tuple[float, float]] = {}
        self.durations: list[float] = []
        self.stats: list[QueryStat] = []
        self.latencies: list[QueryLatency] = []
        self.gaps: list[Sample] = []
        kinds = [self._chance.choice(["steady", "humps", "wide"]) for _ in range(3)]
        for number in range(INTERVALS):
            self._pass(start + (number + 1) * EVERY, kinds)

    def _pass(self, at: datetime, kinds: Sequence[str]) -> None:
        gap_us = self._gap_us * self._chance.uniform(0.9, 1.3)
        self.gaps.append(
            sample(at, gap_us / 1000, kind="database", target="main", metric="activity_gap_max_ms", unit="ms")
        )
        for place, kind in enumerate(kinds):
            calls = [self._duration(kind) for _ in range(self._chance.choice([0, 1, 2, 9, 40]))]
            if calls:
                self._tell(at, f"s{place}", calls)
                self._look(at, calls, gap_us)

    def _duration(self, kind: str) -> float:
        if kind == "steady":
            return self._chance.gauss(8_000, 50)
        if kind == "humps":
            return self._chance.choice([5_000.0] * 13 + [126_500.0])
        return math.exp(self._chance.gauss(8, 2))

    def _tell(self, at: datetime, shape: str, calls: Sequence[float]) -> None:
        """As a server does that knows its shortest and longest call of all times only."""
        self.durations += calls
        least, longest = self._extremes.get(shape, (math.inf, 0.0))
        now_longest = max(longest, *calls)
        self._extremes[shape] = (min(least, *calls), now_longest)
        self.stats.append(
            query_stat(
                at,
                len(calls),
                shape=shape,
                total_us=math.fsum(calls),
                squares_us2=None if self._chance.random() < 0.05 else math.fsum(us * us for us in calls),
                min_us=self._extremes[shape][0],
                max_us=now_longest if now_longest > longest else None,
                ceiling_us=now_longest,
            )
        )

    def _look(self, at: datetime, calls: Sequence[float], gap_us: float) -> None:
        for us in calls:
            first = gap_us * self._chance.random()
            if first <= us:
                low = first + gap_us * math.floor((us - first) / gap_us)
                self.latencies.append(query_latency(at, low_us=low, high_us=low + gap_us))


def test_sealed_statistics_are_read_once_until_one_comes_late(
    put: Put, store: Store, writer: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    end = now()
    hours = [end - timedelta(hours=hour) for hour in range(1, 100)]
    put(Batch(batch_id=f"load-{uuid4()}", query_stats=tuple(query_stat(at, 3) for at in hours)))
    writer.submit(lambda held: sum_tiers.keep_up(Alone(held), naive(end))).result(30)
    inner, read = staged.found, []

    def found(connection: DuckDBPyConnection, piece: Piece) -> pa.Table:
        read.append(piece.name)
        return inner(connection, piece)

    reader = Reader(store, deadline_s=30, row_cap=1000, standing=Standing(store.stand))
    plain = Reader(store, deadline_s=30, row_cap=1000)

    def asked() -> tuple[int, bool]:
        """How many calls are told of, and whether the sealed ones were read; they are what they are."""
        question = query_latency_question(QueryLatencyWindow(start=hours[-1] - timedelta(hours=1), end=now()))
        with monkeypatch.context() as patched:
            patched.setattr(staged, "found", found)
            read.clear()
            told = reader.answer(question)
        assert told == plain.answer(question)
        return sum(told["n"].to_pylist()), "old" in read

    assert asked() == (297, True)
    assert asked() == (297, False)
    put(Batch(batch_id=f"load-{uuid4()}", query_stats=(query_stat(now(), 3),)))
    assert asked() == (300, False)
    put(Batch(batch_id=f"load-{uuid4()}", query_stats=(query_stat(hours[60], 3, shape="late"),)))
    assert asked() == (303, True)
    assert asked() == (303, False)
    shape = query_shape(end, shape="late", category="utility", query="VACUUM")
    put(Batch(batch_id=f"load-{uuid4()}", query_shapes=(shape,)))
    assert asked() == (300, True), "its calls do not count"


@pytest.mark.parametrize("seed", range(12))
def test_the_truth_lies_within_what_is_told(put: Put, ask: Ask, seed: int) -> None:
    start = datetime.fromtimestamp((now() - timedelta(minutes=30)).timestamp() // 600 * 600, UTC)
    load = Load(seed, start)
    shapes = tuple(query_shape(start, shape=f"s{place}") for place in range(3))
    batch = Batch(
        batch_id=f"load-{uuid4()}",
        samples=tuple(load.gaps),
        query_shapes=shapes,
        query_stats=tuple(load.stats),
        query_latencies=tuple(load.latencies),
    )
    put(batch)
    window = {"start": start, "end": start + timedelta(minutes=10)}
    truth = sorted(load.durations)[rank(len(load.durations)) - 1] / 1000
    told = {row["method"]: row for row in ask("query_latency", **window).to_pylist()}
    assert set(told) == {"statistics", "activity"}
    for row in told.values():
        assert row["n"] == len(load.durations)
        assert row["p95_low_ms"] <= truth * (1 + 1e-6)
        assert truth <= row["p95_high_ms"] * (1 + 1e-6)
    statistics, activity = told["statistics"], told["activity"]
    assert statistics["p95_low_ms"] <= activity["p95_low_ms"]
    assert activity["p95_high_ms"] <= statistics["p95_high_ms"]
    trend = ask("query_latency_trend", **window, buckets=11).to_pylist()
    assert {row["bucket_s"] for row in trend} == {60}
    for row in trend:
        calls = sorted(_within(load.stats, load.durations, row["bucket_at"]))
        truth = calls[rank(len(calls)) - 1] / 1000
        assert row["p95_low_ms"] <= truth * (1 + 1e-6)
        assert truth <= row["p95_high_ms"] * (1 + 1e-6)


def _within(stats: Sequence[QueryStat], durations: Sequence[float], start: datetime) -> list[float]:
    """The durations of the calls that the statistics of one minute tell of."""
    found, first = [], 0
    for stat in stats:
        if start <= stat.at < start + timedelta(minutes=1):
            found += durations[first : first + stat.calls]
        first += stat.calls
    return found
