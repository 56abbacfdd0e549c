"""Queries by what they do, and those that look like trouble, with the evidence."""

from __future__ import annotations

import polars as pl
import streamlit as st

from dashboard import data, panels
from dashboard import format as fmt
from dashboard.lock_parts import one_line
from dashboard.query_table import query_of

MOST_SUSPECTS = 10


def classes(answer: data.Answer) -> None:
    """Shares of calls and time of each class."""
    st.header("Queries by class", anchor=False)
    rows = panels.rows(answer, "Queries by class")
    if rows is None:
        return
    if rows.is_empty():
        panels.note("No statement was counted in this window.")
        return
    shown = pl.DataFrame(
        {
            "class": rows["category"],
            "time": rows["share_time"],
            "calls": rows["share_calls"],
            "number": [fmt.count(value) for value in rows["calls"]],
            "shapes": [fmt.count(value) for value in rows["shapes"]],
            "mean": [fmt.duration_ms(value) for value in rows["mean_ms"]],
        }
    )
    kinds = st.column_config
    st.dataframe(
        shown,
        key="classes",
        hide_index=True,
        height="content",
        alt="Queries by class",
        column_config={
            "class": kinds.TextColumn("Class", pinned=True),
            "time": panels.share_column("Share of time"),
            "calls": panels.share_column("Share of calls"),
            "number": kinds.TextColumn("Calls", alignment="right"),
            "shapes": kinds.TextColumn("Queries", alignment="right"),
            "mean": kinds.TextColumn("Mean", alignment="right"),
        },
    )


def suspects(answer: data.Answer) -> None:
    """Queries there is a reason to look at, each with the number that speaks for it."""
    st.header("Worth a look", anchor=False)
    rows = panels.rows(answer, "Queries worth a look")
    if rows is None:
        return
    if rows.is_empty():
        panels.note(
            "No query touches many blocks for each row, spills to disk, misses the cache, lacks an index "
            "or looks like a loop of look-ups."
        )
        return
    listed = rows.head(MOST_SUSPECTS).to_dicts()
    shown = pl.DataFrame(
        {
            "query": [one_line(query_of(row), 300) for row in listed],
            "reason": [row["reason"] for row in listed],
            "evidence": [f"{fmt.number(row['value'])} {row['unit']}" for row in listed],
            "total": [fmt.duration_ms(row["total_ms"]) for row in listed],
        }
    )
    kinds = st.column_config
    st.dataframe(
        shown,
        key="suspects",
        hide_index=True,
        height="content",
        alt="Queries worth a look",
        column_config={
            "query": kinds.TextColumn("Query", pinned=True, width=220),
            "reason": kinds.TextColumn("Why"),
            "evidence": kinds.TextColumn("Evidence", alignment="right"),
            "total": kinds.TextColumn("Total time", alignment="right"),
        },
    )
