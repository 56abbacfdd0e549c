"""What a database was asked, on its page: load, query time, slow queries, changes and patterns."""

from __future__ import annotations

from datetime import datetime

import polars as pl
import streamlit as st

from dashboard import (
    controls,
    data,
    database_charts,
    database_parts,
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

OBJECTIVE_MS = 100.0
"""Where this machine's configuration does not know the database."""


def objective_ms(target: str) -> float:
    """The query time that 95 % of the calls should stay below."""
    own = database_parts.configured().get(target)
    return own.objective_ms if own else OBJECTIVE_MS


def questions(scene: Scene, engine: str, target: str) -> dict[str, data.Question]:
    """Everything about queries; nothing for servers that tell of none."""
    if engine == "redis":
        return {}
    window, one = scene.window, {"target": [target]}
    judged = {**one, "objective_ms": objective_ms(target)}
    asked = {
        "slow": question(
            "slow_queries", window, by=query_table.chosen_by(), limit=query_table.MOST_SHAPES, **one
        ),
        "load": question("query_load", window, buckets=scene.buckets, **one),
        "changes": question(
            "query_changes", query_changes.window(scene), since=query_changes.moment(scene)[1], **one
        ),
        "patterns": question("query_patterns", window, **one),
        "suspects": question("query_suspects", window, **one),
        "latency": question("query_latency", window, **judged),
        "latency_trend": question("query_latency_trend", window, buckets=60, **judged),
        **query_detail.asked(scene, target),
    }
    if scene.previous is not None:
        asked["latency_before"] = question("query_latency", scene.previous, **judged)
    return asked


def show(scene: Scene, answers: page.Answers, trend: pl.DataFrame | None) -> None:
    """Load and query time, the slow queries with the chosen one, then what changed and what stands out."""
    load, slow = panels.rows(answers["load"], "Load"), panels.rows(answers["slow"], "Slow queries")
    if load is None or slow is None:
        return
    if load.is_empty():
        _none()
        return
    _over_time(scene, answers, load, trend)
    with st.container(border=True):
        st.header("Slow queries", anchor=False)
        query_table.choose_by()
        names = [query_table.parted(query_table.name_of(row))[0] for row in slow.to_dicts()]
        query_table.show(scene, slow, _trends(scene, slow, names))
        query_table.partial_note(slow)
        query_detail.show(scene, answers)
    with st.container(border=True):
        query_changes.show(scene, answers["changes"])
    left, right = st.columns(2)
    with left.container(border=True, height="stretch"):
        query_patterns.classes(answers["patterns"])
    with right.container(border=True, height="stretch"):
        query_patterns.suspects(answers["suspects"])


def _none() -> None:
    with st.container(border=True):
        st.header("No query statistics in this window", anchor=False)
        st.markdown(
            "The first sample only sets the mark from which calls are counted; the next one tells. If none "
            "come, the state of `statements` above says why."
        )


def _over_time(scene: Scene, answers: page.Answers, load: pl.DataFrame, trend: pl.DataFrame | None) -> None:
    left, right = st.columns(2)
    with left.container(border=True, height="stretch"):
        st.header("Load by class", anchor=False)
        drawn = query_charts.load(scene.stage, load)
        database_charts.mark(drawn, scene.stage, _marks(trend))
        controls.chart(scene, drawn, "db_load", "Calls running at once, by what they do")
        panels.note("How many calls ran at once, on average." + _marks_note(scene, trend))
    with right.container(border=True, height="stretch"):
        st.header("Query time p95", anchor=False)
        told = panels.rows(answers["latency_trend"], "Query time p95")
        best = query_latency.rows_of(answers)[0]
        if told is None or best is None or best["verdict"] == "no_data":
            panels.note("No call that reads or writes was counted in this window.")
            return
        own = told.filter(pl.col("method") == best["method"])
        drawn = query_charts.bracket(scene.stage, own, best["objective_ms"])
        controls.chart(scene, drawn, "db_p95", "Between what the p95 of the query time lay")
        panels.note(f"The truth lies within the band. {query_latency.note(best)}")


def _marks(trend: pl.DataFrame | None) -> list[tuple[datetime, str]]:
    """When the statistics were reset, and when statements were evicted from them."""
    if trend is None:
        return []
    words = dict(zip(database_charts.MARKS, ("reset", "evicted"), strict=True))
    found = trend.filter(pl.col("metric").is_in(database_charts.MARKS) & (pl.col("max") > 0))
    told = found.sort("bucket_at").select("bucket_at", "metric")
    return [(at, words[metric]) for at, metric in told.iter_rows()]


def _marks_note(scene: Scene, trend: pl.DataFrame | None) -> str:
    resets = [at for at, word in _marks(trend) if word == "reset"]
    if not resets:
        return ""
    when = ", ".join(fmt.time_of(at, scene.now, scene.zone) for at in resets[-3:])
    return f" Statistics were reset at {when}: the true numbers there are higher."


def _trends(scene: Scene, slow: pl.DataFrame, shapes: list[str]) -> pl.DataFrame | None:
    """Load over time of the listed queries, one question for all."""
    if not shapes:
        return None
    asked = question(
        "query_trend",
        scene.window,
        target=slow["target"].unique().to_list(),
        shape=sorted(set(shapes)),
        buckets=query_table.TREND_BUCKETS,
    )
    return page.frame(data.ask({"trends": asked})["trends"])
