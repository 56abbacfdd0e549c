"""Judges the query time that 95 % of the calls stay below, from the best source there is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa

from warehouse.analysis.query_p95 import Bracket, Groups, Numbers, bracket, of_histogram, of_seen

BEST_COVERAGE = 0.5
"""Share of all calls that a source must have watched to stand for them."""

SCHEMA: dict[str, pl.DataType | type[pl.DataType]] = {
    "target": pl.String,
    "bucket_at": pl.Datetime("ms"),
    "bucket_s": pl.Int64,
    "method": pl.String,
    "n": pl.Int64,
    "p95_low_ms": pl.Float64,
    "p95_high_ms": pl.Float64,
    "verdict": pl.String,
    "objective_ms": pl.Float64,
    "gap_ms": pl.Float64,
    "is_best": pl.Boolean,
}


def judge(facts: pa.Table, objective_ms: float) -> pa.Table:
    """One row per target, bucket and source, the best one marked.

    `facts` has a row per group of calls: target, bucket_at, bucket_s, source ('target': the target is
    watched; 'statistics', 'server_histogram', 'activity'; 'looks': what was watched by looking: its calls,
    the longest pause as high_us), calls, total_us, squares_us2, low_us, high_us.
    """
    frame = pl.DataFrame(facts)
    rows: list[dict[str, Any]] = []
    for key, own in sorted(
        frame.partition_by("target", "bucket_at", "bucket_s", as_dict=True).items(), key=str
    ):
        judged = _judge_one(own, objective_ms * 1000)
        rows += [
            {**dict(zip(("target", "bucket_at", "bucket_s"), key, strict=True)), **row} for row in judged
        ]
    found = pl.DataFrame(rows, schema=SCHEMA).with_columns(objective_ms=pl.lit(objective_ms))
    return found.sort("bucket_at", "target", "method").to_arrow(compat_level=pl.CompatLevel.oldest())


def _judge_one(facts: pl.DataFrame, objective_us: float) -> Sequence[dict[str, Any]]:
    by_source = {str(source): own for (source,), own in facts.partition_by("source", as_dict=True).items()}
    found: dict[str, tuple[int, Bracket, float | None]] = {}
    if "statistics" in by_source:
        own = by_source["statistics"]
        found["statistics"] = (int(own["calls"].sum()), bracket(_groups(own)), None)
    looks = by_source.get("looks")
    if looks is not None and int(looks["calls"].sum()) > 0:
        found["activity"] = _activity(looks, by_source.get("activity"), found.get("statistics"))
    if "server_histogram" in by_source:
        own = by_source["server_histogram"]
        low, high, calls = _numbers(own, "low_us"), _numbers(own, "high_us"), _numbers(own, "calls")
        told = of_histogram(low, np.where(np.isnan(high), np.inf, high), calls)
        found["server_histogram"] = (int(calls.sum()), told, None)
    if not found:
        return [{"method": None, "n": 0, "verdict": "no_data", "is_best": True}]
    best = _best({method: n for method, (n, _, _) in found.items()})
    return [
        {
            "method": method,
            "n": n,
            "p95_low_ms": told.low_us / 1000,
            "p95_high_ms": None if told.high_us is None else told.high_us / 1000,
            "verdict": verdict(told, objective_us),
            "gap_ms": gap_ms,
            "is_best": method == best,
        }
        for method, (n, told, gap_ms) in found.items()
    ]


def verdict(told: Bracket, objective_us: float) -> str:
    """Whether the percentile is below the objective: pass, fail, or undetermined where both may be."""
    if told.low_us >= objective_us:
        return "fail"
    if told.high_us is not None and told.high_us < objective_us:
        return "pass"
    return "undetermined"


def _activity(
    looks: pl.DataFrame, seen: pl.DataFrame | None, statistics: tuple[int, Bracket, float | None] | None
) -> tuple[int, Bracket, float | None]:
    """What looking at running queries tells; where it watched all calls, the statistics hold as well."""
    n, gap_us = int(looks["calls"].sum()), float(_numbers(looks, "high_us").max())
    nothing = np.empty(0)
    columns = (
        [nothing] * 3 if seen is None else [_numbers(seen, name) for name in ("low_us", "high_us", "calls")]
    )
    low, high, calls = columns
    told = of_seen(low, np.where(np.isnan(high), np.inf, high), calls, n, gap_us)
    if statistics is not None and statistics[0] == n:
        other = statistics[1]
        assert other.high_us is not None
        upper = other.high_us if told.high_us is None else min(told.high_us, other.high_us)
        if max(told.low_us, other.low_us) <= upper:
            told = Bracket(max(told.low_us, other.low_us), upper)
    return n, told, gap_us / 1000


def _best(calls: dict[str, int]) -> str:
    """The most exact source that watched enough of all calls."""
    enough = max(calls.values()) * BEST_COVERAGE
    exact = ("server_histogram", "activity", "statistics")
    return next(method for method in exact if calls.get(method, 0) >= enough)


def _groups(own: pl.DataFrame) -> Groups:
    return Groups.of(
        _numbers(own, "calls"),
        _numbers(own, "total_us"),
        _numbers(own, "squares_us2"),
        _numbers(own, "low_us"),
        _numbers(own, "high_us"),
    )


def _numbers(own: pl.DataFrame, column: str) -> Numbers:
    """A column as floats; what is missing is NaN."""
    return own[column].cast(pl.Float64).fill_null(float("nan")).to_numpy()
