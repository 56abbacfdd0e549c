"""A target's baselines on a page: what a window comes to against the active one, and the list."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import polars as pl
import streamlit as st

from dashboard import access, actions, controls, data, panels
from dashboard import baseline_words as words
from dashboard import format as fmt
from dashboard.baseline_words import Row
from dashboard.controls import Scene
from warehouse.errors import PerfhouseError, RefusedError

PAGE = "dashboard/views/baseline.py"
MOST_ROWS = 14
"""A table so long is shown whole."""


@dataclass(frozen=True)
class Compared:
    """What is held against a baseline, in words: itself, and the parts the baseline is made of."""

    name: str
    part: str
    parts: str
    another: str


OF_WINDOW = Compared("window", "stretch", "stretches", "another stretch")
OF_RUN = Compared("load test", "load test", "load tests", "another load test")


def link(target: str | None) -> None:
    """A link to how the window compares."""
    st.page_link(
        PAGE,
        label="Against the baseline",
        icon=":material/flag:",
        query_params={**controls.carried(), **({"target": target} if target else {})},
    )


def findings(answer: data.Answer, active: Row, what: Compared = OF_WINDOW) -> None:
    """How a window or load test compares: verdicts counted, then each endpoint and measure."""
    with st.container(border=True, key="findings"):
        st.header("Against the baseline", anchor=False)
        if isinstance(answer, RefusedError):
            st.info(
                f"{fmt.plain(answer.message)}. {fmt.plain(answer.hint)}".strip(),
                title=f"This {what.name} cannot be compared",
                icon=":material/info:",
            )
            return
        rows = panels.rows(answer, "Comparison")
        if rows is None:
            return
        if rows.is_empty():
            st.markdown(f"Neither this {what.name} nor the baseline has measurements.")
            return
        found = words.by_verdict(rows.to_dicts())
        with st.container(horizontal=True, gap="small"):
            for word, text in words.counted(found):
                st.badge(text, color=word.colour, icon=word.icon)
        _table(found)
        first = found[0]
        runs = max(row["runs"] for row in found)
        as_long = " as long as this window" if what is OF_WINDOW else ""
        panels.note(
            f"Against {fmt.plain(active['name'])}: {fmt.plural(runs, what.part, what.parts)}{as_long}, "
            f"{first['how']}. The interval is what {what.another} with nothing changed would leave open. "
            "No change: one of 20 % would have been told."
        )


def _table(found: Sequence[Row]) -> None:
    several = len({row["endpoint"] for row in found}) > 1
    shown = pl.DataFrame(
        {
            "Verdict": [words.VERDICTS[row["verdict"]].text for row in found],
            **({"Endpoint": [words.where(row) for row in found]} if several else {}),
            "Measure": [words.MEASURES[row["measure"]] for row in found],
            "Change": [words.size(row) for row in found],
            "95 % interval": [words.interval(row) for row in found],
            "Baseline": [words.value(row["baseline"], row["unit"]) for row in found],
            "Now": [words.value(row["now"], row["unit"], above=row["now_above"]) for row in found],
            "n": [fmt.count(row["n"]) for row in found],
            "Why": [row["why"] for row in found],
        }
    )
    st.dataframe(
        shown,
        hide_index=True,
        height="content" if len(shown) <= MOST_ROWS else 520,
        key="findings_table",
        alt="Each endpoint and measure against the baseline",
        column_config={"Why": st.column_config.TextColumn(width=260)},
    )


def listed(scene: Scene, rows: Sequence[Row]) -> None:
    """The target's baselines, each with what can be done to it."""
    with st.container(border=True, key="baselines"):
        st.header("Baselines", anchor=False)
        for row in rows:
            with st.container(horizontal=True, vertical_alignment="center", gap="small"):
                _line(scene, row)


def _line(scene: Scene, row: Row) -> None:
    allowed, baseline_id = access.mine().allowed, str(row["baseline_id"])
    st.markdown(f"**{fmt.plain(row['name'])}**, {_of(row, scene)}", width="stretch")
    if row["is_active"]:
        st.badge("active", color="blue", icon=":material/flag:")
    elif st.button("Activate", key=f"activate_{baseline_id}", disabled=not allowed):
        then(lambda: actions.activate_baseline(baseline_id), "Nothing was changed")
    if st.button(
        "Remove",
        icon=":material/delete:",
        key=f"remove_{baseline_id}",
        disabled=not allowed,
        help="What only it kept is deleted by age again.",
    ):
        then(lambda: actions.remove_baseline(baseline_id), "It was not removed")


def _of(row: Row, scene: Scene) -> str:
    """What a baseline is made of."""
    if row["kind"] == "runs":
        return f"{fmt.plural(row['runs'], 'load test')}: {fmt.plain(row['run_ids'])}"
    return fmt.window_text(row["start"], row["end"], scene.zone)


def then(action: Callable[[], None], otherwise: str) -> None:
    """Do it and draw the page anew; say why where it was not done."""
    try:
        action()
    except PerfhouseError as error:
        panels.fault(error, otherwise)
        return
    st.rerun()
