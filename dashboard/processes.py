"""Tables of what uses a host: the hungriest processes and the watched ones."""

from __future__ import annotations

from typing import Any

import polars as pl
import streamlit as st

from dashboard import data, panels
from dashboard import format as fmt

ROWS = 8


def show(answer: data.Answer, now: pl.DataFrame | None, host: str) -> None:
    """Top processes by CPU and by memory, then those the configuration watches."""
    rows = panels.rows(answer, "Processes")
    if rows is None:
        return
    left, right = st.columns(2)
    for place, title, column in ((left, "CPU", "cpu_ratio_mean"), (right, "memory", "memory_bytes_mean")):
        with place.container(border=True, height="stretch"):
            st.markdown(f"**Top processes by {title}**")
            known = rows.filter(pl.col(column).is_not_null()).top_k(ROWS, by=column)
            if known.is_empty():
                panels.note("No process was sampled in this window.")
            else:
                _table(known, f"top_{column}", f"Processes by {title}")
    settings = data.configuration().host
    if settings is not None and settings.name == host and settings.processes:
        with st.container(border=True):
            st.markdown("**Watched processes**")
            _watched(rows, now, list(settings.processes))
    panels.note(
        "CPU is a share of one core. Only the hungriest and the watched are sampled: "
        "a mean stands on the n samples in which the name was among them."
    )


def _table(rows: pl.DataFrame, key: str, alt: str) -> None:
    listed = rows.to_dicts()
    top = max((row["cpu_ratio_mean"] or 0 for row in listed), default=0) or 1
    biggest = max((row["memory_bytes_mean"] or 0 for row in listed), default=0) or 1
    by_cpu = "cpu" in key
    shown = pl.DataFrame(
        {
            "process": [row["process"] for row in listed],
            "bar": [
                float(
                    (row["cpu_ratio_mean"] or 0) / top
                    if by_cpu
                    else (row["memory_bytes_mean"] or 0) / biggest
                )
                for row in listed
            ],
            "cpu": [_pair(row, "cpu_ratio", fmt.ratio) for row in listed],
            "memory": [_pair(row, "memory_bytes", fmt.size) for row in listed],
            "n": [fmt.count(row["n"]) for row in listed],
        }
    )
    kinds = st.column_config
    st.dataframe(
        shown,
        key=key,
        hide_index=True,
        height="content",
        alt=alt,
        column_config={
            "process": kinds.TextColumn("Process", pinned=True),
            "bar": kinds.ProgressColumn("Share", format=" ", min_value=0, max_value=1, width="small"),
            "cpu": kinds.TextColumn("CPU mean (max)", alignment="right"),
            "memory": kinds.TextColumn("Memory mean (max)", alignment="right"),
            "n": kinds.TextColumn("n", alignment="right"),
        },
    )


def _pair(row: dict[str, Any], name: str, shown: Any) -> str:
    mean, most = row[f"{name}_mean"], row[f"{name}_max"]
    return fmt.NOTHING if mean is None else f"{shown(mean)} ({shown(most)})"


def _watched(rows: pl.DataFrame, now: pl.DataFrame | None, names: list[str]) -> None:
    """Each watched name: whether it runs, and what it uses."""
    seen = {row["process"]: row for row in rows.to_dicts()}
    counts: dict[str, float | None] = {}
    if now is not None:
        counted = now.filter(pl.col("metric") == "process_count")
        counts = dict(counted.select("object", "value").iter_rows())
    listed = []
    for name in names:
        row, running = seen.get(name), counts.get(name)
        state = (
            "not sampled"
            if row is None
            else "not running"
            if not running
            else f"{fmt.count(running)} running"
        )
        listed.append(
            {
                "Process": name,
                "State": state,
                "CPU mean (max)": _pair(row, "cpu_ratio", fmt.ratio) if row else fmt.NOTHING,
                "Memory mean (max)": _pair(row, "memory_bytes", fmt.size) if row else fmt.NOTHING,
            }
        )
    st.dataframe(
        pl.DataFrame(listed), key="watched", hide_index=True, height="content", alt="Watched processes"
    )
