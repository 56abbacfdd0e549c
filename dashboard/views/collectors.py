"""What measures, what fails, what was missed, and what is stored."""

from __future__ import annotations

import polars as pl
import streamlit as st

from dashboard import choices, controls, data, health, page, panels, resource_charts, stored
from dashboard.controls import Scene
from dashboard.data import question

DAEMON = (
    ("CPU (share of one core)", ("cpu_ratio",), "mean", "ratio"),
    ("Memory", ("memory_bytes",), "max", "bytes"),
    ("Spool waiting for the warehouse", ("spool_bytes",), "max", "bytes"),
    ("Loop lag, longest", ("loop_lag_max_ms",), "max", "ms"),
)
"""Title, metrics, which number of a bucket, and the unit."""

COUNTERS = {
    "spool_dropped_total": "dropped from the full spool",
    "spool_refused_total": "refused by the warehouse",
}


def chosen_source(known: data.Answer) -> str | None:
    """The collector the address names, or the first."""
    names = sources(known)
    asked = controls.parameter("source")
    return asked if asked in names else names[0] if names else None


def sources(known: data.Answer) -> list[str]:
    """Every collector that ever sent anything."""
    return sorted(known["source"].unique()) if isinstance(known, pl.DataFrame) else []


def questions(scene: Scene) -> dict[str, data.Question]:
    """Everything this page asks."""
    window = scene.window
    source = chosen_source(data.ask({"freshness": data.question("freshness")})["freshness"])
    return {
        "jobs": question("collector_jobs", scene.past),
        "health": question(
            "collector_health", window, source_name=[source] if source else [], buckets=scene.buckets
        ),
        "gaps": question("gaps", window),
        "events": question("events", window),
        "storage": question("storage"),
    }


def body(scene: Scene, answers: page.Answers) -> None:
    """Jobs, the daemon's own numbers, what was missed, what is stored."""
    jobs = panels.rows(answers["jobs"], "Jobs")
    if jobs is not None:
        health.badges(jobs, None)
        health.show_problems(scene, jobs)
        with st.container(border=True):
            st.header("Jobs", anchor=False)
            stored.jobs(scene, jobs)
    names = sources(answers["freshness"])
    if names:
        st.header("The daemon itself", anchor=False)
        choices.one("Collector", "source", names)
        daemon(scene, answers)
    left, right = st.columns(2)
    with left.container(border=True, height="stretch"):
        st.header("Gaps", anchor=False)
        stored.gaps(scene, panels.rows(answers["gaps"], "Gaps"))
    with right.container(border=True, height="stretch"):
        st.header("Events", anchor=False)
        stored.events(scene, panels.rows(answers["events"], "Events"))
    with st.container(border=True):
        st.header("Storage", anchor=False)
        stored.storage(scene, panels.rows(answers["storage"], "Storage"))


def daemon(scene: Scene, answers: page.Answers) -> None:
    """CPU, memory, spool and loop lag of the collector's process."""
    rows = panels.rows(answers["health"], "The daemon's own numbers")
    if rows is None:
        return
    if rows.is_empty():
        st.markdown("It reported nothing about itself in this window.")
        return
    lost = rows.filter(pl.col("metric").is_in(list(COUNTERS)) & (pl.col("max") > 0))
    for metric, most in lost.group_by("metric").agg(pl.col("max").max()).iter_rows():
        st.warning(
            f"{most:,.0f} rows {COUNTERS[metric]} since the collector started.", icon=":material/warning:"
        )
    with st.grid(4, min_column_width=210, gap="small"):
        for title, metrics, column, _ in DAEMON:
            with st.container(border=True, height="stretch"):
                st.markdown(f"**{title}**")
                own = rows.filter(pl.col("metric").is_in(metrics) & (pl.col("n") > 0))
                if own.is_empty():
                    panels.note("Not reported in this window.")
                    continue
                drawn = resource_charts.resource(scene.stage, own, column=column)
                drawn.update_layout(height=180)
                controls.chart(scene, drawn, f"daemon_{metrics[0]}", f"{title} of the collector over time")


page.show("Collectors", questions, body)
