"""Answers about database servers as Plotly figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType

import plotly.graph_objects as go
import polars as pl

from dashboard import across
from dashboard import format as fmt
from dashboard.axes import Stage, figure, line, shade_gaps
from dashboard.database_numbers import whole_server
from dashboard.resource_charts import Band

HEIGHT = 240
MOST_MARKS = 12
MOST_LINES = 8
CONNECTIONS_BAND = Band(0.80, 0.95)
"""From which share of the usable connections it is a warning, and critical."""

NAMES: Mapping[str, str] = MappingProxyType(
    {
        "connections": "connections",
        "connections_usable": "usable",
        "connections_active": "active",
        "connections_idle_in_transaction": "idle in transaction",
        "connections_waiting": "waiting for a lock",
        "cache_hit_ratio": "cache hit ratio",
        "transactions_per_s": "transactions",
        "rollbacks_per_s": "rollbacks",
        "longest_transaction_s": "transaction",
        "longest_idle_in_transaction_s": "idle in transaction",
        "longest_query_s": "query",
        "queries_per_s": "queries",
        "commands_per_s": "commands",
        "ping_ms": "own PING",
        "memory_used_bytes": "memory",
        "evictions_total": "evicted keys",
        "keys": "keys",
        "lock_waits": "sessions that wait",
    }
)
"""What metrics are called on a chart."""


@dataclass(frozen=True)
class Panel:
    """One chart: its title, the metrics on it, and how their buckets are told.

    `column` is the value drawn of each bucket; `each`: a line per database; `ceiling` names a metric that
    is drawn as a limit, with the bands of connections below it.
    """

    title: str
    metrics: tuple[str, ...]
    column: str = "mean"
    ceiling: str = ""
    each: bool = False
    note: str = ""


_CONNECTIONS = ("connections", "connections_active", "connections_idle_in_transaction", "connections_waiting")
_POOL = Panel(
    "Connections",
    (*_CONNECTIONS, "connections_usable"),
    ceiling="connections_usable",
    note="Bands: 80 and 95 % of the usable connections.",
)
_CACHE = Panel(
    "Cache hit ratio",
    ("cache_hit_ratio",),
    each=True,
    note="Of the reads of each interval; the line breaks where nothing was read.",
)
_LONGEST = ("longest_transaction_s", "longest_idle_in_transaction_s", "longest_query_s")

PANELS: Mapping[str, tuple[Panel, ...]] = MappingProxyType(
    {
        "postgres": (
            _POOL,
            _CACHE,
            Panel("Transactions per second", ("transactions_per_s", "rollbacks_per_s")),
            Panel("Longest running", _LONGEST, column="max", note="The longest of each bucket."),
        ),
        "mysql": (
            _POOL,
            _CACHE,
            Panel("Queries per second", ("queries_per_s", "transactions_per_s", "rollbacks_per_s")),
            Panel("Longest running", _LONGEST, column="max", note="The longest of each bucket."),
        ),
        "redis": (
            Panel("Latency of our own PING", ("ping_ms",), note="From this collector: the network is in it."),
            Panel(
                "Cache hit ratio", ("cache_hit_ratio",), note="The line breaks where no key was asked for."
            ),
            Panel("Commands per second", ("commands_per_s",)),
            Panel("Memory", ("memory_used_bytes",)),
            Panel("Keys", ("keys",)),
            Panel("Evicted keys", ("evictions_total",), column="sum", note="For want of memory, per bucket."),
        ),
    }
)
"""The charts that make sense for each engine."""

_DASHED = frozenset({"connections_usable"})
_STATISTICS = ("statements_resets_total", "statistics_resets_total", "statements_evictions_total")


def metrics(engine: str) -> list[str]:
    """Everything that the charts, cards and marks of an engine are made of."""
    drawn = {name for panel in PANELS[engine] for name in panel.metrics}
    carded = {
        "connections_used_ratio",
        "lock_waits",
        "deadlocks_total",
        "evictions_total",
        "transactions_per_s",
    }
    return sorted(drawn | carded | {*_STATISTICS})


def rows_of(trend: pl.DataFrame, panel: Panel) -> pl.DataFrame:
    """The rows a panel is drawn of."""
    own = trend.filter(pl.col("metric").is_in(panel.metrics) & (pl.col("n") > 0))
    if not panel.each:
        return whole_server(own)
    parts = own.filter(pl.col("object") != "")
    return own if parts.is_empty() else parts


def measure(stage: Stage, rows: pl.DataFrame, panel: Panel, gaps: pl.DataFrame | None = None) -> go.Figure:
    """One line per metric of a panel; the maximum of each bucket lies beside a mean that stands alone."""
    drawn = figure(stage, height=HEIGHT)
    ink = stage.palette
    unit = str(rows["unit"][0]) if len(rows) else ""
    parts = rows.sort("bucket_at").partition_by("metric", "object", as_dict=True)
    order = {name: place for place, name in enumerate(panel.metrics)}
    present = sorted(
        ((order[str(metric)], str(metric), str(thing)), own) for (metric, thing), own in parts.items()
    )
    for position, ((_, name, thing), own) in enumerate(present[:MOST_LINES]):
        limit = name in _DASHED
        colour = ink.muted if limit else ink.of(position)
        words = fmt.chart_text(thing) if thing else NAMES.get(name, name.replace("_", " "))
        if len(present) == 1 and panel.column == "mean" and unit != "ratio":
            spikes = [fmt.quantity(value, unit) for value in own["max"]]
            drawn.add_trace(
                line(stage, own, "max", f"{words} max", ink.alpha(colour, 0.55), spikes, width=1, dash="dot")
            )
        texts = [fmt.quantity(value, unit) for value in own[panel.column]]
        dash = "dash" if limit else "solid"
        drawn.add_trace(line(stage, own, panel.column, words, colour, texts, dash=dash))
    _scale(drawn, rows, unit)
    if panel.ceiling:
        _limit(drawn, stage, rows.filter(pl.col("metric") == panel.ceiling))
    shade_gaps(drawn, stage, gaps)
    drawn.update_layout(showlegend=len(drawn.data) > 1)
    return drawn


def _scale(drawn: go.Figure, rows: pl.DataFrame, unit: str) -> None:
    """The y axis in the unit's own steps."""
    top = max((float(value) for value in (rows["max"].max(),) if isinstance(value, float | int)), default=0.0)
    if unit == "ratio":
        low = rows["mean"].min()
        # A cache is mostly between 0.9 and 1, where an axis from 0 shows a flat line.
        floor = 0.9 if isinstance(low, float) and low > 0.9 else 0.0
        drawn.update_yaxes(tickformat=".1%" if floor else ".0%", range=[floor, 1 + (1 - floor) * 0.03])
    elif unit == "bytes":
        ticks = byte_ticks(top)
        drawn.update_yaxes(tickvals=ticks, ticktext=[fmt.size(tick) for tick in ticks])
    else:
        drawn.update_yaxes(ticksuffix={"ms": " ms", "s": " s"}.get(unit, ""))


