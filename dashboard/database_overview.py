"""Databases on the overview: what is wrong with them, and a line for each."""

from __future__ import annotations

from typing import Any

import polars as pl
import streamlit as st

from dashboard import data, database_problems, page, panels, query_latency
from dashboard import format as fmt
from dashboard.controls import Scene
from dashboard.data import question
from dashboard.database_advice import QUIET, WORDS
from dashboard.database_charts import CONNECTIONS_BAND
from dashboard.database_problems import Found

METRICS = ("connections", "connections_usable", "connections_used_ratio", "cache_hit_ratio")


def questions(scene: Scene) -> dict[str, data.Question]:
    """What the overview asks of databases."""
    past = scene.past
    return {
        "databases": question("databases"),
        "database_states": question("database_states", past),
        "database_now": question("database_now", past, metric=list(METRICS)),
        "database_latency": question("query_latency", scene.window),
    }


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
    latency = page.frame(answers["database_latency"])
    listed = [_line(row, states, now, latency) for row in known.to_dicts()]
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
    row: dict[str, Any], states: pl.DataFrame | None, now: pl.DataFrame | None, latency: pl.DataFrame | None
) -> dict[str, str]:
    target = row["target"]
    used = database_problems.value_of(now, target, "connections_used_ratio")
    band = CONNECTIONS_BAND.state(used)
    best = None
    if latency is not None:
        own = latency.filter((pl.col("target") == target) & pl.col("is_best"))
        best = own.row(0, named=True) if len(own) else None
    p95 = fmt.NOTHING
    if best is not None and best["verdict"] != "no_data":
        told = query_latency.interval(best["p95_low_ms"], best["p95_high_ms"])
        p95 = f"{told} ({query_latency.VERDICTS[best['verdict']]})"
    return {
        "Database": target,
        "Engine": row["engine"],
        "State": _state(target, states),
        "Connections": database_problems.pool_words(now, target)
        + (f", {band}" if band in ("warning", "critical") else ""),
        "Cache hit": fmt.precise_ratio(database_problems.value_of(now, target, "cache_hit_ratio")),
        "Query time p95": p95,
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
