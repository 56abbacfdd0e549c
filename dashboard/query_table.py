"""The table of slow queries: each with its share of the load and a trend of its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from zlib import crc32

import polars as pl
import streamlit as st

from dashboard import controls, panels
from dashboard import format as fmt
from dashboard.controls import Scene
from dashboard.lock_parts import one_line

Row = Mapping[str, Any]

BY = {
    "total": "Total time",
    "mean": "Mean",
    "max": "Max",
    "calls": "Calls",
    "io": "I/O",
    "rows": "Rows",
}
"""What slow queries may be ranked by, and its words."""

DEFAULT_BY = "total"
MOST_SHAPES = 25
TREND_BUCKETS = 30
LEAST_POINTS = 3
NUMBER_WIDTH, QUERY_WIDTH = 66, 230


def chosen_by() -> str:
    """What the address ranks by."""
    asked = controls.parameter("by") or ""
    return asked if asked in BY else DEFAULT_BY


def choose_by() -> None:
    """The control that ranks the table."""
    st.session_state["by_choice"] = chosen_by()
    st.segmented_control(
        "Rank by",
        list(BY),
        format_func=BY.__getitem__,
        key="by_choice",
        required=True,
        on_change=_take_by,
        wrap=True,
    )


def _take_by() -> None:
    choice = st.session_state["by_choice"]
    controls.remember("by", None if choice == DEFAULT_BY else choice)


def name_of(row: Row) -> str:
    """What the address calls a shape: `shape@database`, for the same query may run in several."""
    return f"{row['shape']}@{row['database']}"


def parted(name: str) -> tuple[str, str]:
    """Shape and database of a shape's name in the address."""
    shape, _, database = name.partition("@")
    return shape, database


def show(scene: Scene, rows: pl.DataFrame, trends: pl.DataFrame | None) -> None:
    """The table; a click on a row puts its shape into the address."""
    listed = rows.head(MOST_SHAPES).to_dicts()
    names = [name_of(row) for row in listed]
    asked = controls.parameter("shape") or ""
    lists = _trends(scene, trends)
    shown = _cells(scene, listed, lists)
    if rows["database"].n_unique() == 1:
        shown = shown.drop("database")
    empty = [name for name in ("read", "io", "hit") if (shown[name] == fmt.NOTHING).all()]
    key = f"slow_{crc32(repr((chosen_by(), asked, names)).encode())}"
    st.dataframe(
        shown.drop(empty),
        key=key,
        hide_index=True,
        height="content" if len(listed) <= 12 else 470,
        alt="Slow queries",
        on_select=lambda: _take_shape(key, names),
        selection_mode="single-row",
        selection_default={"selection": {"rows": [names.index(asked)] if asked in names else []}},
        column_config=_columns(),
    )


def _take_shape(key: str, names: list[str]) -> None:
    chosen = st.session_state[key]["selection"]["rows"]
    controls.remember("shape", names[chosen[0]] if chosen else None)


def open_shape(key: str, names: list[str]) -> None:
    """Put the shape of the selected row of another table into the address."""
    chosen = st.session_state[key]["selection"]["rows"]
    if chosen:
        controls.remember("shape", names[chosen[0]])


def _cells(scene: Scene, listed: list[dict[str, Any]], lists: Mapping[str, list[float]]) -> pl.DataFrame:
    def texts(name: str, told: Any) -> pl.Series:
        return pl.Series(name, [told(row) for row in listed], dtype=pl.String)

    return pl.DataFrame(
        [
            texts("query", lambda row: ("◐ " if row["is_partial"] else "") + one_line(query_of(row), 300)),
            texts("database", lambda row: row["database"]),
            texts("category", lambda row: row["category"]),
            pl.Series("share", [row["share"] for row in listed], dtype=pl.Float64),
            pl.Series("trend", [lists.get(name_of(row), []) for row in listed], dtype=pl.List(pl.Float64)),
            texts("total", lambda row: fmt.duration_ms(row["total_ms"])),
            texts("calls", lambda row: fmt.count(row["calls"])),
            texts("mean", lambda row: fmt.duration_ms(row["mean_ms"])),
            texts("max", longest),
            texts("rows", lambda row: fmt.number(row["rows_per_call"])),
            texts("read", lambda row: fmt.count(row["blocks_read"])),
            texts("io", lambda row: fmt.duration_ms(row["io_ms"]) if row["io_ms"] else fmt.NOTHING),
            texts("hit", lambda row: fmt.precise_ratio(row["hit_ratio"])),
            texts("first", lambda row: fmt.time_of(row["first_seen_at"], scene.now, scene.zone)),
            texts("last", lambda row: fmt.time_of(row["last_seen_at"], scene.now, scene.zone)),
        ]
    )


def query_of(row: Row) -> str:
    """The text, or why there is none."""
    return row["query"] or "(text not known)"


def longest(row: Row) -> str:
    """`320 ms` where the longest call is known, `≤ 320 ms` where only a ceiling is."""
    if row["max_ms"] is None:
        return fmt.NOTHING
    return f"{'' if row['max_is_known'] else '≤ '}{fmt.duration_ms(row['max_ms'])}"


def _columns() -> Any:
    kinds = st.column_config

    def number(label: str, help_: str = "", width: int = NUMBER_WIDTH) -> Any:
        return kinds.TextColumn(label, alignment="right", width=width, help=help_ or None)

    return {
        "query": kinds.TextColumn("Query", pinned=True, width=QUERY_WIDTH),
        "database": kinds.TextColumn("Database", width=NUMBER_WIDTH),
        "category": kinds.TextColumn("Class", width=92),
        "share": panels.share_column("Share of load", "Of the time all statements took."),
        "trend": kinds.AreaChartColumn(
            "Load", y_min=0, width=60, help="Time its calls took, over the window."
        ),
        "total": number("Total", width=92),
        "calls": number("Calls", width=96),
        "mean": number("Mean"),
        "max": number("Max", "≤: no call took longer; how long the longest took is not known."),
        "rows": number("Rows/call"),
        "read": number("Blocks read", "From disk or the operating system's cache, beyond the server's own."),
        "io": number("I/O time", "Spent reading and writing blocks, where the server measures it."),
        "hit": number("Cache hit"),
        "first": number("First seen"),
        "last": number("Last seen"),
    }


def _trends(scene: Scene, trends: pl.DataFrame | None) -> dict[str, list[float]]:
    if trends is None or trends.is_empty():
        return {}
    # Cut at the window's ends, the outer buckets hold too little; it would look like a fall.
    whole = trends.filter(
        (pl.col("bucket_at") >= scene.window.start)
        & (pl.col("bucket_at") + pl.duration(seconds=pl.col("bucket_s")) <= scene.past.end)
    )
    trends = trends if whole["bucket_at"].n_unique() < LEAST_POINTS else whole
    # A query that was not called in a bucket in which others were took no time there.
    times = trends.select("bucket_at").unique().sort("bucket_at")
    lists = {}
    for (shape, database), own in trends.partition_by("shape", "database", as_dict=True).items():
        told = times.join(own, on="bucket_at", how="left", maintain_order="left")["total_ms"].fill_null(0.0)
        lists[name_of({"shape": shape, "database": database})] = told.to_list()
    return lists


def partial_note(rows: pl.DataFrame) -> None:
    """What the half circle means, where there is one."""
    if rows.head(MOST_SHAPES)["is_partial"].any():
        panels.note("◐: the server's counters were reset in between, so the true numbers are higher.")
