"""Deploys as lines across what was measured before and after them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import plotly.graph_objects as go
import polars as pl

from dashboard import across
from dashboard import format as fmt
from dashboard.axes import Stage

MOST_LINES = 40
"""As many of the newest are drawn."""

LABEL_SHARE, PHONE_LABEL_SHARE = 0.08, 0.3
"""A line so much of the chart's width before the next has room for its version."""

LONGEST_LABEL = 16
COLOUR = 4
"""The place of the lines' colour in the theme: load tests have the one before it."""

Row = Mapping[str, Any]


def where(row: Row) -> str:
    """Where a deploy went."""
    return row["target"] or "all targets"


def draw(drawn: go.Figure, stage: Stage, marks: pl.DataFrame | None, *, labelled: bool = False) -> None:
    """Put a line for each deploy, which hovering names; with `labelled` its version stands at the top."""
    if marks is None or marks.is_empty():
        return
    rows = marks.tail(MOST_LINES).to_dicts()
    colour = stage.palette.of(COLOUR)
    instants = [stage.local(row["at"]) for row in rows]
    across.rule(drawn, instants, {"color": colour, "width": 1.5, "dash": "dot"})
    drawn.add_trace(
        go.Scatter(
            x=instants,
            y=[0.0] * len(rows),
            yaxis="y2",
            name="deploy",
            mode="markers",
            marker={"color": colour, "size": 9, "symbol": "triangle-up"},
            showlegend=False,
            customdata=[fmt.chart_text(f"{row['version']} to {where(row)}", 80) for row in rows],
            hovertemplate="deploy: %{customdata}<extra></extra>",
        )
    )
    drawn.update_layout(
        yaxis2={"overlaying": "y", "range": [0, 1], "visible": False, "fixedrange": True, "anchor": "x"}
    )
    if labelled:
        across.annotate(drawn, _labels(stage, rows))


def _labels(stage: Stage, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The versions, but for those too near the next one's. One near the end stands before its line."""
    room = stage.window.span * (LABEL_SHARE if stage.draggable else PHONE_LABEL_SHARE)
    following = [row["at"] for row in rows[1:]] + [None]
    labels = []
    for row, next_at in zip(rows, following, strict=True):
        is_late = stage.window.end - row["at"] < room
        next_is_late = next_at is not None and stage.window.end - next_at < room
        if next_at is not None and next_at - row["at"] < room * (2 if next_is_late and not is_late else 1):
            continue
        labels.append(
            {
                "x": stage.local(row["at"]),
                "xanchor": "right" if is_late else "left",
                "text": fmt.chart_text(row["version"], LONGEST_LABEL),
                "font": {"size": 11, "color": stage.palette.text},
                "bgcolor": stage.palette.alpha(stage.palette.background, 0.7),
                "borderpad": 1,
            }
        )
    return labels
