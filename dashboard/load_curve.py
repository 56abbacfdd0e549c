"""Load against throughput and latency over all runs of a scenario, with the knee."""

from __future__ import annotations

from typing import Any

import polars as pl
import streamlit as st

from dashboard import choices, data, panels, run_charts, run_resources
from dashboard import format as fmt
from dashboard.controls import Scene
from dashboard.data import question


def show(scene: Scene, everything: pl.DataFrame) -> None:
    """The plots of one scenario; nothing while no run has ended."""
    ended = everything.filter(pl.col("ended_at").is_not_null() & pl.col("started_at").is_not_null())
    if ended.is_empty():
        return
    scenarios = ended["scenario"].unique(maintain_order=True).to_list()
    with st.container(border=True, key="load_curve"):
        st.header("Load against latency", anchor=False)
        scenario = choices.one("Scenario", "curve", scenarios)
        rows = panels.rows(
            data.ask({"curve": question("load_curve", scenario=scenario)})["curve"], "Load against latency"
        )
        if rows is not None:
            _targets(scene, rows, scenario)


def _targets(scene: Scene, rows: pl.DataFrame, scenario: str) -> None:
    if rows.is_empty():
        st.markdown(
            f"No run of {fmt.plain(scenario)} held a number of users for 5 seconds yet, so there is nothing "
            "to "
            "plot: try a preset with steps, such as **stress**."
        )
        return
    for (target,), own in rows.partition_by("target", as_dict=True, maintain_order=True).items():
        st.markdown(f"**{fmt.plain(target)}**: {_knee(own)}")
        with st.grid(2, min_column_width=320, gap="small"):
            for title, column, unit in (
                ("Requests a second", "rps", "/s"),
                ("p95, corrected", "p95_ms", "ms"),
            ):
                with st.container():
                    st.markdown(title)
                    run_resources.draw(_option(scene, own, column, unit), f"curve {column} {target}", title)
    near = " Percentiles of old runs are within 1 %." if "1s" in rows["tier"] else ""
    panels.note(
        f"Each point is a plateau of a run of {fmt.plain(scenario)}: its planned users held for 5 s and "
        "more, the "
        "first 2 s left out. ▲ generator-bound: it tells of the generator, and is left out of the knee."
        + near
    )


def _knee(own: pl.DataFrame) -> str:
    first: dict[str, Any] = own.row(0, named=True)
    points = fmt.plural(int(first["knee_n"]), "plateau", "plateaus")
    if first["knee_users"] is None:
        return f"no knee is known: {fmt.plain(first['knee_why'])} ({points})."
    return (
        f"the knee lies near **{fmt.plural(round(first['knee_users']), 'user')}**; beyond them throughput no "
        "longer "
        f"grows, at most {fmt.number(first['knee_rps'])}/s ({points})."
    )


def _option(scene: Scene, own: pl.DataFrame, column: str, unit: str) -> dict[str, Any]:
    parts = {}
    groups = (
        ("plateaus", ~pl.col("is_generator_bound")),
        ("▲ generator-bound", pl.col("is_generator_bound")),
    )
    for name, wanted in groups:
        rows = own.filter(wanted & pl.col(column).is_not_null())
        if len(rows):
            parts[name] = rows
    return run_charts.spots(
        scene.stage.palette,
        parts,
        ("users", "users"),
        (column, unit),
        line_at=own["knee_users"][0],
        line_text="knee",
    )
