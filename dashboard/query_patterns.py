"""Queries by what they do, and those that look like trouble, with the evidence."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import polars as pl
import streamlit as st

from dashboard import controls, data, panels
from dashboard import format as fmt
from dashboard.lock_parts import one_line
from dashboard.query_table import name_of, open_shape, query_of

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
    """Queries worth a look, each with the number that speaks for it."""
    st.header("Worth a look", anchor=False)
    rows = panels.rows(answer, "Suspects")
    if rows is None:
        return
    if rows.is_empty():
        panels.note(
            "No query touches many blocks for each row, spills to disk, misses the cache, lacks an index "
            "or looks like a loop of look-ups."
        )
        return
    listed = rows.head(MOST_SUSPECTS).to_dicts()
    names = [name_of(row) for row in listed]
    key = f"suspects_{controls.parameter('shape') or ''}"
    kinds = st.column_config
    st.dataframe(
        pl.DataFrame(
            {
                "query": [one_line(query_of(row), 300) for row in listed],
                "why": [row["reason"] for row in listed],
                "evidence": [_evidence(row) for row in listed],
                "calls": [fmt.count(row["calls"]) for row in listed],
                "total": [fmt.duration_ms(row["total_ms"]) for row in listed],
            }
        ),
        key=key,
        hide_index=True,
        height="content",
        alt="Queries worth a look",
        on_select=lambda: open_shape(key, names),
        selection_mode="single-row",
        column_config={
            "query": kinds.TextColumn("Query", pinned=True, width=180),
            "why": kinds.TextColumn("Why"),
            "evidence": kinds.TextColumn("Evidence", alignment="right"),
            "calls": kinds.TextColumn("Calls", alignment="right"),
            "total": kinds.TextColumn("Total", alignment="right"),
        },
    )
    if len(rows) > MOST_SUSPECTS:
        panels.note(f"The {MOST_SUSPECTS} with most time of {len(rows)} are shown.")


def _evidence(row: Mapping[str, Any]) -> str:
    """`2,300 blocks (from 1,000)`."""
    told = fmt.ratio if row["unit"] == "of calls" else fmt.number
    return f"{told(row['value'])} {row['unit']} (from {told(row['threshold'])})"
