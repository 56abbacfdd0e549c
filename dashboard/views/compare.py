"""Two load tests of the same scenario: their curves overlaid, and what differs beyond chance."""

from __future__ import annotations

from typing import Any

import polars as pl
import streamlit as st

from dashboard import (
    compare_choice,
    compare_parts,
    data,
    load_curve,
    page,
    panels,
    run_charts,
    run_marks,
)
from dashboard import format as fmt
from dashboard import run_words as words
from dashboard.controls import Scene
from dashboard.data import question
from warehouse.errors import RefusedError


def questions(scene: Scene) -> dict[str, data.Question]:
    """Everything this page asks, about two runs."""
    del scene
    asked = {"runs": question("runs")}
    known = data.ask(asked)["runs"]
    pair = compare_choice.chosen(known)
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
    return float(max([*spans, 1]))


def body(scene: Scene, answers: page.Answers) -> None:
    """The choice, then what differs, then the curves."""
    known = panels.rows(answers["runs"], "Load tests")
    if known is None:
        return
    ended = known.filter(pl.col("state").is_in(words.ENDED))
    pair = compare_choice.chosen(known)
    if len(ended) < 2 or pair is None:
        _too_few(ended)
        return
    listed = {row["run_id"]: row for row in known.to_dicts()}
    compare_choice.choose(scene, [row for row in listed.values() if row["state"] in words.ENDED], pair)
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
    if told := words.deleted(row):
        st.caption(f":material/auto_delete: {told}")


def _too_few(ended: pl.DataFrame) -> None:
    with st.container(border=True):
        st.header("Nothing to compare yet", anchor=False)
        count = (
            "No run has ended." if ended.is_empty() else "There are no two runs of one scenario that ended."
        )
        st.markdown(
            f"{count} Two runs of the same scenario and target can be laid over one another here; start them "
            "on the "
            "Load tests page. `perfhouse.py loadtest run smoke` does the same from the command line."
        )
        st.page_link(run_marks.LIST_PAGE, label="Load tests", icon=":material/rocket_launch:")


page.show("Compare runs", questions, body, timeless=True)
