"""Load tests as bands behind what was measured meanwhile."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import numpy as np
import plotly.graph_objects as go
import polars as pl

from dashboard import across
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
Run = tuple[Row, datetime, datetime]
"""A run with the part of the window in which it sent its load."""


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
    rows = [(row, *span_of(row, stage)) for row in runs.tail(MOST_BANDS).to_dicts()]
    spans = [(stage.local(start), stage.local(end)) for _, start, end in rows]
    across.shade(drawn, spans, ink.alpha(colour, 0.14), ink.alpha(colour, 0.6))
    drawn.add_traces([_touched(stage, lane, colour) for lane in _lanes(rows)])
    if labelled:
        least = stage.window.span * (LABEL_SHARE if stage.draggable else PHONE_LABEL_SHARE)
        across.annotate(drawn, [_label(stage, *run) for run in rows if run[2] - run[1] >= least])
    drawn.update_layout(
        yaxis2={"overlaying": "y", "range": [0, 1], "visible": False, "fixedrange": True, "anchor": "x"}
    )


def _lanes(runs: Sequence[Run]) -> list[list[Run]]:
    """The runs by their begin, in as few lists as can be so that those of one do not overlap."""
    lanes: list[list[Run]] = []
    for run in sorted(runs, key=lambda run: run[1]):
        lane = next((lane for lane in lanes if lane[-1][2] < run[1]), None)
        if lane is None:
            lanes.append([run])
        else:
            lane.append(run)
    return lanes


def _touched(stage: Stage, runs: Sequence[Run], colour: str) -> go.Scatter:
    """What hovering finds of bands that do not overlap: lines along their feet, on an axis of their own."""
    times, heights, texts = [], [], []
    for row, start, end in runs:
        steps = max(2, round(TOUCHED_EVERY * ((end - start) / stage.window.span)) + 1)
        span_ms = int((end - start).total_seconds() * 1000)
        offsets = np.linspace(0, span_ms, steps).astype("timedelta64[ms]")
        offsets = np.append(offsets, offsets[-1])  # where the line breaks
        times.append(np.datetime64(stage.local(start), "ms") + offsets)
        heights.append(np.append(np.zeros(steps), np.nan))
        texts += [fmt.chart_text(told(row), 80)] * len(offsets)
    return go.Scatter(
        x=np.concatenate(times),
        y=np.concatenate(heights),
        yaxis="y2",
        name="load test",
        mode="lines",
        line={"color": colour, "width": 3},
        showlegend=False,
        connectgaps=False,
        customdata=np.array(texts, dtype=object),
        hovertemplate="load test: %{customdata}<extra></extra>",
    )


def _label(stage: Stage, row: Row, start: datetime, end: datetime) -> dict[str, Any]:
    name = fmt.chart_text(row["preset"], LONGEST_LABEL)
    return {
        "x": stage.local(start + (end - start) / 2),
        "text": f'<a href="run?run={row["run_id"]}" target="_self">{name}</a>',
        "font": {"size": 11, "color": stage.palette.text},
        "bgcolor": stage.palette.alpha(stage.palette.background, 0.7),
        "borderpad": 1,
        "captureevents": True,
    }