def byte_ticks(top: float) -> list[float]:
    """Round powers of 1024, which Plotly does not know."""
    step = 1.0
    while top / step > 5:
        step *= 2
    return [step * position for position in range(int(top / step) + 2)]


def _limit(drawn: go.Figure, stage: Stage, rows: pl.DataFrame) -> None:
    """Bands below the newest limit."""
    newest = rows.sort("bucket_at")["mean"].drop_nulls()
    if newest.is_empty():
        return
    top, ink = float(newest[-1]), stage.palette
    for low, high, colour in (
        (CONNECTIONS_BAND.warning, CONNECTIONS_BAND.critical, ink.warning),
        (CONNECTIONS_BAND.critical, 1.0, ink.critical),
    ):
        drawn.add_hrect(
            y0=low * top, y1=high * top, fillcolor=ink.alpha(colour, 0.13), line_width=0, layer="below"
        )


def mark(drawn: go.Figure, stage: Stage, instants: Sequence[tuple[datetime, str]]) -> None:
    """Dashed lines at the newest instants at which the statistics themselves changed, with a word above."""
    ink = stage.palette
    newest = [(stage.local(at), fmt.chart_text(word)) for at, word in list(instants)[-MOST_MARKS:]]
    across.rule(drawn, [at for at, _ in newest], {"color": ink.muted, "width": 1, "dash": "dash"})
    font = {"size": 10, "color": ink.muted}
    across.annotate(drawn, [{"x": at, "xanchor": "left", "text": word, "font": font} for at, word in newest])
