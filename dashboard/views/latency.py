"""Latency of probed endpoints: percentiles, errors, phases, bands."""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl
import streamlit as st

from dashboard import (
    baseline_bands,
    charts,
    choices,
    controls,
    data,
    latency_over_time,
    latency_parts,
    meanwhile,
    page,
    panels,
)
from dashboard import format as fmt
from dashboard.controls import Scene
from dashboard.data import question

MOST_BARS = 90
"""Bars, or columns of bands, over a window: each is drawn by itself, and half a page has no room for more."""


def questions(scene: Scene) -> dict[str, data.Question]:
    """Everything this page asks, about the endpoints the address names."""
    window, before = scene.window, scene.previous
    chosen: Mapping[str, list[str]] = {name: controls.parameters(name) for name in ("target", "endpoint")}
    bars = min(MOST_BARS, scene.buckets)
    asked = {
        "pooled": question("latency_summary", window, merged=True, **chosen),
        "summary": question("latency_summary", window, **chosen),
        "merged": question("percentile_trend", window, merged=True, buckets=scene.buckets, **chosen),
        "trends": question("percentile_trend", window, buckets=scene.buckets, **chosen),
        "errors": question("errors_by_class", window, buckets=bars, **chosen),
        "phases": question("phase_breakdown", window, buckets=bars, **chosen),
        "heatmap": question("latency_heatmap", window, buckets=bars, **chosen),
        "gaps": question("gaps", window),
        **meanwhile.asked(scene, chosen["target"]),
        **baseline_bands.asked(chosen["target"]),
    }
    if before is not None:
        asked["pooled_before"] = question("latency_summary", before, merged=True, **chosen)
        asked["merged_before"] = question(
            "percentile_trend", before, merged=True, buckets=scene.buckets, **chosen
        )
    return asked


def body(scene: Scene, answers: page.Answers) -> None:
    """The choice, then every panel over the chosen endpoints."""
    known = panels.rows(answers["endpoints"], "Endpoints")
    if known is None:
        return
    if known.is_empty():
        panels.nothing_here(scene, "probe attempts", None)
        return
    percentile = choices.endpoints(known)
    pooled = panels.rows(answers["pooled"], "Latency")
    current = latency_parts.first(pooled)
    if pooled is not None and current is None:
        panels.nothing_here(scene, "attempts of the chosen endpoints", page.newest(choices.chosen(known)))
    merged = panels.rows(answers["merged"], "Latency over time")
    if current is not None and merged is not None:
        before = latency_parts.first(answers.get("pooled_before"))
        panels.cards(latency_parts.cards(current, before, merged, compare=scene.previous is not None))
        latency_over_time.show(scene, answers, merged, percentile)
        meanwhile.listed(scene, answers)
    if current is not None:
        left, right = st.columns(2)
        with left.container(border=True, height="stretch"):
            errors(scene, answers)
        with right.container(border=True, height="stretch"):
            phases(scene, answers)
        with st.container(border=True):
            heatmap(scene, answers["heatmap"])
        with st.container(border=True):
            slowest(answers)


def errors(scene: Scene, answers: page.Answers) -> None:
    """Failed attempts by class."""
    st.header("Errors by class", anchor=False)
    rows = panels.rows(answers["errors"], "Errors by class")
    if rows is None:
        return
    failed = int(rows.filter(pl.col("outcome") != "ok")["attempts"].sum())
    total = int(rows["attempts"].sum())
    if failed == 0:
        st.markdown(f"No errors among {fmt.plural(total, 'attempt')}.")
        return
    drawn = meanwhile.shown(scene, charts.errors(scene.stage, rows), answers)
    controls.chart(scene, drawn, "errors", "Failed attempts by class over time")
    panels.note(f"{fmt.count(failed)} of {fmt.plural(total, 'attempt')} failed; count per bar.")


def phases(scene: Scene, answers: page.Answers) -> None:
    """Where the time goes."""
    st.header("Phases (means)", anchor=False)
    rows = panels.rows(answers["phases"], "Phases")
    if rows is None:
        return
    if rows.is_empty():
        st.markdown("No attempt was answered in this window.")
        return
    drawn = meanwhile.shown(scene, charts.phases(scene.stage, rows), answers)
    controls.chart(scene, drawn, "phases", "Mean time of each phase over time")
    panels.note("Means over answered attempts, because means add up and percentiles do not.")


def heatmap(scene: Scene, answer: data.Answer) -> None:
    """How latency is spread."""
    st.header("Latency bands", anchor=False)
    rows = panels.rows(answer, "Latency bands")
    if rows is None:
        return
    if rows.is_empty():
        st.markdown("No attempt was answered or timed out in this window.")
        return
    controls.chart(
        scene, charts.heatmap(scene.stage, rows), "heatmap", "Attempts by time and band of latency"
    )
    panels.note("Two bands to a doubling; a timeout has a band of its own, above its deadline.")


def slowest(answers: page.Answers) -> None:
    """The chosen endpoints by p95."""
    st.header("Slowest endpoints", anchor=False)
    rows = panels.rows(answers["summary"], "Slowest endpoints")
    if rows is not None:
        latency_parts.endpoint_table(rows, page.frame(answers["trends"]), "slowest")


page.show("API latency", questions, body)
