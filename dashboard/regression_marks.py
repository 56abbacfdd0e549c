"""Regressions and improvements on charts, and as lines of a list with links."""

from __future__ import annotations

from collections.abc import Sequence

import plotly.graph_objects as go
import polars as pl
import streamlit as st

from dashboard import across
from dashboard import format as fmt
from dashboard import regression_words as words
from dashboard.axes import Stage
from dashboard.controls import Scene, carried

PAGE = "dashboard/views/regressions.py"
CHOSEN = "regression"
MOST_LINES = 20


def draw(drawn: go.Figure, stage: Stage, rows: pl.DataFrame | None) -> None:
    """A line where each regression or improvement of the window began, which hovering names."""
    if rows is None or rows.is_empty():
        return
    begun = rows.filter(pl.col("changed_at").is_between(stage.window.start, stage.window.end))
    for verdict, colour, symbol in (
        ("regression", stage.palette.critical, "triangle-down"),
        ("improvement", stage.palette.ok, "triangle-down-open"),
    ):
        own = begun.filter(pl.col("verdict") == verdict).head(MOST_LINES).to_dicts()
        across.rule(drawn, (stage.local(row["changed_at"]) for row in own), {"color": colour, "width": 1.2})
        if own:
            drawn.add_trace(_points(stage, own, verdict, colour, symbol))
    drawn.update_layout(
        yaxis2={"overlaying": "y", "range": [0, 1], "visible": False, "fixedrange": True, "anchor": "x"}
    )


def _points(stage: Stage, rows: Sequence[words.Row], verdict: str, colour: str, symbol: str) -> go.Scatter:
    return go.Scatter(
        x=[stage.local(row["changed_at"]) for row in rows],
        y=[1.0] * len(rows),
        yaxis="y2",
        name=verdict,
        mode="markers",
        marker={"color": colour, "size": 10, "symbol": symbol},
        showlegend=False,
        cliponaxis=False,
        customdata=[fmt.chart_text(f"{words.name(row)} {words.size(row)}", 90) for row in rows],
        hovertemplate=f"{verdict}: %{{customdata}}<extra></extra>",
    )


def link(row: words.Row, label: str = "Look") -> None:
    """A way to one of them."""
    st.page_link(
        PAGE,
        label=label,
        icon=":material/search_insights:",
        query_params={**carried(), CHOSEN: row["regression_id"]},
    )


def line(scene: Scene, row: words.Row) -> None:
    """One of them with its state and a link."""
    mark = words.STATE_MARKS[row["state"]]
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.badge(mark.text, color=mark.colour, icon=mark.icon, help=mark.help)
        st.markdown(words.sentence(row, scene.now, scene.zone), width="stretch")
        link(row)


def listed(scene: Scene, rows: pl.DataFrame | None, most: int) -> None:
    """The newest of them; nothing where there are none."""
    if rows is None or rows.is_empty():
        return
    with st.container(border=True, key="regressions"):
        more = f" · the newest {most} of {fmt.count(len(rows))}" if len(rows) > most else ""
        st.markdown(f"**Regressions and improvements in this window**{more}")
        for row in rows.head(most).to_dicts():
            line(scene, row)
