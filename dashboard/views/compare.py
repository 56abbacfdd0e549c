"""Two load tests of the same scenario: their curves overlaid, and what differs beyond chance."""

from __future__ import annotations

from typing import Any

import polars as pl
import streamlit as st

from dashboard import compare_parts, controls, data, load_curve, page, panels, run_charts, run_marks
from dashboard import format as fmt
from dashboard import run_words as words
from dashboard.controls import Scene
from dashboard.data import question
from warehouse.errors import RefusedError


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


def questions(scene: Scene) -> dict[str, data.Question]:
    """Everything this page asks, about two runs."""
    del scene
    asked = {"runs": question("runs")}
    known = data.ask(asked)["runs"]
    pair = chosen(known)
    if pair is not None:
        width = run_charts.width_s(longest_s(known, pair))
        asked["differences"] = question("run_compare", a=pair[0], b=pair[1])
        asked["curves"] = question("run_compare_curves", a=pair[0], b=pair[1], width_s=width)
    return asked


def longest_s(known: data.Answer, pair: tuple[str, str]) -> float:
    """How long the longer of the two lasted, in seconds."""
    if not isinstance(known, pl.DataFrame):
        return 1.0
    both = known.filter(pl.col("run_id").is_in(pair))
    spans = (both["ended_at"] - both["started_at"]).dt.total_seconds().drop_nulls().to_list()
    return max([*spans, 1.0])


def body(scene: Scene, answers: page.Answers) -> None:
    """The choice, then what differs, then the curves."""
    known = panels.rows(answers["runs"], "Load tests")
    if known is None:
        return
    ended = known.filter(pl.col("state").is_in(words.ENDED))
    pair = chosen(known)
    if len(ended) < 2 or pair is None:
        _too_few(ended)
        return
    listed = {row["run_id"]: row for row in known.to_dicts()}
    _choose(scene, [row for row in listed.values() if row["state"] in words.ENDED], pair)
    for side, run_id in zip("AB", pair, strict=True):
        _heading(scene, side, listed.get(run_id), run_id)
    if pair[0] == pair[1]:
        st.warning("A and B are the same run: choose two.", icon=":material/warning:")
        return
    _differences(answers["differences"])
    compare_parts.curves(scene, answers["curves"], longest_s(known, pair))
    load_curve.show(scene, known)


def _differences(answer: data.Answer) -> None:
    """Cards and table, or why the two cannot be compared."""
    if isinstance(answer, RefusedError):
        hint = fmt.plain(answer.hint)
        told = f"{fmt.plain(answer.message)}. {hint}".strip()
        st.warning(told, title="These two cannot be compared", icon=":material/compare_arrows:")
        return
    rows = panels.rows(answer, "Differences")
    if rows is None:
        return
    compare_parts.cards(rows)
    with st.container(border=True, key="differences_panel"):
        st.header("Differences, B less A", anchor=False)
        compare_parts.table(rows)


def _choose(scene: Scene, ended: list[dict[str, Any]], pair: tuple[str, str]) -> None:
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


def _heading(scene: Scene, side: str, row: dict[str, Any] | None, run_id: str) -> None:
    """Which run a side is, with what is to be borne in mind of it."""
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        if row is None:
            st.markdown(f"**{side}**: there is no run {fmt.plain(run_id)}", width="content")
            return
        began = fmt.clock(words.began(row), scene.zone)
        st.markdown(f"**{side}**: {fmt.plain(words.name_of(row))}, {began}", width="content")
        run_marks.of_run(row)
        run_marks.link(row, "Open", f"open_{side}")


def _too_few(ended: pl.DataFrame) -> None:
    with st.container(border=True):
        st.header("Nothing to compare yet", anchor=False)
        count = (
            "No run has ended." if ended.is_empty() else "There are no two runs of one scenario that ended."
        )
        st.markdown(
            f"{count} Two runs of the same scenario and target can be laid over one another here; start them on the "
            "Load tests page. `perfhouse.py loadtest run smoke` does the same from the command line."
        )
        st.page_link(run_marks.LIST_PAGE, label="Load tests", icon=":material/rocket_launch:")


page.show("Compare runs", questions, body, timeless=True)
