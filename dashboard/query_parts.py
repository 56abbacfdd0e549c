"""What was asked of a database: load, p95, slow queries, what changed, and what they do."""

from __future__ import annotations

from datetime import datetime

import polars as pl
import streamlit as st

from dashboard import (
    controls,
    data,
    database_charts,
    database_parts,
    meanwhile,
    page,
    panels,
    query_changes,
    query_charts,
    query_detail,
    query_latency,
    query_patterns,
    query_table,
)
from dashboard import format as fmt
from dashboard.controls import Scene
from dashboard.data import question

P95_BUCKETS = 60
"""Buckets of the p95 over time: each is bounded for itself, which costs more than a sum."""

MARKED = {
    "statements_resets_total": "reset",
    "statistics_resets_total": "reset",
    "statements_evictions_total": "evicted",
}
"""Counts of what happened to the statistics themselves, and the word on a chart."""


def objective_ms(target: str) -> float:
    """The objective of a database's query time."""
    own = database_parts.configured().get(target)
    return float(own.objective_ms) if own else query_latency.DEFAULT_OBJECTIVE_MS


def questions(scene: Scene, target: str) -> dict[str, data.Question]:
    """What is asked about the queries of one database."""
    window, one = scene.window, {"target": [target]}
    judged = {**one, "objective_ms": objective_ms(target)}
    asked = {
        "latency": question("query_latency", window, **judged),
        "latency_trend": question("query_latency_trend", window, buckets=P95_BUCKETS, **judged),
        "load": question("query_load", window, buckets=scene.buckets, **one),
        "slow": question(
            "slow_queries", window, by=query_table.chosen_by(), limit=query_table.MOST_SHAPES, **one
        ),
        "kept": question("kept_since"),
        "changes": query_changes.asked(scene, target),
        "patterns": question("query_patterns", window, **one),
        "suspects": question("query_suspects", window, **one),
        **query_detail.asked(scene, target),
    }
    if scene.previous is not None:
        asked["latency_before"] = question("query_latency", scene.previous, **judged)
    return asked


def shown_trends(scene: Scene, target: str, slow: pl.DataFrame | None) -> pl.DataFrame | None:
    """The small trends of the queries in the table: asked once these are known."""
    if slow is None or slow.is_empty():
        return None
    shapes = slow.head(query_table.MOST_SHAPES)["shape"].unique().sort().to_list()
    asked = question(
        "query_trend", scene.window, target=[target], shape=shapes, buckets=query_table.TREND_BUCKETS
    )
    return page.frame(data.ask({"trends": asked})["trends"])


def marks(trend: pl.DataFrame | None) -> list[tuple[datetime, str]]:
    """When statistics were reset or statements evicted."""
    if trend is None:
        return []
    rows = trend.filter(pl.col("metric").is_in(list(MARKED)) & (pl.col("sum") > 0)).sort("bucket_at")
    return [(at, MARKED[metric]) for at, metric in rows.select("bucket_at", "metric").iter_rows()]


def show(
    scene: Scene, answers: page.Answers, engine: str, target: str, found: list[tuple[datetime, str]]
) -> None:
    """Load and p95 side by side, then the slow queries and what changed."""
    load = panels.rows(answers["load"], "Load by class")
    if load is not None and load.is_empty():
        _no_statistics(answers)
        return
    left, right = st.columns(2)
    with left.container(border=True, height="stretch"):
        _load(scene, answers, load, found)
    with right.container(border=True, height="stretch"):
        _p95(scene, answers, engine, target)
    with st.container(border=True):
        _slow(scene, answers, target)
    with st.container(border=True):
        query_changes.show(scene, answers["changes"], page.frame(answers["kept"]))
    left, right = st.columns(2)
    with left.container(border=True, height="stretch"):
        query_patterns.classes(answers["patterns"])
    with right.container(border=True, height="stretch"):
        query_patterns.suspects(answers["suspects"])


def _no_statistics(answers: page.Answers) -> None:
    """Why no query can be shown."""
    states = page.frame(answers["states"])
    own = pl.DataFrame() if states is None else states.filter(pl.col("part") == "statements")
    with st.container(border=True):
        st.header("No query statistics in this window", anchor=False)
        if len(own) and own["state"][0] == "ok":
            st.markdown(
                "The first look is only a baseline: statistics are what changed between two looks, so the "
                "first are here one interval later. A server that nobody asks has none either."
            )
        else:
            st.markdown("What stands above about its statements tells why; other numbers are below.")


def _load(
    scene: Scene, answers: page.Answers, load: pl.DataFrame | None, found: list[tuple[datetime, str]]
) -> None:
    st.header("Queries running, by class", anchor=False)
    if load is None:
        return
    drawn = query_charts.load(scene.stage, load)
    database_charts.mark(drawn, scene.stage, found)
    meanwhile.shown(scene, drawn, answers)
    controls.chart(scene, drawn, "query_load", "Queries running on average, by class, over time")
    panels.note(f"How many ran at the same time on average. {_told(scene, found)}")


def _told(scene: Scene, found: list[tuple[datetime, str]]) -> str:
    """`Statistics were reset at 14:03:00.`, and the same of evictions."""
    texts = []
    for word, sentence in (("reset", "Statistics were reset"), ("evicted", "Statements were evicted")):
        times = [fmt.time_of(at, scene.now, scene.zone) for at, told in found if told == word]
        if times:
            rest = f" and {len(times) - 3} times before" if len(times) > 3 else ""
            texts.append(f"{sentence} at {', '.join(times[-3:])}{rest}: numbers there are too low.")
    return " ".join(texts)


def _p95(scene: Scene, answers: page.Answers, engine: str, target: str) -> None:
    objective = objective_ms(target)
    st.header("Query time p95", anchor=False)
    rows = panels.rows(answers["latency_trend"], "Query time over time")
    if rows is not None:
        known = rows.filter(pl.col("is_best") & pl.col("method").is_not_null())
        if known.is_empty():
            panels.note("No call of a query was counted in this window.")
        else:
            drawn = query_charts.bracket(scene.stage, known, objective)
            meanwhile.shown(scene, drawn, answers)
            controls.chart(scene, drawn, "query_p95", "Between what the query time p95 lay over time")
            panels.note(
                f"The truth lies in the band; dashed: the objective, {fmt.duration_ms(objective)}. "
                "Over the whole window:"
            )
    whole = page.frame(answers["latency"])
    if whole is not None:
        query_latency.sources(engine, whole)
    if scene.previous is not None:
        panels.note(query_latency.before_words(query_latency.best(page.frame(answers["latency_before"]))))


def _slow(scene: Scene, answers: page.Answers, target: str) -> None:
    with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"):
        st.header("Slow queries", anchor=False, width="content")
        query_table.choose_by()
    rows = panels.rows(answers["slow"], "Slow queries")
    if rows is not None and len(rows):
        query_table.show(scene, rows, shown_trends(scene, target, rows))
        query_table.partial_note(rows)
        query_detail.show(scene, answers)
