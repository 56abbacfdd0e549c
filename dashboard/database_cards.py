"""The cards of a database: how it does now and in the window, compared with the window before."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal

import polars as pl

from dashboard import format as fmt
from dashboard.database_charts import CONNECTIONS_BAND
from dashboard.database_numbers import Figures, in_window
from dashboard.database_problems import pool_words, value_of
from dashboard.panels import Card

Told = Callable[[float | None], str]

CARD_METRICS: Mapping[str, tuple[str, ...]] = {
    "postgres": (
        "connections_used_ratio",
        "cache_hit_ratio",
        "transactions_per_s",
        "longest_transaction_s",
        "longest_idle_in_transaction_s",
        "lock_waits",
        "deadlocks_total",
    ),
    "mysql": (
        "connections_used_ratio",
        "cache_hit_ratio",
        "queries_per_s",
        "longest_transaction_s",
        "lock_waits",
        "deadlocks_total",
    ),
    "redis": (
        "ping_ms",
        "cache_hit_ratio",
        "commands_per_s",
        "memory_used_bytes",
        "evictions_total",
        "keys",
        "connections_used_ratio",
    ),
}
"""What each engine has a card for, in their order."""


def cards(
    engine: str,
    target: str,
    now: pl.DataFrame | None,
    trend: pl.DataFrame,
    before: pl.DataFrame | None,
    *,
    compare: bool,
) -> list[Card]:
    """One per metric that was measured."""
    shown = []
    for metric in CARD_METRICS.get(engine, ()):
        if metric != "cache_hit_ratio" and trend.filter(pl.col("metric") == metric).is_empty():
            continue
        shown.append(_card(metric, target, now, trend, before, compare=compare))
    return shown


def _card(
    metric: str,
    target: str,
    now: pl.DataFrame | None,
    trend: pl.DataFrame,
    before: pl.DataFrame | None,
    *,
    compare: bool,
) -> Card:
    label, take, told, better, help_ = _CARDS[metric]
    value, past = take(in_window(trend, metric)), take(in_window(before, metric))
    delta, text, beside = _compared(value, past, told, metric) if compare else (None, "", "")
    words = told(value)
    if metric == "connections_used_ratio":
        newest = value_of(now, target, metric)
        words = pool_words(now, target)
        state = CONNECTIONS_BAND.state(newest)
        label += f" · {fmt.ratio(newest)}" + (f", {state}" if state in ("warning", "critical") else "")
    elif metric == "memory_used_bytes":
        words = told(value_of(now, target, metric))
    elif metric == "cache_hit_ratio" and value is None:
        words = "no traffic"
    column = "max" if take is _highest else "mean"
    line = trend.filter(pl.col("metric") == metric).sort("bucket_at")[column].drop_nulls().to_list()
    return Card(label, words, delta, text, beside, better, trend=line, help=help_)


def _mean(figures: Figures) -> float | None:
    return figures[0]


def _highest(figures: Figures) -> float | None:
    return figures[1]


def _sum(figures: Figures) -> float | None:
    return figures[2]


def _compared(
    value: float | None, past: float | None, told: Told, metric: str
) -> tuple[float | None, str, str]:
    if value is None or past is None:
        return None, "", "nothing before"
    delta = value - past
    if metric.endswith("_ratio"):
        points = delta * 100
        return (
            (0.0, "", "vs previous") if abs(points) < 0.005 else (points, f"{points:+.2f} pp", "vs previous")
        )
    if abs(delta) < 1e-9:
        return 0.0, "", "vs previous"
    return delta, f"{'-' if delta < 0 else '+'}{told(abs(delta))}", "vs previous"


def _span(value: float | None) -> str:
    """Seconds; none at all is no number of milliseconds."""
    return "0 s" if value == 0 else fmt.seconds(value)


def _per_second(value: float | None) -> str:
    return fmt.NOTHING if value is None else f"{fmt.number(value)}/s"


Better = Literal["lower", "higher", "neither"]
_CARDS: Mapping[str, tuple[str, Callable[[Figures], float | None], Told, Better, str]] = {
    "connections_used_ratio": (
        "Connections",
        _highest,
        fmt.ratio,
        "lower",
        (
            "Now, of those that clients may use: those kept for superusers are left out. Warning from 80 %, "
            "critical from 95 %. The comparison is of the highest share."
        ),
    ),
    "cache_hit_ratio": (
        "Cache hit ratio",
        _mean,
        fmt.precise_ratio,
        "higher",
        (
            "Of the reads within each interval, never since the server's start: the mean of the intervals in "
            "which anything was read. Of several databases, the one with most transactions."
        ),
    ),
    "transactions_per_s": ("Transactions", _mean, _per_second, "neither", "Committed and rolled back, mean."),
    "queries_per_s": ("Queries", _mean, _per_second, "neither", "Mean over the window."),
    "commands_per_s": ("Commands", _mean, _per_second, "neither", "Mean over the window."),
    "longest_transaction_s": ("Longest transaction", _highest, _span, "lower", "In this window."),
    "longest_idle_in_transaction_s": (
        "Longest idle in transaction",
        _highest,
        _span,
        "lower",
        "A session that holds a transaction open and does nothing, in this window.",
    ),
    "lock_waits": ("Lock waits, most", _highest, fmt.count, "lower", "Sessions waiting at the same time."),
    "deadlocks_total": ("Deadlocks", _sum, fmt.count, "lower", "In this window."),
    "ping_ms": ("PING, mean", _mean, fmt.duration_ms, "lower", "Our own PING, the network included."),
    "memory_used_bytes": ("Memory", _mean, fmt.size, "neither", "Now; compared are the means."),
    "evictions_total": ("Evicted keys", _sum, fmt.count, "lower", "For want of memory, in this window."),
    "keys": ("Keys", _mean, fmt.count, "neither", "In all databases, mean over the window."),
}
