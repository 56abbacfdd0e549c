"""One query: its text, its numbers compared with before, and its trends."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import streamlit as st

from dashboard import controls, data, page, panels, query_charts
from dashboard import format as fmt
from dashboard.controls import Scene
from dashboard.data import question
from dashboard.panels import Card
from dashboard.query_table import longest, parted

Row = Mapping[str, Any]


def asked(scene: Scene, target: str) -> dict[str, data.Question]:
    """What the detail asks, where the address names a shape."""
    name = controls.parameter("shape")
    if not name:
        return {}
    shape, database = parted(name)
    one = {"target": [target], "shape": [shape], "database": [database]}
    found = {
        "shape_row": question("slow_queries", scene.window, **one),
        "shape_trend": question("query_trend", scene.window, buckets=scene.buckets, **one),
    }
    if scene.previous is not None:
        found["shape_before"] = question("slow_queries", scene.previous, **one)
        found["shape_trend_before"] = question("query_trend", scene.previous, buckets=scene.buckets, **one)
    return found


def show(scene: Scene, answers: page.Answers) -> None:
    """The query the address names; nothing where it names none."""
    if not controls.parameter("shape"):
        panels.note("Select a row to see the whole text and its trends.")
        return
    rows = panels.rows(answers["shape_row"], "Query")
    if rows is None:
        return
    with st.container(border=True, key="query_detail"):
        with st.container(horizontal=True, horizontal_alignment="distribute"):
            st.subheader("Query", anchor=False, width="content")
            st.button(
                "Close",
                icon=":material/close:",
                type="tertiary",
                on_click=controls.remember,
                args=("shape", None),
                key="close_query",
            )
        if rows.is_empty():
            st.markdown("This query was not called in this window. Choose another range, or close it.")
            return
        row = rows.row(0, named=True)
        _text(scene, row)
        before = page.first(answers.get("shape_before"))
        panels.cards(_cards(row, before, compare=scene.previous is not None))
        _trend(scene, answers)


def _text(scene: Scene, row: Row) -> None:
    if row["query"]:
        st.code(
            row["query"],
            language="sql",
            wrap_lines=True,
            height="content" if len(row["query"]) < 1500 else 320,
        )
    else:
        st.markdown("The text of this query is not known: the role may not read it, or it was evicted.")
    seen = (
        f"First seen {fmt.clock(row['first_seen_at'], scene.zone)}, "
        f"last seen {fmt.clock(row['last_seen_at'], scene.zone)}"
    )
    told = [
        fmt.plain(row["category"]),
        f"database {fmt.plain(row['database'])}" if row["database"] else "",
        seen,
    ]
    partial = "The server's counters were reset in this window: the true numbers are higher."
    st.caption(" · ".join(text for text in told if text) + (f". {partial}" if row["is_partial"] else ""))


def _cards(row: Row, before: Row | None, *, compare: bool) -> list[Card]:
    def card(label: str, column: str, told: Any, better: Any = "lower", help_: str = "") -> Card:
        value, past = row[column], before[column] if before else None
        delta: float | None = None
        text = beside = ""
        if compare and (value is None or past is None):
            beside = "nothing before"
        elif compare:
            delta, beside = float(value - past), "vs previous"
            text = f"{'-' if delta < 0 else '+'}{told(abs(delta))}" if delta else ""
        return Card(label, told(value), delta, text, beside, better, help=help_)

    return [
        card("Share of load", "share", fmt.ratio, help_="Of the time all statements took."),
        card("Calls", "calls", fmt.count, "neither"),
        card("Total time", "total_ms", fmt.duration_ms),
        card("Mean", "mean_ms", fmt.duration_ms),
        Card("Max", longest(row), help="≤: no call took longer; the longest itself is not known."),
        card("Rows per call", "rows_per_call", fmt.number, "neither"),
    ]


def _trend(scene: Scene, answers: page.Answers) -> None:
    rows = panels.rows(answers["shape_trend"], "Trends of the query")
    if rows is None or rows.is_empty():
        return
    before = page.frame(answers.get("shape_trend_before"))
    drawn = query_charts.strips(scene.stage, rows, before)
    controls.chart(scene, drawn, "query_trend", "Calls, mean time, load and I/O of the query over time")
    panels.note("Load: calls running at the same time, on average. Drag to zoom; Back undoes.")
