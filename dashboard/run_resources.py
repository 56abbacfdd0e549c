"""What the target's hosts and databases did during a run, on the run's own time axis."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl
import streamlit as st

from dashboard import data, panels, run_charts
from dashboard import format as fmt
from dashboard.controls import Scene
from dashboard.resource_charts import NAMES
from dashboard.run_charts import Axis, Line

MOST_LINES = 5
LONGEST_NAME = 60


@dataclass(frozen=True)
class Group:
    """A chart: of what kind, which metrics, in what unit, and what to say where there is none."""

    title: str
    kind: str
    metrics: Sequence[str]
    axis: Axis
    note: str
    absent: str


GROUPS = (
    Group(
        "Hosts",
        "host",
        ("cpu_ratio", "memory_used_ratio", "disk_busy_ratio"),
        run_charts.FULL_PERCENT,
        "Every watched host; CPU of all its cores.",
        "No host was sampled in that time: a `[host]` in the configuration has one watched.",
    ),
    Group(
        "Processes",
        "process",
        ("process_cpu_ratio",),
        run_charts.PERCENT,
        "CPU in percent of one core, all processes of a name together.",
        "",
    ),
    Group(
        "Database connections and locks",
        "database",
        ("connections_active", "connections", "connections_waiting", "lock_waits"),
        Axis(),
        "Every watched database.",
        "No database was sampled in that time: a `[[database]]` in the configuration has one watched.",
    ),
    Group(
        "Query load",
        "query",
        ("sessions",),
        Axis(),
        "Sessions that were busy with a query, on average: those that took most time.",
        "",
    ),
)
WORDS = {
    **NAMES,
    "connections": "connections",
    "connections_active": "active connections",
    "connections_waiting": "waiting connections",
    "lock_waits": "waits for locks",
    "sessions": "",
    "process_cpu_ratio": "",
}


def show(scene: Scene, answer: data.Answer, length_s: float, mark_s: float | None) -> None:
    """A chart a group, or what would have it measured."""
    rows = panels.rows(answer, "Hosts and databases")
    if rows is None:
        return
    with st.grid(2, min_column_width=320, gap="small"):
        for group in GROUPS:
            lines, wide = _lines(rows.filter(pl.col("kind") == group.kind), group)
            if not lines and not group.absent:
                continue
            with st.container(border=True, height="stretch"):
                st.header(group.title, anchor=False)
                if not lines:
                    st.markdown(group.absent)
                    continue
                option = run_charts.over_time(
                    scene.stage.palette, wide, lines, group.axis, length_s, mark_s=mark_s, sparse=True
                )
                draw(option, group.title, f"{group.title} during the run")
                panels.note(group.note)


def draw(option: Mapping[str, Any], title: str, alt: str) -> None:
    """A chart whose node stays while its data changes."""
    name = title.partition(",")[0].replace(" ", "_").lower()
    st.echarts_chart(
        dict(option), height=run_charts.HEIGHT, key=f"run_{name}", alt=f"{alt} over elapsed time"
    )


def _lines(rows: pl.DataFrame, group: Group) -> tuple[list[Line], pl.DataFrame]:
    """The series with the highest values, each in a column of its own."""
    known = rows.filter(pl.col("metric").is_in(list(group.metrics)) & pl.col("value").is_not_null())
    if known.is_empty():
        return [], known
    busiest = (
        known.group_by("metric", "object")
        .agg(pl.col("value").max())
        .sort(pl.col("metric").replace_strict({name: at for at, name in enumerate(group.metrics)}), "object")
    )
    if len(busiest) > MOST_LINES:
        busiest = busiest.top_k(MOST_LINES, by="value").sort("object", "metric")
    lines, wide = [], known.select("elapsed_s").unique().sort("elapsed_s")
    for place, (metric, thing, _) in enumerate(busiest.iter_rows()):
        column = f"line{place}"
        own = known.filter((pl.col("metric") == metric) & (pl.col("object") == thing))
        own = own.group_by("elapsed_s").agg(pl.col("value").max().alias(column))
        wide = wide.join(own, on="elapsed_s", how="left")
        lines.append(Line(column, _named(thing, metric), place))
    return lines, wide.sort("elapsed_s")


def _named(thing: str, metric: str) -> str:
    name = fmt.option(f"{thing} {WORDS.get(metric, metric)}".strip())
    return name if len(name) <= LONGEST_NAME else f"{name[: LONGEST_NAME - 1]}…"
