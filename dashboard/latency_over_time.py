"""Latency of the chosen endpoints over time: one percentile of each with its baseline, and all pooled."""

from __future__ import annotations

import polars as pl
import streamlit as st

from dashboard import (
    baseline_bands,
    baseline_parts,
    charts,
    choices,
    controls,
    meanwhile,
    page,
    panels,
)
from dashboard.axes import gaps_of
from dashboard.controls import Scene


def show(scene: Scene, answers: page.Answers, merged: pl.DataFrame, percentile: int) -> None:
    """One percentile per endpoint, and all percentiles of the pooled attempts."""
    trends, known = panels.rows(answers["trends"], "Endpoints over time"), page.frame(answers["endpoints"])
    gaps = gaps_of(page.frame(answers["gaps"]), [] if known is None else choices.probes(known))
    if trends is not None:
        with st.container(border=True):
            st.header(f"Probes p{percentile} per endpoint", anchor=False)
            _per_endpoint(scene, answers, trends, percentile, gaps)
    with st.container(border=True):
        st.header("Probes of the chosen endpoints, pooled", anchor=False)
        before = page.frame(answers.get("merged_before"))
        drawn = charts.latency(scene.stage, merged, before, gaps)
        meanwhile.shown(scene, drawn, answers, labelled=True)
        controls.chart(scene, drawn, "pooled", "p50, p95, p99 and maximum of the pooled probes over time")
        panels.note(f"Percentiles of all attempts together, never means of percentiles. {charts.few(merged)}")


def _per_endpoint(
    scene: Scene, answers: page.Answers, trends: pl.DataFrame, percentile: int, gaps: pl.DataFrame | None
) -> None:
    """The chart of each endpoint, at what level its baseline is, and a link to how they compare."""
    levels = page.frame(answers["levels"])
    drawn = charts.latency_by_endpoint(scene.stage, trends, percentile, gaps)
    baseline_bands.draw(drawn, scene.stage, trends, levels, percentile)
    meanwhile.shown(scene, drawn, answers, labelled=True)
    controls.chart(
        scene, drawn, f"by_endpoint_p{percentile}", f"p{percentile} of each chosen endpoint over time"
    )
    amount = trends.select("target", "endpoint").n_unique()
    hidden = (
        f" The {charts.MOST_LINES} with most attempts of {amount} are drawn."
        if amount > charts.MOST_LINES
        else ""
    )
    told = f"{charts.few(trends, [percentile])} {baseline_bands.note(levels, percentile)}"
    panels.note(f"Drag to zoom; Back undoes. Grey: due and not measured.{hidden} {told}")
    baseline_parts.link(controls.parameter("target"))
