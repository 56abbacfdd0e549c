"""Answers about hosts and collectors as Plotly figures."""

from __future__ import annotations

from dataclasses import dataclass

import plotly.graph_objects as go
import polars as pl

from dashboard import format as fmt
from dashboard.axes import Stage, figure, line, shade_gaps

MOST_OBJECTS = 8
HEIGHT = 230


@dataclass(frozen=True)
class Band:
    """From which share a resource is worth a warning, and from which it is critical."""

    warning: float
    critical: float

    def state(self, value: float | None) -> str:
        """ok, warning or critical; unknown without a value."""
        if value is None:
            return "unknown"
        return "critical" if value >= self.critical else "warning" if value >= self.warning else "ok"


BANDS = {
    "cpu_ratio": Band(0.70, 0.90),
    "memory_used_ratio": Band(0.80, 0.95),
    "disk_busy_ratio": Band(0.70, 0.90),
}
"""The bands of those resources that have some."""

NAMES = {
    "cpu_ratio": "CPU",
    "cpu_user_ratio": "user",
    "cpu_system_ratio": "system",
    "cpu_iowait_ratio": "waiting for disk",
    "memory_used_ratio": "memory",
    "swap_used_ratio": "swap",
    "disk_busy_ratio": "disk busy",
    "disk_used_ratio": "disk space used",
    "net_received_bytes_per_s": "received",
    "net_sent_bytes_per_s": "sent",
    "disk_read_bytes_per_s": "read",
    "disk_write_bytes_per_s": "written",
    "load1": "1 min",
    "load5": "5 min",
    "load15": "15 min",
    "cores": "cores",
}
"""What metrics are called on a chart."""


def resource(
    stage: Stage,
    rows: pl.DataFrame,
    *,
    column: str = "mean",
    band: Band | None = None,
    spikes_of: str = "",
    gaps: pl.DataFrame | None = None,
) -> go.Figure:
    """One line per metric and object; `spikes_of` names a metric whose maxima lie beside it."""
    drawn = figure(stage, height=HEIGHT)
    ink = stage.palette
    unit = str(rows["unit"][0]) if len(rows) else ""
    chosen = busiest(rows, column)
    several = {"metric": rows["metric"].n_unique() > 1, "object": "object" in rows.columns}
    order = list(NAMES)
    parts = chosen.sort("bucket_at").partition_by(
        "metric", *(["object"] if several["object"] else []), as_dict=True
    )
    for position, (key, own) in enumerate(sorted(parts.items(), key=lambda part: _place(part[0], order))):
        name = _name(str(key[0]), str(key[1]) if several["object"] else "", named=several["metric"])
        colour, dash = (ink.muted, "dash") if key[0] == "cores" else (ink.of(position), "solid")
        if key[0] == spikes_of:
            texts = [fmt.quantity(value, unit) for value in own["max"]]
            drawn.add_trace(
                line(stage, own, "max", f"{name} max", ink.alpha(colour, 0.55), texts, width=1, dash="dot")
            )
        texts = [fmt.quantity(value, unit) for value in own[column]]
        drawn.add_trace(line(stage, own, column, name, colour, texts, dash=dash))
    _scale(drawn, stage, rows, unit, band)
    shade_gaps(drawn, stage, gaps)
    drawn.update_layout(showlegend=len(drawn.data) > 1)
    return drawn


def _place(key: tuple[object, ...], order: list[str]) -> tuple[int, tuple[str, ...]]:
    """Metrics in the order of NAMES, then objects by name."""
    return order.index(str(key[0])) if key[0] in order else len(order), tuple(str(part) for part in key)


def busiest(rows: pl.DataFrame, column: str = "mean") -> pl.DataFrame:
    """The rows of the objects with the highest values: as many as a chart can tell apart."""
    if "object" not in rows.columns or rows["object"].n_unique() <= MOST_OBJECTS:
        return rows
    top = rows.group_by("object").agg(pl.col(column).max()).top_k(MOST_OBJECTS, by=column)
    return rows.join(top.select("object"), on="object", how="semi")


def _name(metric: str, thing: str, *, named: bool) -> str:
    words = NAMES.get(metric, metric.replace("_", " "))
    if not thing:
        return words
    return fmt.chart_text(f"{thing} {words}" if named else thing)


def _scale(drawn: go.Figure, stage: Stage, rows: pl.DataFrame, unit: str, band: Band | None) -> None:
    """The y axis in the unit's own steps; bands behind the lines."""
    ink = stage.palette
    top = max(
        (float(value) for value in (rows["mean"].max(), rows["max"].max()) if isinstance(value, float | int)),
        default=0.0,
    )
    if unit == "ratio":
        drawn.update_yaxes(
            tickformat=".0%", range=[0, 1.02] if band or top > 0.5 else [0, max(top * 1.15, 0.05)]
        )
    elif unit.startswith("bytes"):
        _byte_ticks(drawn, top, "/s" if unit.endswith("/s") else "")
    else:
        drawn.update_yaxes(ticksuffix=f" {unit}" if unit not in ("", "1") else "")
    if band is not None:
        for low, high, colour in (
            (band.warning, band.critical, ink.warning),
            (band.critical, 1.02, ink.critical),
        ):
            drawn.add_hrect(y0=low, y1=high, fillcolor=ink.alpha(colour, 0.13), line_width=0, layer="below")


def _byte_ticks(drawn: go.Figure, top: float, suffix: str) -> None:
    """Ticks at round powers of 1024, which Plotly does not know."""
    step = 1.0
    while top / step > 5:
        step *= 2
    ticks = [step * position for position in range(int(top / step) + 2)]
    texts = [fmt.size(tick) + suffix for tick in ticks]
    drawn.update_yaxes(tickvals=ticks, ticktext=texts, range=[0, max(top * 1.1, 1)])
