"""What is wrong first, then how everything does."""

from __future__ import annotations

import polars as pl
import streamlit as st

from dashboard import (
    charts,
    controls,
    data,
    database_overview,
    health,
    latency_parts,
    meanwhile,
    page,
    panels,
    problems,
)
from dashboard.axes import gaps_of
from dashboard.controls import Scene
from dashboard.data import question
from dashboard.resource_charts import BANDS


def questions(scene: Scene) -> dict[str, data.Question]:
    """Everything this page asks."""
    window, before = scene.window, scene.previous
    asked = {
        "pooled": question("latency_summary", window, merged=True),
        "summary": question("latency_summary", window),
        "trend": question("percentile_trend", window, merged=True, buckets=scene.buckets),
        "trends": question("percentile_trend", window, buckets=latency_parts.SPARK_BUCKETS),
        "jobs": question("collector_jobs", scene.past),
        "states": question("endpoint_states", problems.reach(scene)),
        "load": question("host_trend", problems.load_window(scene), metric=list(BANDS), buckets=1),
        "gaps": question("gaps", window),
        **meanwhile.asked(scene),
        "host_now": question("host_now", window),
        "host_trend": question(
            "host_trend", window, metric=list(health.SHOWN), buckets=latency_parts.SPARK_BUCKETS
        ),
        **database_overview.questions(scene),
    }
    if before is not None:
        asked["pooled_before"] = question("latency_summary", before, merged=True)
        asked["trend_before"] = question("percentile_trend", before, merged=True, buckets=scene.buckets)
    return asked


def body(scene: Scene, answers: page.Answers) -> None:
    """Problems, cards, latency, endpoints, databases, hosts."""
    summary = panels.rows(answers["summary"], "Endpoints")
    jobs = panels.rows(answers["jobs"], "Collectors")
    states = panels.rows(answers["states"], "States of the endpoints")
    health.badges(jobs, states)
    load = panels.rows(answers["load"], "Load of the hosts")
    changed = page.frame(answers["regressions"])
    health.show_problems(scene, jobs, states, load, database_overview.found(scene, answers), changed)
    pooled, trend = (
        panels.rows(answers["pooled"], "Cards"),
        panels.rows(answers["trend"], "Latency over time"),
    )
    current = latency_parts.first(pooled)
    if pooled is not None and current is None:
        panels.nothing_here(scene, "probe attempts", page.newest(answers["endpoints"]))
    if current is not None and trend is not None:
        before = latency_parts.first(answers.get("pooled_before"))
        panels.cards(latency_parts.cards(current, before, trend, compare=scene.previous is not None))
        latency(scene, trend, answers)
        meanwhile.listed(scene, answers)
    if summary is not None and len(summary):
        with st.container(border=True):
            st.header("Endpoints by p95 of their probes", anchor=False)
            latency_parts.endpoint_table(summary, page.frame(answers["trends"]), "by_p95")
    database_overview.show(answers)
    with st.container(border=True):
        st.header("Hosts", anchor=False)
        health.host_table(answers["host_now"], answers["host_trend"])


def latency(scene: Scene, trend: pl.DataFrame, answers: page.Answers) -> None:
    """Percentiles of all probes, pooled."""
    with st.container(border=True):
        st.header("API latency, all probed endpoints pooled", anchor=False)
        before, gaps = (page.frame(answers.get(name)) for name in ("trend_before", "gaps"))
        drawn = charts.latency(scene.stage, trend, before, gaps_of(gaps, kind="probe"))
        meanwhile.shown(scene, drawn, answers, labelled=True)
        controls.chart(scene, drawn, "overview_latency", "p50, p95, p99 and maximum of all probes over time")
        panels.note(
            "Percentiles of all attempts together, not means of percentiles. Drag to zoom; Back undoes. "
            + charts.few(trend)
        )


page.show("Overview", questions, body)
