"""Load tests as bands behind what was measured meanwhile."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import numpy as np
import plotly.graph_objects as go
import polars as pl

from dashboard import format as fmt
from dashboard.axes import Stage
from dashboard.run_words import STATE_MARKS, VERDICT_MARKS, is_active

MOST_BANDS = 40
"""As many of the newest are drawn."""

LABEL_SHARE, PHONE_LABEL_SHARE = 0.07, 0.25
"""A band of so much of the chart's width has room for its label."""

LONGEST_LABEL = 14
TOUCHED_EVERY = 120
"""Hovering finds a band at steps of the window through this."""

COLOUR = 3
"""The place of the bands' colour in the theme: gaps are grey, alarms orange and red."""

Row = Mapping[str, Any]


def span_of(row: Row, stage: Stage) -> tuple[datetime, datetime]:
    """From when to when a run sent its load, within the window; one that is on reaches to its end."""
    window = stage.window
    began, until = row["began_at"], row["until_at"] or window.end
    return max(began, window.start), min(max(until, began), window.end)


def told(row: Row) -> str:
    """A run in a few words: `smoke on shop, pass`."""
    ended = VERDICT_MARKS.get(row["verdict"]) or STATE_MARKS.get(row["state"])
    word = row["state"] if is_active(row) or ended is None else ended.text
    marks = [
        mark
        for name, mark in (("is_generator_bound", "generator-bound"), ("is_partial", "partial"))
        if row[name]
    ]
    return ", ".join([f"{row['preset']} on {row['target']}", word, *marks])


def shade(drawn: go.Figure, stage: Stage, runs: pl.DataFrame | None, *, labelled: bool = False) -> None:
    """Put a band behind the chart for each run, which hovering names; wide ones are labelled with a link."""
    if runs is None or runs.is_empty():
        return
    ink = stage.palette
    colour = ink.of(COLOUR)
    for row in runs.tail(MOST_BANDS).to_dicts():
        start, end = span_of(row, stage)
        drawn.add_vrect(
            x0=stage.local(start),
            x1=stage.local(end),
            fillcolor=ink.alpha(colour, 0.14),
            line={"color": ink.alpha(colour, 0.6), "width": 1},
            layer="below",
        )
        drawn.add_trace(_touched(stage, row, start, end, colour))
        if labelled and (end - start) / stage.window.span >= _label_share(stage):
            _label(drawn, stage, row, start, end)
    drawn.update_layout(
        yaxis2={"overlaying": "y", "range": [0, 1], "visible": False, "fixedrange": True, "anchor": "x"}
    )


def _label_share(stage: Stage) -> float:
    return LABEL_SHARE if stage.draggable else PHONE_LABEL_SHARE


def _touched(stage: Stage, row: Row, start: datetime, end: datetime, colour: str) -> go.Scatter:
    """What hovering finds of a band: a line along its foot, on an axis of its own."""
    steps = max(2, round(TOUCHED_EVERY * ((end - start) / stage.window.span)) + 1)
    span_ms = int((end - start).total_seconds() * 1000)
    times = np.datetime64(stage.local(start), "ms") + np.linspace(0, span_ms, steps).astype("timedelta64[ms]")
    text = fmt.chart_text(told(row), 80)
    return go.Scatter(
        x=times,
        y=np.zeros(steps),
        yaxis="y2",
        name="load test",
        mode="lines",
        line={"color": colour, "width": 3},
        showlegend=False,
        customdata=np.array([text] * steps, dtype=object),
        hovertemplate="load test: %{customdata}<extra></extra>",
    )


def _label(drawn: go.Figure, stage: Stage, row: Row, start: datetime, end: datetime) -> None:
    name = fmt.chart_text(row["preset"], LONGEST_LABEL)
    drawn.add_annotation(
        x=stage.local(start + (end - start) / 2),
        y=1,
        yref="paper",
        yanchor="top",
        text=f'<a href="run?run={row["run_id"]}" target="_self">{name}</a>',
        showarrow=False,
        font={"size": 11, "color": stage.palette.text},
        bgcolor=stage.palette.alpha(stage.palette.background, 0.7),
        borderpad=1,
        captureevents=True,
    )
