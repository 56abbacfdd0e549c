"""Answers about queries as Plotly figures."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

import numpy as np
import plotly.graph_objects as go
import polars as pl
from plotly.subplots import make_subplots

from dashboard import format as fmt
from dashboard.axes import Stage, figure, line

LOAD_HEIGHT = 260
STRIP_HEIGHT = 110

CATEGORY_COLOUR: Mapping[str, int] = MappingProxyType(
    {"read": 0, "write": 1, "transaction": 2, "ddl": 3, "utility": 4, "unknown": 6}
)

STRIPS: Sequence[tuple[str, str, Callable[[float | None], str]]] = (
    ("calls_per_s", "calls/s", fmt.number),
    ("mean_ms", "mean, ms", fmt.duration_ms),
    ("load", "load", fmt.number),
    ("reads_per_s", "reads/s", fmt.number),
)
"""Column, words and form of what a query's detail draws, one strip each; reads are of blocks."""


def load(stage: Stage, rows: pl.DataFrame) -> go.Figure:
    """Statements running on average, stacked by what they do."""
    drawn = figure(stage, height=LOAD_HEIGHT)
    parts = rows.sort("bucket_at").partition_by("category", as_dict=True)
    for (category,), own in sorted(parts.items(), key=lambda part: CATEGORY_COLOUR.get(str(part[0][0]), 6)):
        texts = [
            f"{fmt.number(load)} ({fmt.count(calls)} calls)"
            for load, calls in own.select("load", "calls").iter_rows()
        ]
        drawn.add_trace(
            go.Bar(
                x=stage.times(own["bucket_at"]),
                y=own["load"].cast(pl.Float64).to_numpy(),
                width=int(own["bucket_s"][0]) * 1000,
                offset=0,
                name=fmt.chart_text(category),
                customdata=np.array(texts, dtype=object),
                hovertemplate="%{fullData.name}: %{customdata}<extra></extra>",
                marker={
                    "color": stage.palette.of(CATEGORY_COLOUR.get(str(category), 6)),
                    "line": {"width": 0},
                },
            )
        )
    drawn.update_layout(barmode="stack", showlegend=True)
    drawn.update_yaxes(exponentformat="none")
    return drawn


def bracket(stage: Stage, rows: pl.DataFrame, objective_ms: float | None) -> go.Figure:
    """Between what the p95 of the query time lay, and the objective."""
    drawn = figure(stage, height=LOAD_HEIGHT)
    ink = stage.palette
    known = rows.filter(pl.col("p95_high_ms").is_not_null()).sort("bucket_at")
    texts = [fmt.duration_ms(value) for value in known["p95_low_ms"]]
    drawn.add_trace(line(stage, known, "p95_low_ms", "at least", ink.primary, texts, width=1, dash="dot"))
    texts = [fmt.duration_ms(value) for value in known["p95_high_ms"]]
    drawn.add_trace(
        line(
            stage,
            known,
            "p95_high_ms",
            "at most",
            ink.primary,
            texts,
            width=1.4,
            fill="tonexty",
            fillcolor=ink.alpha(ink.primary, 0.18),
        )
    )
    if objective_ms is not None:
        drawn.add_hline(y=objective_ms, line={"color": ink.critical, "width": 1, "dash": "dash"})
    drawn.update_yaxes(ticksuffix=" ms")
    return drawn


def _rates(rows: pl.DataFrame) -> pl.DataFrame:
    """The rows with calls and blocks per second."""
    return rows.sort("bucket_at").with_columns(
        calls_per_s=pl.col("calls") / pl.col("bucket_s"),
        reads_per_s=pl.col("blocks_read") / pl.col("bucket_s"),
    )


def strips(stage: Stage, rows: pl.DataFrame, previous: pl.DataFrame | None = None) -> go.Figure:
    """A query's calls, mean, load and I/O over time, one below the other."""
    rows = _rates(rows)
    shown = [strip for strip in STRIPS if rows[strip[0]].is_not_null().any()]
    base = figure(stage, legend=False)
    drawn = make_subplots(rows=len(shown), cols=1, shared_xaxes=True, vertical_spacing=0.05)
    drawn.update_layout(base.layout)
    drawn.update_layout(height=STRIP_HEIGHT * len(shown) + 30)
    xaxis, yaxis = base.layout.xaxis.to_plotly_json(), base.layout.yaxis.to_plotly_json()
    drawn.update_xaxes({key: value for key, value in xaxis.items() if key not in ("anchor", "domain")})
    drawn.update_yaxes({key: value for key, value in yaxis.items() if key not in ("anchor", "domain")})
    ink = stage.palette
    for position, (column, words, told) in enumerate(shown, 1):
        if previous is not None and not previous.is_empty():
            moved = _rates(previous).with_columns(pl.col("bucket_at") + stage.window.span)
            texts = [told(value) for value in moved[column]]
            trace = line(stage, moved, column, f"{words} previous", ink.muted, texts, dash="dash", width=1.2)
            drawn.add_trace(trace, row=position, col=1)
        texts = [told(value) for value in rows[column]]
        drawn.add_trace(line(stage, rows, column, words, ink.of(position - 1), texts), row=position, col=1)
        drawn.update_yaxes(title={"text": words, "font": {"size": 11}}, nticks=3, row=position, col=1)
    return drawn
