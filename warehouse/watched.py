"""What is watched for changes: the numbers of which questions, and how small a change does not count.

A source is a question about buckets of one width. Of each target it tells series of numbers, one for each
bucket, and up to which bucket nothing is missing any more.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import numpy as np
import pyarrow as pa

from warehouse.analysis.kinds import BUSY, COUNTED
from warehouse.analysis.requests import Floats
from warehouse.questions.asking import MAX_BUCKETS, Statement
from warehouse.questions.databases import DatabaseTrend, database_trend
from warehouse.questions.hosts import HostTrend, host_trend
from warehouse.questions.judge_again import ERRORS, ERRORS_FLOOR, points_of_probes
from warehouse.questions.percentiles import PercentileTrend, percentile_trend
from warehouse.questions.queries import QueryTrend, SlowQueries, query_trend, slow_queries

MOST_POINTS = MAX_BUCKETS - 2
"""Buckets that one question is asked for."""

MOST_QUERIES = 40
"""So many query shapes of a window are looked at: those that took longest together."""

Ask = Callable[[Statement], pa.Table]
"""Answers a statement."""


@dataclass(frozen=True)
class Metric:
    """A number that is watched; `floor` is the least difference that counts, in its unit.

    `noise` is how much its points scatter at least (standard deviation, logarithmic). Where it is `counted`
    by few events, neighbours are alike because most points have none.
    """

    name: str
    unit: str
    floor: float
    noise: float = 1e-6
    counted: bool = False
    direction: Literal["lower", "higher"] = "lower"

    def regressed(self, before: float, after: float) -> bool:
        """Whether it is worse now. A lower number is better where the direction is `lower`."""
        return after > before if self.direction == "lower" else after < before


@dataclass(frozen=True, order=True)
class Watched:
    """One series: `object` is an endpoint, a query as `database/shape`, or empty for the target itself."""

    kind: str
    target: str
    object: str
    metric: str


@dataclass(frozen=True)
class Grid:
    """Series by bucket, NaN where nothing (or too little) was measured, and the buckets that are closed.

    A bucket is closed once rows of a later one are stored: what a collector sends arrives in order.
    """

    series: Mapping[Watched, Floats]
    closed: Mapping[str, int]


@dataclass(frozen=True)
class Source:
    """A question, asked for a window at a width, and the numbers in its answer."""

    kind: str
    objects: tuple[str, ...]
    question: Callable[[datetime, datetime, int, Sequence[str]], Statement]
    numbers: Callable[[pa.Table], Mapping[str, Any]]
    metrics: tuple[Metric, ...]
    rows: tuple[str, ...]
    """Where the rows are that it can answer from; each has a column `ts`."""
    target: str = "target"

    def oldest(self) -> Statement:
        """The instant `ts` before which it has nothing to answer from: one row, null where it has nothing."""
        each = " UNION ALL ".join(f"SELECT min(ts) AS ts FROM {table}" for table in self.rows)  # noqa: S608 - our own names
        return Statement(f"SELECT min(ts)::TIMESTAMP AS ts FROM ({each})", {})  # noqa: S608 - the same

    def metric(self, name: str) -> Metric:
        """The metric of that name."""
        return next(each for each in self.metrics if each.name == name)

    def grid(self, answer: pa.Table, start: datetime, step_s: int, points: int) -> Grid:
        """The answer as series of so many buckets from `start` (UTC, naive) on.

        Where rows of so narrow buckets are not kept any more, it tells nothing.
        """
        if set(answer["bucket_s"].to_pylist()) - {step_s}:
            return Grid({}, {})
        places = _places(answer["bucket_at"], start, step_s)
        targets, objects = answer[self.target].to_pylist(), _texts(answer, self.objects)
        numbers = {name: np.asarray(values, dtype=float) for name, values in self.numbers(answer).items()}
        rows: dict[tuple[str, str], list[int]] = {}
        for row, key in enumerate(zip(targets, objects, strict=True)):
            rows.setdefault(key, []).append(row)
        series: dict[Watched, Floats] = {}
        closed: dict[str, int] = {}
        for (target, name), chosen in rows.items():
            at = places[chosen]
            closed[target] = max(closed.get(target, 0), int(at.max()))
            for metric, values in numbers.items():
                told, known = np.full(points, np.nan), np.isfinite(values[chosen])
                told[at[known]] = values[chosen][known]
                if known.any():
                    series[Watched(self.kind, target, name, metric)] = told
        return Grid(series, closed)


def _places(buckets: pa.ChunkedArray, start: datetime, step_s: int) -> Any:
    ms = buckets.cast(pa.timestamp("ms")).to_numpy().astype("datetime64[ms]")
    return (ms - np.datetime64(start, "ms")).astype(np.int64) // (step_s * 1000)


def _texts(answer: pa.Table, names: tuple[str, ...]) -> list[str]:
    columns = [answer[name].to_pylist() for name in names]
    return ["/".join(filter(None, parts)) for parts in zip(*columns, strict=True)] or [""] * answer.num_rows


def _column(answer: pa.Table, name: str) -> Floats:
    values: Floats = answer[name].cast(pa.float64()).to_numpy()
    return values


def window_of(start: datetime, end: datetime) -> dict[str, Any]:
    """The parameters of a window between instants as the warehouse keeps them."""
    return {"start": start.replace(tzinfo=UTC), "end": end.replace(tzinfo=UTC)}


def trend_of(start: datetime, end: datetime, step_s: int) -> dict[str, Any]:
    """The parameters of a trend whose buckets have just this width."""
    points = round((end - start) / timedelta(seconds=step_s))
    return {**window_of(start, end), "buckets": points + 1}


def foremost_shapes(ask: Ask, start: datetime, end: datetime) -> tuple[str, ...]:
    """The query shapes that took longest in a window, of all databases. Raises what asking raises."""
    asked = SlowQueries(**window_of(start, end), limit=MOST_QUERIES)
    return tuple(dict.fromkeys(ask(slow_queries(asked))["shape"].to_pylist()))


def _of_queries(answer: pa.Table) -> dict[str, Floats]:
    calls, total_ms = _column(answer, "calls"), _column(answer, "total_ms")
    enough = calls >= 5
    return {
        "query_mean_ms": np.where(enough, total_ms / np.maximum(calls, 1), np.nan),
        "query_load": np.where(enough, _column(answer, "load"), np.nan),
    }


def _of_metrics(names: Mapping[str, str], flipped: tuple[str, ...] = ()) -> Callable[[pa.Table], Any]:
    """The means of samples by their metric; of those `flipped` what is missing to 1."""

    def numbers(answer: pa.Table) -> dict[str, Floats]:
        metric, mean = np.array(answer["metric"].to_pylist()), _column(answer, "mean")
        return {
            told: np.where(metric == name, 1 - mean if name in flipped else mean, np.nan)
            for name, told in names.items()
        }

    return numbers


PROBE = Source(
    "probe",
    ("endpoint",),
    lambda start, end, step_s, _: percentile_trend(PercentileTrend(**trend_of(start, end, step_s))),
    points_of_probes,
    (
        Metric("p50_ms", "ms", 1.0),
        Metric("p95_ms", "ms", 1.0),
        Metric("p99_ms", "ms", 1.0),
        Metric(ERRORS, "ratio", ERRORS_FLOOR, COUNTED, counted=True),
    ),
    ("attempt", "attempt_late", "attempt_cell_5m", "(SELECT day::TIMESTAMP AS ts FROM cold_day)"),
)
QUERY = Source(
    "query",
    ("database", "shape"),
    lambda start, end, step_s, shapes: query_trend(
        QueryTrend(**trend_of(start, end, step_s), shape=tuple(shapes))
    ),
    _of_queries,
    (Metric("query_mean_ms", "ms", 0.2), Metric("query_load", "1", 0.02)),
    ("query_stat",),
)
HOST = Source(
    "host",
    (),
    lambda start, end, step_s, _: host_trend(
        HostTrend(**trend_of(start, end, step_s), metric=("cpu_ratio", "memory_used_ratio"))
    ),
    _of_metrics({"cpu_ratio": "cpu_ratio", "memory_used_ratio": "memory_used_ratio"}),
    (Metric("cpu_ratio", "ratio", 0.1, BUSY), Metric("memory_used_ratio", "ratio", 0.05)),
    ("sample",),
    target="host",
)
DATABASE = Source(
    "database",
    ("object",),
    lambda start, end, step_s, _: database_trend(
        DatabaseTrend(**trend_of(start, end, step_s), metric=("cache_hit_ratio",))
    ),
    _of_metrics({"cache_hit_ratio": "cache_miss_ratio"}, flipped=("cache_hit_ratio",)),
    (Metric("cache_miss_ratio", "ratio", 0.01, BUSY),),
    ("sample",),
)

SOURCES: Mapping[str, Source] = {source.kind: source for source in (PROBE, QUERY, HOST, DATABASE)}
"""All that is watched in even steps of time, by its kind."""
