"""The tables of a PostgreSQL: size, dead and free share, and how long ago they were vacuumed."""

from __future__ import annotations

from typing import Any

import polars as pl
import streamlit as st

from dashboard import format as fmt
from dashboard import panels

METRICS = (
    "table_bytes",
    "table_dead_ratio",
    "table_free_ratio",
    "vacuum_age_s",
    "analyze_age_s",
    "seq_scans_per_s",
)
BLOATED = 0.2
"""From which share of dead rows a table wants a vacuum: autovacuum's own default."""

DAY_S = 86_400.0


def show(now: pl.DataFrame | None) -> None:
    """The watched tables, the largest first; nothing where the engine has none."""
    if now is None:
        return
    rows = now.filter(pl.col("metric").is_in(METRICS) & (pl.col("object") != ""))
    if rows.is_empty():
        return
    listed = [_row(name, own) for name, own in _by_table(rows)]
    listed.sort(key=lambda row: (-(row["bytes"] or 0.0), row["Table"]))
    shown = pl.DataFrame(listed, infer_schema_length=None).drop("bytes")
    empty = [name for name in shown.columns if shown[name].null_count() == len(shown)]
    kinds = st.column_config
    with st.container(border=True):
        st.header("Tables", anchor=False)
        st.dataframe(
            shown.drop(empty),
            key="tables",
            hide_index=True,
            placeholder=fmt.NOTHING,
            height="content" if len(listed) <= 10 else 380,
            alt="Tables by size",
            column_config={
                "Table": kinds.TextColumn(pinned=True),
                "Dead": panels.share_column("Dead rows"),
                "Free": panels.share_column("Free space"),
                **{
                    name: kinds.TextColumn(alignment="right")
                    for name in ("Size", "Last vacuum", "Last analyze", "Full scans/s")
                },
            },
        )
        bloated = [row["Table"] for row in listed if (row["Dead"] or 0.0) >= BLOATED]
        if bloated:
            panels.note(
                f"A fifth or more of the rows is dead in {fmt.plain(', '.join(bloated))}: run `VACUUM`, or "
                "let autovacuum run more often there (`autovacuum_vacuum_scale_factor`)."
            )


def _by_table(rows: pl.DataFrame) -> list[tuple[str, dict[str, dict[str, Any]]]]:
    parts = rows.partition_by("object", as_dict=True)
    return [(str(name), {row["metric"]: row for row in own.to_dicts()}) for (name,), own in parts.items()]


def _row(name: str, own: dict[str, dict[str, Any]]) -> dict[str, Any]:
    def value(metric: str) -> float | None:
        return own[metric]["value"] if metric in own else None

    def age(metric: str) -> str | None:
        if metric not in own:
            return None
        seconds = own[metric]["value"]
        return "never" if seconds is None else _age(seconds)

    scans = value("seq_scans_per_s")
    return {
        "Table": name,
        "bytes": value("table_bytes"),
        "Size": fmt.size(value("table_bytes")),
        "Dead": value("table_dead_ratio"),
        "Free": value("table_free_ratio"),
        "Last vacuum": age("vacuum_age_s"),
        "Last analyze": age("analyze_age_s"),
        "Full scans/s": None if scans is None else fmt.number(scans),
    }


def _age(seconds: float) -> str:
    return f"{seconds / DAY_S:.1f} d ago" if seconds >= DAY_S else f"{fmt.seconds(seconds)} ago"
