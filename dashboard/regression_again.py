"""Judging an endpoint again: what would have been told under other thresholds, beside what was."""

from __future__ import annotations

from datetime import timedelta

import polars as pl
import streamlit as st

from dashboard import data, panels
from dashboard import format as fmt
from dashboard import regression_words as words
from dashboard.controls import Scene
from dashboard.data import question
from dashboard.window import Window, absolute

BEFORE, AFTER = timedelta(days=4), timedelta(days=3)
METRICS = ("p50_ms", "p95_ms", "p99_ms", "error_ratio")


def show(scene: Scene, row: words.Row) -> None:
    """Thresholds to try, and what comes of them in the days around a change of an endpoint."""
    if row["kind"] != "probe" or row["point_s"] != 300:
        return
    with st.expander("Judge these days again under other thresholds", icon=":material/tune:"):
        with st.form("judge_again", border=False), st.container(horizontal=True, vertical_alignment="bottom"):
            metric = st.selectbox(
                "Number",
                METRICS,
                METRICS.index(row["metric"]),
                format_func=lambda name: words.METRICS[name],
                key="again_metric",
            )
            percent = st.number_input("Smallest, %", 1, 1000, 10, key="again_percent")
            ms = st.number_input("Smallest, ms", 0.0, 60_000.0, 1.0, key="again_ms")
            caution = st.number_input(
                "Caution",
                0.25,
                100.0,
                1.0,
                step=0.25,
                key="again_caution",
                help="How much evidence a change needs; 1 is what the watch asks for.",
            )
            asked = st.form_submit_button("Judge", icon=":material/gavel:")
        if asked:
            with st.spinner("Judging point by point"):
                _told(scene, row, str(metric), smallest=(percent / 100, ms), caution=caution)


def _told(
    scene: Scene, row: words.Row, metric: str, *, smallest: tuple[float, float], caution: float
) -> None:
    """What would have been told of those days, and what was."""
    start, end = row["changed_at"] - BEFORE, min(row["changed_at"] + AFTER, scene.now)
    window = Window(start, end, absolute(start, end))
    answers = data.ask(
        {
            "again": question(
                "judge_again",
                window,
                target=row["target"],
                endpoint=row["object"],
                metric=metric,
                smallest_ratio=smallest[0],
                smallest_ms=smallest[1],
                caution=caution,
            ),
            "points": question("change_points", window, target=[row["target"]], kind=["probe"]),
        }
    )
    again, points = panels.rows(answers["again"], "Judging again"), panels.rows(answers["points"], "Changes")
    if again is None or points is None:
        return
    was = points.filter((pl.col("object") == row["object"]) & (pl.col("metric") == metric))
    span = fmt.window_text(start, end, scene.zone)
    would = f"**{fmt.plural(len(again), 'change')}** would have been told"
    st.markdown(f"{span}: {would}; {fmt.count(len(was))} told in truth.")
    if again.is_empty():
        return
    listed = again.to_dicts()
    unit = "ratio" if metric == "error_ratio" else "ms"
    st.dataframe(
        pl.DataFrame(
            {
                "Changed": [fmt.time_of(each["at"], scene.now, scene.zone) for each in listed],
                "Told": [fmt.time_of(each["told_at"], scene.now, scene.zone) for each in listed],
                "What": [each["verdict"] for each in listed],
                "From": [words.value(each["before"], unit) for each in listed],
                "To": [words.value(each["after"], unit) for each in listed],
                "Size": [words.size(each) for each in listed],
            }
        ),
        hide_index=True,
        key="again_table",
        alt="What would have been told",
    )
