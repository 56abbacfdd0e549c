"""A series around the moment it changed, with its levels before and after."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import plotly.graph_objects as go
import polars as pl

from dashboard import format as fmt
from dashboard import regression_words as words
from dashboard.axes import Stage, figure, line
from dashboard.window import Window, absolute

POINTS_AROUND = 96
"""Points shown before and after the change, at most."""


@dataclass(frozen=True)
class Shown:
    """Which question tells a series, with which parameters, and the column that holds it."""

    question: str
    parameters: Mapping[str, Any]
    column: str


def shown_of(row: words.Row) -> Shown:
    """How to ask for the series of a change point."""
    target, thing, metric = [row["target"]], row["object"], row["metric"]
    if row["kind"] == "probe":
        column = "error_share" if metric == "error_ratio" else metric
        return Shown("percentile_trend", {"target": target, "endpoint": [thing]}, column)
    if row["kind"] == "query":
        database, _, shape = thing.rpartition("/")
        asked = {"target": target, "shape": [shape], **({"database": [database]} if database else {})}
        return Shown("query_trend", asked, {"query_mean_ms": "mean_ms", "query_load": "load"}[metric])
    if row["kind"] == "loadtest":
        return Shown("runs", {"target": target, "preset": [thing], "state": ["finished"]}, metric)
    if row["kind"] == "database":
        return Shown(
            "database_trend",
            {"target": target, "metric": ["cache_hit_ratio"], **({"object": [thing]} if thing else {})},
            "miss",
        )
    return Shown("host_trend", {"host": target, "metric": [metric]}, "mean")


def around(row: words.Row, stage: Stage) -> Window:
    """The window around the change: as much after it as was measured, and no less than it took to tell."""
    step = timedelta(seconds=row["point_s"] or 300)
    start = row["changed_at"] - POINTS_AROUND * step
    end = min(row["changed_at"] + POINTS_AROUND * step, max(stage.window.end, row["found_at"]))
    end = max(end, row["changed_at"] + (row["points_after"] + 1) * step)
    return Window(start, end, absolute(start, end))


def held_until(row: words.Row, window: Window) -> datetime:
    """How far the level after a change is drawn: of what was found looking back, to its end."""
    if not row["looked_back"] or row["point_s"] is None:
        return window.end
    end: datetime = row["changed_at"] + timedelta(seconds=row["point_s"]) * row["points_after"]
    return min(end, window.end)


def of_runs(answer: pl.DataFrame) -> tuple[Window, pl.DataFrame]:
    """Load tests as points at their end, and the window that holds them all."""
    ended = answer.filter(pl.col("ended_at").is_not_null()).sort("ended_at")
    rows = ended.with_columns(bucket_at=pl.col("ended_at"), bucket_s=1).drop("n")
    first, last = rows["ended_at"][0], rows["ended_at"][-1]
    room = max((last - first) / 20, timedelta(minutes=1))
    return Window(first - room, last + room, absolute(first - room, last + room)), rows


def draw(stage: Stage, window: Window, row: words.Row, answer: pl.DataFrame) -> go.Figure:
    """The series, a line at each level, and one where it changed."""
    shown = shown_of(row)
    rows = _with_shares(answer).filter(pl.col(shown.column).is_not_null())
    stage = replace(stage, window=window, draggable=False)
    drawn = figure(stage, legend=False)
    ink = stage.palette
    texts = [words.value(amount, row["unit"]) for amount in rows[shown.column]]
    drawn.add_trace(line(stage, rows, shown.column, fmt.chart_text(words.name(row)), ink.of(0), texts))
    worse = ink.critical if row["verdict"] == "regression" else ink.ok
    for start, end, level, colour in (
        (window.start, row["changed_at"], row["before"], ink.muted),
        (row["changed_at"], held_until(row, window), row["after"], worse),
    ):
        drawn.add_shape(
            type="line",
            x0=stage.local(start),
            x1=stage.local(end),
            y0=level,
            y1=level,
            line={"color": colour, "width": 2, "dash": "dash"},
        )
    drawn.add_vline(x=stage.local(row["changed_at"]), line={"color": worse, "width": 1.5})
    if row["unit"] == "ms":
        drawn.update_yaxes(ticksuffix=" ms")
    elif row["unit"] == "ratio":
        drawn.update_yaxes(tickformat=".1%")
    return drawn


def _with_shares(rows: pl.DataFrame) -> pl.DataFrame:
    """The answer with the shares that no question tells by themselves."""
    if "attempts" in rows.columns:
        return rows.with_columns(error_share=pl.col("errors") / pl.col("attempts"))
    return rows.with_columns(miss=1 - pl.col("mean")) if "mean" in rows.columns else rows
