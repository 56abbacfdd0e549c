"""Judges the query time that 95 % of the calls stay below, from the best source there is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa

from warehouse.analysis.query_p95 import Bracket, Groups, Numbers, brackets, of_intervals

BEST_COVERAGE = 0.5
"""Share of all calls that a source must have watched to stand for them."""

PLACE = ("target", "bucket_at", "bucket_s")

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


@dataclass(frozen=True)
class Told:
    """What one source tells: of how many calls, and with which longest pause between two looks."""

    n: int
    bracket: Bracket
    gap_ms: float | None = None


def judge(facts: pa.Table, objective_ms: float) -> pa.Table:
    """One row per target, bucket and source, the best one marked: the narrowest that watched enough.

    `facts` has a row per group of calls: target, bucket_at, bucket_s, source, calls, total_us, squares_us2,
    low_us, high_us, known_us. Sources are 'target' (it is watched), 'statistics', 'server_histogram', and of
    looking at running queries 'looks' (the calls it stands for, the longest pause as high_us), 'activity'
    (what was seen) and 'unseen' (what took less than the pause).
    """
    frame = pl.DataFrame(facts)
    bounds = _of_statistics(frame.filter(pl.col("source") == "statistics"))
    rows: list[dict[str, Any]] = []
    for key, own in frame.partition_by(*PLACE, as_dict=True).items():
        judged = _judge_one(own, bounds.get(key), objective_ms * 1000)
        rows += [{**dict(zip(PLACE, key, strict=True)), **row} for row in judged]
    found = pl.DataFrame(rows, schema=SCHEMA).with_columns(objective_ms=pl.lit(objective_ms))
    return found.sort("bucket_at", "target", "method").to_arrow(compat_level=pl.CompatLevel.oldest())


def _of_statistics(groups: pl.DataFrame) -> Mapping[tuple[Any, ...], Told]:
    """What the statistics tell of each place."""
    if groups.is_empty():
        return {}
    numbered = groups.with_columns(place=pl.struct(*PLACE).rank("dense").cast(pl.Int64) - 1).sort("place")
    columns = [
        _numbers(numbered, name)
        for name in ("calls", "total_us", "squares_us2", "low_us", "high_us", "known_us")
    ]
    found = brackets(Groups.of(*columns), numbered["place"].to_numpy())
    calls = numbered.group_by("place", *PLACE).agg(pl.col("calls").sum()).sort("place")
    return {row[1:-1]: Told(row[-1], bracket) for row, bracket in zip(calls.iter_rows(), found, strict=True)}


def _judge_one(facts: pl.DataFrame, statistics: Told | None, objective_us: float) -> Sequence[dict[str, Any]]:
    by_source = {str(source): own for (source,), own in facts.partition_by("source", as_dict=True).items()}
    found = {} if statistics is None else {"statistics": statistics}
    looks = by_source.get("looks")
    if looks is not None and int(looks["calls"].sum()) > 0:
        seen = [by_source[source] for source in ("activity", "unseen") if source in by_source]
        found["activity"] = _activity(looks, pl.concat(seen), statistics)
    if "server_histogram" in by_source:
        own = by_source["server_histogram"]
        found["server_histogram"] = Told(int(own["calls"].sum()), of_intervals(*_intervals(own)))
    if not found:
        return [{"method": None, "n": 0, "verdict": "no_data", "is_best": True}]
    best = _best(found)
    return [
        {
            "method": method,
            "n": told.n,
            "p95_low_ms": told.bracket.low_us / 1000,
            "p95_high_ms": None if told.bracket.high_us is None else told.bracket.high_us / 1000,
            "verdict": verdict(told.bracket, objective_us),
            "gap_ms": told.gap_ms,
            "is_best": method == best,
        }
        for method, told in found.items()
    ]


def verdict(told: Bracket, objective_us: float) -> str:
    """Whether the percentile is below the objective: pass, fail, or undetermined where both may be."""
    if told.low_us >= objective_us:
        return "fail"
    if told.high_us is not None and told.high_us < objective_us:
        return "pass"
    return "undetermined"


def _activity(looks: pl.DataFrame, seen: pl.DataFrame, statistics: Told | None) -> Told:
    """What looking at running queries tells; where it watched all calls, the statistics hold as well."""
    n, gap_us = int(looks["calls"].sum()), float(_numbers(looks, "high_us").max())
    bracket = of_intervals(*_intervals(seen), n=n)
    if statistics is not None and statistics.n == n:
        low = max(bracket.low_us, statistics.bracket.low_us)
        highs = [high for high in (bracket.high_us, statistics.bracket.high_us) if high is not None]
        if low <= min(highs):
            bracket = Bracket(low, min(highs))
    return Told(n, bracket, gap_us / 1000)


def _best(found: Mapping[str, Told]) -> str:
    """The narrowest interval of those that stand on enough of all calls."""
    enough = max(told.n for told in found.values()) * BEST_COVERAGE

    def width(method: str) -> float:
        told = found[method].bracket
        return float("inf") if told.high_us is None else told.high_us - told.low_us

    exact = ("server_histogram", "activity", "statistics")
    return min((method for method in exact if method in found and found[method].n >= enough), key=width)


def _intervals(own: pl.DataFrame) -> tuple[Numbers, Numbers, Numbers]:
    """From when to when so many calls took; no upper bound is infinite."""
    low, high, calls = (_numbers(own, name) for name in ("low_us", "high_us", "calls"))
    return low, np.where(np.isnan(high), np.inf, high), calls


def _numbers(own: pl.DataFrame, column: str) -> Numbers:
    """A column as floats; what is missing is NaN."""
    return own[column].cast(pl.Float64).fill_null(float("nan")).to_numpy()
