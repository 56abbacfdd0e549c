"""Which two runs are compared: what the address names, or what fits best, and the boxes to choose others."""

from __future__ import annotations

from typing import Any

import polars as pl
import streamlit as st

from dashboard import controls, data
from dashboard import format as fmt
from dashboard import run_words as words
from dashboard.controls import Scene


def chosen(known: data.Answer) -> tuple[str, str] | None:
    """The runs the address names; else the newest two that ended and are of one scenario."""
    if not isinstance(known, pl.DataFrame):
        return None
    ended = known.filter(pl.col("state").is_in(words.ENDED))
    ids = ended["run_id"].to_list()
    a, b = controls.parameter("a"), controls.parameter("b")
    if a and b:
        return a, b
    if b in ids or not a:
        newest = ended.filter(pl.col("run_id") == b) if b in ids else ended.head(1)
        return _with_earlier(ended, newest)
    return (a, ids[0]) if ids and ids[0] != a else None


def _with_earlier(ended: pl.DataFrame, newest: pl.DataFrame) -> tuple[str, str] | None:
    """A run, and what to lay beneath it: the newest baseline of its scenario, else the run before."""
    if newest.is_empty():
        return None
    row = newest.row(0, named=True)
    fitting = ended.filter(
        (pl.col("scenario_hash") == row["scenario_hash"]) & (pl.col("run_id") != row["run_id"])
    )
    best = fitting.sort("is_baseline", descending=True, maintain_order=True)
    return (best["run_id"][0], row["run_id"]) if len(best) else None


def choose(scene: Scene, ended: list[dict[str, Any]], pair: tuple[str, str]) -> None:
    """Two boxes, and a button that swaps them."""
    names = {row["run_id"]: _option(scene, row) for row in ended}
    with st.container(horizontal=True, vertical_alignment="bottom", key="pair"):
        for side, label, run_id in (("a", "A, before", pair[0]), ("b", "B, after", pair[1])):
            key = f"run_{side}_choice"
            options = names if run_id in names else {**names, run_id: run_id}
            st.session_state[key] = run_id
            with st.container(width=400):
                st.selectbox(
                    label,
                    list(options),
                    key=key,
                    format_func=options.__getitem__,
                    on_change=_take,
                    args=(pair,),
                )
        st.button("Swap", icon=":material/swap_horiz:", key="swap", on_click=_put, args=(pair[1], pair[0]))


def _take(pair: tuple[str, str]) -> None:
    _put(*(st.session_state.get(f"run_{side}_choice") or pair[at] for at, side in enumerate("ab")))


def _put(a: str, b: str) -> None:
    st.query_params.update({"a": a, "b": b})


def _option(scene: Scene, row: dict[str, Any]) -> str:
    flag = " · baseline" if row["is_baseline"] else ""
    began = fmt.clock(words.began(row), scene.zone, seconds_too=False)
    version = f" · {row['target_version']}" if row["target_version"] else ""
    return fmt.option(f"{began} · {words.name_of(row)}{version}{flag}")
