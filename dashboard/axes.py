"""What every chart shares: layout, times in the reader's zone, lines that break where data is missing."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import plotly.graph_objects as go
import polars as pl

from dashboard import across
from dashboard.theme import Palette
from dashboard.window import Window

HEIGHT = 300
FEW_POINTS = 24
"""Up to so many points each is marked."""

GAP_FULL = 1.5
GAP_SPARSE = 2.5
WIDE_GAP = 100
"""Gaps narrower than the window through this cannot be seen, and are not shaded."""

MOST_SHADES = 40


@dataclass(frozen=True)
class Stage:
    """What a chart is drawn on: the window, the reader's zone and colours, whether dragging zooms."""

    window: Window
    zone: ZoneInfo
    palette: Palette
    draggable: bool = True

    def local(self, instant: datetime) -> datetime:
        """An instant as Plotly shall show it: the reader's wall clock."""
        return instant.astimezone(self.zone).replace(tzinfo=None)

    def times(self, column: pl.Series) -> np.ndarray[Any, Any]:
        """Instants as the reader's wall clock."""
        local = column.dt.convert_time_zone(self.zone.key).dt.replace_time_zone(None)
        return local.cast(pl.Datetime("ms")).to_numpy()


def figure(stage: Stage, *, height: int = HEIGHT, y_title: str = "", legend: bool = True) -> go.Figure:
    """An empty chart over the window."""
    ink = stage.palette
    drawn = go.Figure()
    drawn.update_layout(
        height=height,
        margin={"l": 8, "r": 12, "t": 8, "b": 8},
        dragmode="select" if stage.draggable else False,
        selectdirection="h",
        hovermode="x unified",
        showlegend=legend,
        legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0, "title": {"text": ""}},
        font={"size": 12},
        newselection={"line": {"color": ink.primary, "width": 1}},
        activeselection={"fillcolor": ink.primary, "opacity": 0.12},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
    )
    drawn.update_xaxes(
        range=[stage.local(stage.window.start), stage.local(stage.window.end)],
        type="date",
        showgrid=False,
        automargin=True,
        hoverformat="%Y-%m-%d %H:%M:%S",
    )
    drawn.update_yaxes(
        title={"text": y_title},
        rangemode="tozero",
        automargin=True,
        nticks=6,
        gridcolor=ink.alpha(ink.muted, 0.25),
        zeroline=False,
        fixedrange=True,
    )
    return drawn


def breaks(times: np.ndarray[Any, Any], bucket_s: int, per_bucket: float) -> np.ndarray[Any, Any]:
    """Where a line must break: indices of the points that follow a gap.

    Where buckets hold two samples and more and are usually full, each empty one is a gap. A series sampled
    more rarely leaves buckets empty by itself: there a gap is wider than GAP_SPARSE times the usual distance.
    """
    if len(times) < 2:
        return np.empty(0, dtype=int)
    distance = np.diff(times).astype("timedelta64[ms]").astype(float) / 1000
    usual = max(float(bucket_s), float(np.median(distance)))
    limit = (GAP_FULL if per_bucket >= 2 else GAP_SPARSE) * usual
    return np.flatnonzero(distance > limit) + 1


def opened(values: np.ndarray[Any, Any], at: np.ndarray[Any, Any], filler: Any) -> np.ndarray[Any, Any]:
    """The values with `filler` before each index of `at`."""
    return np.insert(values, at, filler) if len(at) else values


def line(
    stage: Stage,
    rows: pl.DataFrame,
    column: str,
    name: str,
    colour: str,
    texts: Sequence[str],
    **style: Any,
) -> go.Scatter:
    """One series over `bucket_at`, broken where buckets are missing; `texts` is what hovering tells."""
    times = stage.times(rows["bucket_at"])
    bucket_s = int(rows["bucket_s"][0]) if len(rows) else 1
    per_bucket = float(np.median(rows["n"].to_numpy())) if "n" in rows.columns and len(rows) else 0.0
    at = breaks(times, bucket_s, per_bucket)
    values = opened(rows[column].cast(pl.Float64).to_numpy(), at, np.nan)
    hover = opened(np.array(texts, dtype=object), at, "")
    filler = times[at - 1] + np.timedelta64(bucket_s * 1000, "ms") if len(at) else np.nan
    sizes = _marker_sizes(values, few=len(times) <= FEW_POINTS)
    shape = {"color": colour, "width": style.pop("width", 1.8), "dash": style.pop("dash", "solid")}
    return go.Scatter(
        x=opened(times, at, filler),
        y=values,
        name=name,
        customdata=hover,
        hovertemplate="%{fullData.name}: %{customdata}<extra></extra>",
        mode="lines" if sizes is None else "lines+markers",
        line=shape,
        marker={"color": colour, "size": sizes, "line": {"width": 0}} if sizes is not None else None,
        connectgaps=False,
        **style,
    )


def _marker_sizes(values: np.ndarray[Any, Any], *, few: bool) -> np.ndarray[Any, Any] | None:
    """Points that no line reaches must be marked to be seen; None when there are none."""
    if few:
        return np.full(len(values), 5)
    there = ~np.isnan(values)
    alone = there & ~np.r_[False, there[:-1]] & ~np.r_[there[1:], False]
    return np.where(alone, 5, 0) if alone.any() else None


def gaps_of(gaps: pl.DataFrame | None, jobs: Collection[str] = (), *, kind: str = "") -> pl.DataFrame | None:
    """The gaps of these jobs, or of every job of a kind: what others missed is not missing from a chart."""
    if gaps is None:
        return None
    wanted = pl.col("job").str.starts_with(f"{kind} ") if kind else pl.col("job").is_in(list(jobs))
    return gaps.filter(wanted)


def shade_gaps(drawn: go.Figure, stage: Stage, gaps: pl.DataFrame | None) -> int:
    """Shade the spans in which samples were due and do not exist; how many were wide enough to see."""
    if gaps is None or gaps.is_empty():
        return 0
    least = stage.window.span / WIDE_GAP
    spans = _joined(list(gaps.sort("at").select("at", "until").iter_rows()), least)
    ink = stage.palette
    seen = (
        (stage.local(max(start, stage.window.start)), stage.local(min(end, stage.window.end)))
        for start, end in spans[-MOST_SHADES:]
    )
    across.shade(drawn, seen, ink.alpha(ink.muted, 0.16))
    return len(spans)


def _joined(spans: list[tuple[datetime, datetime]], least: timedelta) -> list[tuple[datetime, datetime]]:
    """Overlapping and touching spans as one, without those shorter than `least`."""
    joined: list[tuple[datetime, datetime]] = []
    for start, end in spans:
        if joined and start <= joined[-1][1] + least / 2:
            joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
        else:
            joined.append((start, end))
    return [(start, end) for start, end in joined if end - start >= least]
