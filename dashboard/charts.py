"""Answers about latency as Plotly figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import plotly.graph_objects as go
import polars as pl

from dashboard import format as fmt
from dashboard.axes import Stage, figure, line, shade_gaps

PERCENTILES = (50, 95, 99)
SECONDS_FROM_MS = 2_000
"""A latency axis that reaches this is labelled in seconds."""

LOWER_HEIGHT = 240
MOST_BAND_LABELS = 10

MOST_LINES = 10
"""Lines a chart can show and a reader tell apart."""

_STYLE: Mapping[int, tuple[int, str]] = {50: (2, "solid"), 95: (0, "solid"), 99: (1, "dot")}
_OUTCOME_COLOUR = {
    "timeout": 1,
    "bad_status": 7,
    "assertion": 3,
    "refused": 0,
    "reset": 5,
    "dns": 2,
    "tls": 8,
    "unreachable": 9,
    "protocol": 4,
    "too_large": 6,
}
PHASES = (
    ("connect_ms", "connect", 0),
    ("tls_ms", "TLS", 3),
    ("first_byte_ms", "first byte", 1),
    ("download_ms", "download", 2),
)


def percentile_texts(rows: pl.DataFrame, percentile: int) -> list[str]:
    """What hovering a percentile tells: the value, n, and whether n is too few."""
    texts = []
    for value, above, n in rows.select(f"p{percentile}_ms", f"p{percentile}_above", "n").iter_rows():
        warned = fmt.too_few(n, percentile)
        texts.append(f"{fmt.duration_ms(value, above=bool(above))} ({warned or f'n = {fmt.count(n)}'})")
    return texts


def few(rows: pl.DataFrame, percentiles: Sequence[int] = PERCENTILES) -> str:
    """Which percentiles most buckets hold too few attempts for; empty when there are enough."""
    usual = rows.filter(pl.col("n") > 0)["n"].median()
    if not isinstance(usual, float):
        return ""
    wanting = [f"p{p} (wants {fmt.MIN_N[p]})" for p in percentiles if usual < fmt.MIN_N[p]]
    if not wanting:
        return ""
    told = f"Most points stand on n = {fmt.count(usual)} attempts or fewer: too few for "
    return f"{told}{' and '.join(wanting)}, which there is the slowest of them."


def latency(
    stage: Stage,
    rows: pl.DataFrame,
    previous: pl.DataFrame | None = None,
    gaps: pl.DataFrame | None = None,
) -> go.Figure:
    """p50, p95 and p99 of pooled attempts over time, the maximum beside them, the previous p95 behind."""
    drawn = figure(stage)
    ink = stage.palette
    if previous is not None and not previous.is_empty():
        moved = previous.with_columns(pl.col("bucket_at") + stage.window.span)
        texts = percentile_texts(previous, 95)
        drawn.add_trace(
            line(stage, moved, "p95_ms", "p95 previous", ink.muted, texts, dash="dash", width=1.3)
        )
    drawn.add_trace(_maximum(stage, rows))
    for percentile in reversed(PERCENTILES):
        position, dash = _STYLE[percentile]
        texts = percentile_texts(rows, percentile)
        name, colour = f"p{percentile}", ink.of(position)
        drawn.add_trace(line(stage, rows, f"p{percentile}_ms", name, colour, texts, dash=dash))
    _mark_above(drawn, stage, rows, PERCENTILES)
    shade_gaps(drawn, stage, gaps)
    return _in_ms(drawn)


def latency_by_endpoint(
    stage: Stage, rows: pl.DataFrame, percentile: int, gaps: pl.DataFrame | None = None
) -> go.Figure:
    """One percentile over time, one line per endpoint, the maximum of all beside them."""
    drawn = figure(stage)
    several = rows["target"].n_unique() > 1
    for position, ((target, endpoint), own) in enumerate(by_endpoint(rows)):
        name = fmt.chart_text(f"{target} {endpoint}" if several else endpoint)
        texts = percentile_texts(own, percentile)
        colour = stage.palette.of(position)
        drawn.add_trace(line(stage, own, f"p{percentile}_ms", name, colour, texts))
    drawn.add_trace(_maximum(stage, rows.group_by("bucket_at", "bucket_s").agg(pl.col("max_ms").max())))
    _mark_above(drawn, stage, rows, (percentile,))
    shade_gaps(drawn, stage, gaps)
    return _in_ms(drawn)


def by_endpoint(rows: pl.DataFrame) -> Sequence[tuple[tuple[str, str], pl.DataFrame]]:
    """The rows of the endpoints with most attempts, in the order of their names."""
    busiest = rows.group_by("target", "endpoint").agg(pl.col("n").sum()).top_k(MOST_LINES, by="n")
    chosen = rows.join(busiest.select("target", "endpoint"), on=["target", "endpoint"], how="semi")
    parts = chosen.sort("bucket_at").partition_by("target", "endpoint", as_dict=True)
    return [
        ((str(key[0]), str(key[1])), part) for key, part in sorted(parts.items(), key=lambda item: item[0])
    ]


def _maximum(stage: Stage, rows: pl.DataFrame) -> go.Scatter:
    known = rows.filter(pl.col("max_ms").is_not_null()).sort("bucket_at")
    return go.Scatter(
        x=stage.times(known["bucket_at"]),
        y=known["max_ms"].to_numpy(),
        name="max",
        mode="markers",
        marker={"color": stage.palette.muted, "size": 4, "symbol": "line-ew-open"},
        customdata=np.array([fmt.duration_ms(value) for value in known["max_ms"]], dtype=object),
        hovertemplate="max: %{customdata}<extra></extra>",
    )


def _mark_above(drawn: go.Figure, stage: Stage, rows: pl.DataFrame, percentiles: Sequence[int]) -> None:
    """Mark the points that stand for timeouts: the truth lies above their deadline."""
    marked = [
        rows.filter(pl.col(f"p{percentile}_above")).select("bucket_at", value=f"p{percentile}_ms")
        for percentile in percentiles
    ]
    above = pl.concat(marked).unique()
    if above.is_empty():
        return
    drawn.add_trace(
        go.Scatter(
            x=stage.times(above["bucket_at"]),
            y=above["value"].to_numpy(),
            name="above the deadline",
            mode="markers",
            marker={"color": stage.palette.critical, "size": 8, "symbol": "triangle-up"},
            hoverinfo="skip",
        )
    )


def _in_ms(drawn: go.Figure) -> go.Figure:
    """Label a latency axis, in seconds where milliseconds become long."""
    tops = [float(np.nanmax(trace.y)) for trace in drawn.data if len(trace.y) and not np.isnan(trace.y).all()]
    top = max(tops, default=0.0)
    if top < SECONDS_FROM_MS:
        drawn.update_yaxes(ticksuffix=" ms")
        return drawn
    for trace in drawn.data:
        trace.y = trace.y / 1000
    drawn.update_yaxes(ticksuffix=" s")
    return drawn


def errors(stage: Stage, rows: pl.DataFrame) -> go.Figure:
    """Attempts that failed over time, stacked by how."""
    drawn = figure(stage, height=LOWER_HEIGHT)
    failed = rows.filter(pl.col("outcome") != "ok")
    for (outcome,), own in sorted(failed.partition_by("outcome", as_dict=True).items()):
        name, position = str(outcome).replace("_", " "), _OUTCOME_COLOUR.get(str(outcome), 6)
        texts = [fmt.count(attempts) for attempts in own["attempts"]]
        drawn.add_trace(_bars(stage, own, "attempts", name, stage.palette.of(position), texts))
    drawn.update_layout(barmode="stack")
    drawn.update_yaxes(tickformat=",d", dtick=1 if failed.is_empty() or _tallest(failed) <= 5 else None)
    return drawn


def _tallest(failed: pl.DataFrame) -> int:
    return int(failed.group_by("bucket_at").agg(pl.col("attempts").sum())["attempts"].max() or 0)  # type: ignore[arg-type]


def phases(stage: Stage, rows: pl.DataFrame) -> go.Figure:
    """Mean time of each phase over time, stacked to the total; the name look-up lies beside it."""
    drawn = figure(stage, height=LOWER_HEIGHT)
    ink = stage.palette
    for column, name, position in PHASES:
        texts = [fmt.duration_ms(value) for value in rows[column]]
        drawn.add_trace(_bars(stage, rows, column, name, ink.of(position), texts))
    if rows["dns_ms"].is_not_null().any():
        texts = [fmt.duration_ms(value) for value in rows["dns_ms"]]
        drawn.add_trace(line(stage, rows, "dns_ms", "DNS (before the total)", ink.text, texts, dash="dot"))
    drawn.update_layout(barmode="stack")
    drawn.update_yaxes(ticksuffix=" ms")
    return drawn


def _bars(
    stage: Stage, rows: pl.DataFrame, column: str, name: str, colour: str, texts: Sequence[str]
) -> go.Bar:
    """Stacked bars as wide as their buckets: where there is no bucket there is no bar."""
    return go.Bar(
        x=stage.times(rows["bucket_at"]),
        y=rows[column].cast(pl.Float64).to_numpy(),
        width=int(rows["bucket_s"][0]) * 1000 if len(rows) else 1,
        offset=0,
        name=name,
        customdata=np.array(texts, dtype=object),
        hovertemplate="%{fullData.name}: %{customdata}<extra></extra>",
        marker={"color": colour, "line": {"width": 0}},
    )


def heatmap(stage: Stage, rows: pl.DataFrame) -> go.Figure:
    """Attempts by time and band of latency, light to strong; timeouts in a band of their own on top."""
    drawn = figure(stage, height=280, legend=False)
    measured = rows.filter(pl.col("high_ms").is_not_null())
    bands, names = _bands(measured)
    timeouts = sorted(rows.filter(pl.col("high_ms").is_null())["low_ms"].unique())
    names += [f"timeout > {fmt.duration_ms(low)}" for low in timeouts]
    places: dict[tuple[float, bool], int] = {(low, False): at for at, low in enumerate(bands)}
    places |= {(low, True): len(bands) + at for at, low in enumerate(timeouts)}
    times = np.unique(stage.times(rows["bucket_at"]))
    cells = np.full((len(names), len(times)), np.nan)
    at_time = np.searchsorted(times, stage.times(rows["bucket_at"]))
    columns = rows.select("low_ms", pl.col("high_ms").is_null().alias("open"), "attempts").iter_rows()
    for column, (low, beyond, attempts) in zip(at_time, columns, strict=True):
        place = places[(low, beyond)] if beyond else _nearest(bands, low)
        cells[place, column] = attempts
    ink = stage.palette
    half = np.timedelta64(int(rows["bucket_s"][0]) * 500, "ms") if len(rows) else np.timedelta64(0, "ms")
    drawn.add_trace(
        go.Heatmap(
            x=times + half,
            y=names,
            z=cells,
            colorscale=[[0, ink.alpha(ink.primary, 0.18)], [1, ink.primary]],
            colorbar={"title": {"text": "attempts"}, "thickness": 10, "outlinewidth": 0},
            hovertemplate="%{y}<br>%{z} attempts<extra></extra>",
            hoverongaps=False,
            ygap=1,
        )
    )
    drawn.update_layout(hovermode="closest")
    every = -(-len(bands) // MOST_BAND_LABELS) or 1
    labelled = [*names[: len(bands) : every], *names[len(bands) :]]
    drawn.update_yaxes(type="category", tickvals=labelled, gridcolor="rgba(0,0,0,0)")
    return drawn


def _bands(measured: pl.DataFrame) -> tuple[list[float], list[str]]:
    """Every band from the lowest to the highest that was met, empty ones too, and their names."""
    if measured.is_empty():
        return [], []
    ratio = float((measured["high_ms"] / measured["low_ms"]).median() or 2.0)  # type: ignore[arg-type]
    low, top = (float(value) for value in measured["low_ms"].sort().gather([0, -1]))
    steps = round(np.log(top / low) / np.log(ratio))
    edges = [low * ratio**step for step in range(steps + 2)]
    names = [f"{fmt.duration_ms(lower)} to {fmt.duration_ms(upper)}" for lower, upper in pairwise(edges)]
    return edges[:-1], names


def _nearest(bands: Sequence[float], low: float) -> int:
    return int(np.abs(np.log(np.array(bands)) - np.log(low)).argmin())


def sparkline(rows: pl.DataFrame, column: str) -> list[Any]:
    """The values of a small line without axes; missing ones left out."""
    return rows.sort("bucket_at")[column].drop_nulls().to_list()
