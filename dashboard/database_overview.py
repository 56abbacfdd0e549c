"""Databases on the overview: what is wrong with them, and a line for each."""

from __future__ import annotations

from typing import Any

import polars as pl
import streamlit as st

from dashboard import data, database_parts, database_problems, page, panels, query_latency, query_parts
from dashboard import format as fmt
from dashboard.controls import Scene
from dashboard.data import question
from dashboard.database_advice import QUIET, WORDS
from dashboard.database_charts import CONNECTIONS_BAND
from dashboard.database_numbers import in_window, whole_server
from dashboard.database_problems import Found
from dashboard.query_latency import DEFAULT_OBJECTIVE_MS

METRICS = ("connections", "connections_usable", "connections_used_ratio")
TRENDS = ("cache_hit_ratio", "transactions_per_s")


def questions(scene: Scene) -> dict[str, data.Question]:
    """What the overview asks of databases."""
    past = scene.past
    return {
        "databases": question("databases"),
        "database_states": question("database_states", past),
        "database_now": question("database_now", past, metric=list(METRICS)),
        "database_trend": question("database_trend", scene.window, metric=list(TRENDS), buckets=1),
        **{
            f"database_latency {objective:g}": question("query_latency", scene.window, objective_ms=objective)
            for objective in _objectives()
        },
    }


def _objectives() -> set[float]:
    """The objectives that any database is held against; each makes a question of its own."""
    return {DEFAULT_OBJECTIVE_MS, *(float(own.objective_ms) for own in database_parts.configured().values())}


def _p95(target: str, answers: page.Answers) -> str:
    """The interval in which the query time p95 lies, and its verdict against the database's own objective."""
    rows = page.frame(answers.get(f"database_latency {query_parts.objective_ms(target):g}"))
    best = query_latency.best(None if rows is None else rows.filter(pl.col("target") == target))
    if best is None or best["verdict"] == "no_data":
        return fmt.NOTHING
    told = query_latency.interval(best["p95_low_ms"], best["p95_high_ms"])
    return f"{told} ({query_latency.verdict_words(best)})"


def _cache_hit(target: str, answers: page.Answers) -> str:
    """The mean over the window, of the database with most transactions where there are several."""
    rows = page.frame(answers["database_trend"])
    if rows is None:
        return fmt.NOTHING
    own = whole_server(rows.filter(pl.col("target") == target))
    return fmt.precise_ratio(in_window(own, "cache_hit_ratio")[0])


def found(scene: Scene, answers: page.Answers) -> Found:
    """What is wrong with any of them."""
    states, now = page.frame(answers["database_states"]), page.frame(answers["database_now"])
    return database_problems.found(scene, states, now)


def show(answers: page.Answers) -> None:
    """A line for each database; nothing where none is watched."""
    known = panels.rows(answers["databases"], "Databases")
    if known is None or known.is_empty():
        return
    states, now = page.frame(answers["database_states"]), page.frame(answers["database_now"])
    listed = [_line(row, states, now, answers) for row in known.to_dicts()]
    kinds = st.column_config
    with st.container(border=True):
        st.header("Databases", anchor=False)
        st.dataframe(
            pl.DataFrame(listed),
            key="database_table",
            hide_index=True,
            height="content" if len(listed) <= 8 else 320,
            alt="Databases",
            column_config={
                name: kinds.TextColumn(name, alignment="right")
                for name in ("Connections", "Cache hit", "Query time p95")
            },
        )


def _line(
    row: dict[str, Any], states: pl.DataFrame | None, now: pl.DataFrame | None, answers: page.Answers
) -> dict[str, str]:
    target = row["target"]
    used = database_problems.value_of(now, target, "connections_used_ratio")
    band = CONNECTIONS_BAND.state(used)
    return {
        "Database": target,
        "Engine": row["engine"],
        "State": _state(target, states),
        "Connections": database_problems.pool_words(now, target)
        + (f", {band}" if band in ("warning", "critical") else ""),
        "Cache hit": _cache_hit(target, answers),
        "Query time p95": _p95(target, answers),
    }


def _state(target: str, states: pl.DataFrame | None) -> str:
    """The connection's state, or what else is not well."""
    if states is None:
        return fmt.NOTHING
    own = {row["part"]: row["state"] for row in states.filter(pl.col("target") == target).to_dicts()}
    connection = own.get("connection")
    if connection is None:
        return "no word in this window"
    if connection != "ok":
        return WORDS.get(connection, connection)
    bad = [f"{part}: {WORDS.get(state, state)}" for part, state in own.items() if state not in QUIET]
    return ", ".join(bad) or "ok"
