"""What a host is made of, in a line above its charts."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import polars as pl
import streamlit as st

from dashboard import format as fmt
from dashboard import panels, resource_charts
from dashboard.resource_charts import BANDS

HELD = {"memory_total_bytes": "memory", "cores": "cores", "swap_used_bytes": "swap used"}
NO_SWAP = "no swap"
SILENT = timedelta(minutes=5)
"""A host without a sample for so long may do otherwise than its newest one says."""


def summary(host: str, now: pl.DataFrame, at: datetime) -> None:
    """What the host is made of, and the state of the banded resources at `at`, the window's end.

    Of a host that had been silent for a while then nothing is known but how it did before.
    """
    plain = now.filter(pl.col("object") == "")
    values = {
        metric: (value, unit) for metric, value, unit in plain.select("metric", "value", "unit").iter_rows()
    }
    newest: datetime = max(now["at"].to_list())
    is_silent = at - newest > SILENT
    with st.container(horizontal=True, vertical_alignment="center"):
        if is_silent:
            panels.badge(f"silent: newest sample {fmt.age(newest, at)}", "silent")
        for metric in ("cpu_ratio", "memory_used_ratio"):
            value = values.get(metric, (None, ""))[0]
            name = resource_charts.NAMES[metric]
            state = "unknown" if is_silent else BANDS[metric].state(value)
            panels.badge(f"{name} {'was ' if is_silent else ''}{fmt.ratio(value)}", state)
        told = [
            NO_SWAP
            if key == "swap_used_bytes" and without_swap(now)
            else f"{fmt.quantity(values[key][0], values[key][1])} {words}"
            for key, words in HELD.items()
            if key in values
        ]
        st.caption(f"{fmt.plain(host)}: {', '.join(told)}")


def without_swap(now: pl.DataFrame) -> bool:
    """Whether the host has no swap: then its share cannot be measured, and none is used."""
    newest: dict[str, tuple[Any, str]] = {
        row["metric"]: (row["value"], row["outcome"]) for row in now.to_dicts()
    }
    share, used = (newest.get(name, (None, "")) for name in ("swap_used_ratio", "swap_used_bytes"))
    return share[1] == "not_measurable" and used[0] is not None and float(used[0]) == 0
