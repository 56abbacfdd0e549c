"""The level of an active baseline across the chart of its endpoints."""

from __future__ import annotations

import plotly.graph_objects as go
import polars as pl

from dashboard import charts, data
from dashboard import format as fmt
from dashboard.axes import Stage
from dashboard.data import question

MOST_BANDS = 3
"""With more endpoints on a chart the levels are lines, without the bands they lie in."""


def asked(targets: list[str]) -> dict[str, data.Question]:
    """The levels of the active baselines of these targets, or of all."""
    return {"levels": question("baseline_levels", target=targets)}


def draw(
    drawn: go.Figure, stage: Stage, rows: pl.DataFrame, levels: pl.DataFrame | None, percentile: int
) -> go.Figure:
    """Put a dashed line at the level of each endpoint drawn, and few of them into bands, in its colour."""
    if levels is None or levels.is_empty():
        return drawn
    of = {(row["target"], row["endpoint"]): row for row in levels.to_dicts() if row["percent"] == percentile}
    shown = [key for key, _ in charts.by_endpoint(rows)]
    window = [stage.local(stage.window.start), stage.local(stage.window.end)]
    for position, key in enumerate(shown):
        row = of.get(key)
        if row is None or row["level_ms"] is None:
            continue
        colour = stage.palette.of(position)
        if len(shown) <= MOST_BANDS:
            drawn.add_hrect(
                y0=row["low_ms"],
                y1=row["high_ms"],
                fillcolor=stage.palette.alpha(colour, 0.1),
                line_width=0,
                layer="below",
            )
        told = f"{row['name']}: {fmt.duration_ms(row['level_ms'], above=bool(row['above']))}"
        drawn.add_trace(
            go.Scatter(
                x=window,
                y=[row["level_ms"]] * 2,
                name="baseline",
                mode="lines",
                line={"color": colour, "width": 1.5, "dash": "dash"},
                opacity=0.8,
                showlegend=False,
                customdata=[fmt.chart_text(told, 80)] * 2,
                hovertemplate="baseline %{customdata}<extra></extra>",
            )
        )
    return drawn


def note(levels: pl.DataFrame | None, percentile: int) -> str:
    """What the dashed lines are; empty where there are none."""
    if levels is None or levels.is_empty():
        return ""
    names = ", ".join(sorted({fmt.plain(name) for name in levels["name"]}))
    return f"Dashed: p{percentile} of the baseline {names}, shaded where its twelve parts lie."
