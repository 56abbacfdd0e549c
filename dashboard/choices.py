"""What a reader picks on a page: endpoints, a host, a collector. Kept in the address."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import polars as pl
import streamlit as st

from dashboard import controls
from dashboard import format as fmt
from dashboard.charts import PERCENTILES

DEFAULT_PERCENTILE = "95"


def endpoints(known: pl.DataFrame) -> int:
    """Targets, endpoints and the percentile to compare them by; none chosen means all."""
    targets = controls.parameters("target")
    offered = known.filter(pl.col("target").is_in(targets)) if targets else known
    asked = controls.parameter("percentile") or ""
    percentile = asked if asked in [str(percentile) for percentile in PERCENTILES] else DEFAULT_PERCENTILE
    with st.container(horizontal=True, vertical_alignment="bottom"):
        _several("Target", "target", sorted(known["target"].unique()))
        _several("Endpoint", "endpoint", sorted(offered["endpoint"].unique()))
        st.session_state["percentile_choice"] = percentile
        st.segmented_control(
            "Percentile per endpoint",
            [str(percentile) for percentile in PERCENTILES],
            format_func=lambda text: f"p{text}",
            key="percentile_choice",
            required=True,
            on_change=_take,
            args=("percentile", "percentile_choice"),
        )
    return int(percentile)


def chosen(known: pl.DataFrame) -> pl.DataFrame:
    """The known endpoints that the address names."""
    for name in ("target", "endpoint"):
        named = controls.parameters(name)
        if named:
            known = known.filter(pl.col(name).is_in(named))
    return known


def probes(known: pl.DataFrame) -> list[str]:
    """The jobs that probe the endpoints the address names."""
    named = chosen(known).select("target", "endpoint").iter_rows()
    return [f"probe {target} {endpoint}" for target, endpoint in named]


def one(
    label: str,
    name: str,
    options: Sequence[str],
    default: str | None = None,
    words: Mapping[str, str] | None = None,
) -> str:
    """One of the options; `default`, or else the first, when the address names none of them.

    `words` are what to call the options; they are data's own where there are none.
    """
    asked = controls.parameter(name) or ""
    value = asked if asked in options else default or options[0]
    if len(options) > 1:
        st.session_state[f"{name}_choice"] = value
        st.selectbox(
            label,
            options,
            key=f"{name}_choice",
            format_func=words.__getitem__ if words else fmt.option,
            on_change=_take,
            args=(name, f"{name}_choice"),
            width=320,
        )
    return value


def _several(label: str, name: str, options: list[str]) -> None:
    named = controls.parameters(name)
    st.session_state[f"{name}_choice"] = named
    st.multiselect(
        label,
        options + [value for value in named if value not in options],
        key=f"{name}_choice",
        format_func=fmt.option,
        placeholder="All",
        on_change=_take,
        args=(name, f"{name}_choice"),
    )


def _take(name: str, key: str) -> None:
    controls.remember(name, st.session_state[key])
