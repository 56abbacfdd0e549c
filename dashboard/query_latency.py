"""What is known of the query time p95: an interval, its verdict against the objective, and its source."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import polars as pl
import streamlit as st

from dashboard import format as fmt
from dashboard import panels
from dashboard.panels import Card

Row = Mapping[str, Any]
DEFAULT_OBJECTIVE_MS = 100.0

VERDICT_STATE: Mapping[str, str] = MappingProxyType(
    {"pass": "ok", "fail": "critical", "undetermined": "warning", "no_data": "unknown"}
)
"""The colour of each verdict."""

SOURCES: Mapping[str, Mapping[str, str]] = MappingProxyType(
    {
        "postgres": {"statistics": "pg_stat_statements", "activity": "pg_stat_activity"},
        "mysql": {"statistics": "statement digests", "server_histogram": "the server's histogram"},
    }
)
"""What each engine calls the sources."""

ADVICE = (
    "Counts, sums and squares alone only bound a percentile. Set `sample_activity_ms = 90` to see how long "
    "the slow ones take."
)


def interval(low: float | None, high: float | None) -> str:
    """Milliseconds between which the truth lies: `100 to 120 ms`, `< 12 ms`, `> 3 s`, or a dash."""
    if low is None and high is None:
        return fmt.NOTHING
    if high is None:
        return fmt.duration_ms(low, above=True)
    if not low:
        return f"< {fmt.duration_ms(high)}"
    begin, end = fmt.duration_ms(low), fmt.duration_ms(high)
    if begin == end:
        return f"about {end}"
    same_unit = begin.split()[1:] == end.split()[1:]
    return f"{begin.split()[0]} to {end}" if same_unit else f"{begin} to {end}"


def best(rows: pl.DataFrame | None) -> Row | None:
    """The row of the source that stands for the calls; None where there is no answer."""
    if rows is None or rows.is_empty():
        return None
    own = rows.filter(pl.col("is_best"))
    return own.row(0, named=True) if len(own) else None


def verdict_words(row: Row) -> str:
    """`no data` for `no_data`, the others as they are."""
    return str(row["verdict"]).replace("_", " ")


def source_words(row: Row, engine: str) -> str:
    """`pg_stat_activity every 43 ms, n = 12,345`: where the interval comes from, and its calls."""
    if row["method"] is None:
        return "no call of a query was counted"
    looks = f" at most {fmt.duration_ms(row['gap_ms'])} apart" if row["gap_ms"] is not None else ""
    bracket = "bracket from " if row["method"] == "statistics" else ""
    return f"{bracket}{named(row, engine)}{looks}, n = {fmt.count(row['n'])}"


def named(row: Row, engine: str) -> str:
    """What an engine calls a source."""
    return SOURCES.get(engine, {}).get(row["method"], str(row["method"]).replace("_", " "))


def card(engine: str, row: Row | None, trend: pl.DataFrame | None, objective_ms: float) -> Card:
    """The interval with its verdict, source and n; the line is its upper end."""
    if row is None or row["method"] is None:
        return Card("Query p95 · no data", fmt.NOTHING, compared="no call was counted")
    line: list[float] = []
    if trend is not None:
        own = trend.filter(pl.col("method") == row["method"]).sort("bucket_at")
        line = own["p95_high_ms"].drop_nulls().to_list()
    return Card(
        f"Query p95 · {verdict_words(row)}",
        interval(row["p95_low_ms"], row["p95_high_ms"]),
        compared=f"{named(row, engine)}, n = {fmt.count(row['n'])}",
        trend=line,
        help=f"From {source_words(row, engine)}. It is the time that 95 % of the reads and writes stay "
        f"below, held against the objective of {fmt.duration_ms(objective_ms)} (`objective_ms`): it passes "
        "only when the whole interval lies below.",
    )


def before_words(row: Row | None) -> str:
    """What the window before says, for a comparison."""
    if row is None or row["method"] is None:
        return "Nothing was counted in the window before."
    told = interval(row["p95_low_ms"], row["p95_high_ms"])
    return f"In the window before: {told} ({verdict_words(row)}, n = {fmt.count(row['n'])})."


def sources(engine: str, rows: pl.DataFrame) -> None:
    """Every source with its interval, verdict and n; the one that counts comes first."""
    known = rows.filter(pl.col("method").is_not_null()).sort("is_best", descending=True).to_dicts()
    for row in known:
        words = verdict_words(row)
        with st.container(horizontal=True, vertical_alignment="center"):
            panels.badge(words, VERDICT_STATE.get(row["verdict"], "unknown"))
            told = interval(row["p95_low_ms"], row["p95_high_ms"])
            st.markdown(f"**{fmt.plain(told)}** · {fmt.plain(source_words(row, engine))}")
    if engine == "postgres" and known and all(row["method"] == "statistics" for row in known):
        panels.note(ADVICE)
