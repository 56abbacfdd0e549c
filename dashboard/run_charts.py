"""Charts of load test runs over elapsed time, as ECharts options: their node survives each new second."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from dashboard.theme import Palette

BUCKETS = 300
HEIGHT = 220
MINUTES_FROM_S = 600
"""A longer time axis is labelled in minutes."""

FEW_POINTS = 24
SECONDS_FROM_MS = 2000

Option = dict[str, Any]


@dataclass(frozen=True)
class Line:
    """One series: its column, its name, its colour's place in the theme and how it is drawn."""

    column: str
    name: str
    place: int
    dash: str = "solid"
    area: bool = False


@dataclass(frozen=True)
class Axis:
    """The value axis: its unit, and its top where that is fixed."""

    unit: str = ""
    top: float | None = None
    factor: float = 1.0
    """What values are multiplied by to be in the unit."""


MS, PER_S, USERS = Axis("ms"), Axis("/s"), Axis("")
PERCENT = Axis("%", factor=100)
FULL_PERCENT = Axis("%", top=100, factor=100)

LATENCY = (
    Line("p99_ms", "p99", 1, "dotted"),
    Line("p95_ms", "p95", 0),
    Line("p50_ms", "p50", 2),
    Line("service_p95_ms", "p95 without waiting", 6, "dashed"),
)
RATES = (Line("rps", "requests", 0), Line("failures_per_s", "failures", 1, area=True))
PEOPLE = (Line("planned", "planned", 6, "dashed"), Line("users", "users", 2))
GENERATOR = (Line("generator_cpu", "CPU of its busiest process", 3),)


def width_s(length_s: float) -> int:
    """Seconds of a bucket so that a run has at most BUCKETS of them."""
    return max(1, -(-int(length_s) // BUCKETS))


def over_time(
    ink: Palette,
    rows: pl.DataFrame,
    lines: Sequence[Line],
    axis: Axis,
    length_s: float,
    *,
    mark_s: float | None = None,
    sparse: bool = False,
) -> Option:
    """Lines over a run's elapsed time; `rows` has `elapsed_s` and the lines' columns, null where not known.

    `mark_s` is a moment to mark. `sparse` lines were sampled at different times: each is joined over the
    moments of the others.
    """
    drawn = [line for line in lines if line.column in rows.columns]
    minutes = length_s >= MINUTES_FROM_S
    factor, unit = _scaled(rows, drawn, axis)
    columns = [
        (pl.col("elapsed_s") / (60 if minutes else 1)).round(3).alias("elapsed"),
        *((pl.col(line.column).cast(pl.Float64) * factor).round(4).alias(line.name) for line in drawn),
    ]
    option = _frame(ink, axis, unit, [line.name for line in drawn])
    option["dataset"] = {"source": rows.select(columns)}
    option["xAxis"] |= {
        "max": round(length_s / (60 if minutes else 1), 3),
        "axisLabel": {
            "formatter": "{value} min" if minutes else "{value} s",
            "color": ink.muted,
            "hideOverlap": True,
        },
    }
    few = len(rows) <= FEW_POINTS
    option["series"] = [_series(ink, line, few=few, sparse=sparse) for line in drawn]
    if mark_s is not None and drawn:
        at = round(mark_s / (60 if minutes else 1), 3)
        option["series"][0]["markLine"] = _mark(ink, at, "broke here")
    return option


def _mark(ink: Palette, at: float, text: str) -> Option:
    return {
        "symbol": "none",
        "silent": True,
        "lineStyle": {"color": ink.critical, "type": "dashed", "width": 1.5},
        "label": {"formatter": text, "color": ink.critical, "position": "insideEndTop"},
        "data": [{"xAxis": at}],
    }


def _scaled(rows: pl.DataFrame, lines: Sequence[Line], axis: Axis) -> tuple[float, str]:
    """What to multiply by, and the unit: seconds where milliseconds become long."""
    if axis.unit != "ms":
        return axis.factor, axis.unit
    tops = [rows[line.column].max() for line in lines]
    top = max((float(value) for value in tops if isinstance(value, int | float)), default=0.0)
    return (0.001, "s") if top >= SECONDS_FROM_MS else (1.0, "ms")


def _frame(ink: Palette, axis: Axis, unit: str, names: Sequence[str]) -> Option:
    shown = {"%": "%.3g %%", "ms": "%.3g ms", "s": "%.3g s", "/s": "%.3g/s"}.get(unit, f"%.4g {unit}".strip())
    return {
        "animation": False,
        "grid": {"left": 8, "right": 16, "top": 34, "bottom": 4, "containLabel": True},
        "legend": {
            "show": len(names) > 1,
            "left": 0,
            "top": 0,
            "type": "scroll",
            "itemWidth": 18,
            "itemHeight": 8,
            "icon": "roundRect",
            "textStyle": {"color": ink.text},
            "data": list(names),
        },
        "tooltip": {"trigger": "axis", "valueFormatter": shown, "confine": True},
        "xAxis": {
            "type": "value",
            "min": 0,
            "splitLine": {"show": False},
            "axisLine": {"lineStyle": {"color": ink.muted}},
            "axisPointer": {"label": {"precision": 1}},
        },
        "yAxis": {
            "type": "value",
            "min": 0,
            **({"max": axis.top, "interval": axis.top / 4} if axis.top is not None else {}),
            "splitNumber": 4,
            "axisLabel": {"formatter": f"{{value}} {unit}".strip(), "color": ink.muted},
            "splitLine": {"lineStyle": {"color": ink.alpha(ink.muted, 0.25)}},
        },
    }


def _series(ink: Palette, line: Line, *, few: bool, sparse: bool) -> Option:
    colour = ink.of(line.place)
    return {
        "type": "line",
        "name": line.name,
        "encode": {"x": "elapsed", "y": line.name, "tooltip": [line.name]},
        "showSymbol": few,
        "symbol": "circle",
        "symbolSize": 4,
        "connectNulls": sparse,
        "lineStyle": {"color": colour, "width": 1.8, "type": line.dash},
        "itemStyle": {"color": colour},
        **({"areaStyle": {"color": ink.alpha(colour, 0.25)}} if line.area else {}),
    }


def spots(
    ink: Palette,
    parts: Mapping[str, pl.DataFrame],
    x: tuple[str, str],
    y: tuple[str, str],
    *,
    line_at: float | None = None,
    line_text: str = "",
) -> Option:
    """Points of several groups; a vertical line where something happens.

    `x` and `y` are column and unit; a group's name is data.
    """
    option = _frame(ink, Axis(), y[1], list(parts))
    option["xAxis"] |= {"axisLabel": {"formatter": f"{{value}} {x[1]}".strip(), "color": ink.muted}}
    option["tooltip"] = {"trigger": "item", "confine": True}
    series: list[Option] = []
    for place, (name, rows) in enumerate(parts.items()):
        points = rows.sort(x[0]).select(x[0], y[0]).drop_nulls().rows()
        series.append(
            {
                "type": "scatter",
                "name": name,
                "symbol": "triangle" if place else "circle",
                "data": [[round(float(at), 3), round(float(value), 3)] for at, value in points],
                "symbolSize": 9,
                "itemStyle": {"color": ink.of(place)},
            }
        )
    if line_at is not None and series:
        series[0]["markLine"] = _mark(ink, round(line_at, 3), line_text)
    option["series"] = series
    return option
