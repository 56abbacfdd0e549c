"""Which load tests ran in a page's window: asked for, shaded on its charts, listed below them."""

from __future__ import annotations

import plotly.graph_objects as go
import polars as pl
import streamlit as st

from dashboard import bands, data, page, run_marks
from dashboard import format as fmt
from dashboard.controls import Scene
from dashboard.data import question

MOST_LISTED = 6
"""As many of the newest have a link of their own."""


def asked(scene: Scene, target: list[str] | None = None) -> data.Question:
    """The load tests of the window, of these targets or of all."""
    return question("run_spans", scene.window, **({"target": target} if target else {}))


def shaded(scene: Scene, drawn: go.Figure, answers: page.Answers, *, labelled: bool = False) -> go.Figure:
    """The chart with its bands."""
    bands.shade(drawn, scene.stage, page.frame(answers.get("run_spans")), labelled=labelled)
    return drawn


def links(scene: Scene, answers: page.Answers) -> None:
    """What the bands are, each with a link to its run; nothing where none ran."""
    rows = page.frame(answers.get("run_spans"))
    if rows is None or rows.is_empty():
        return
    with st.container(border=True, key="run_spans"):
        st.markdown(f"**Load tests in this window** · {_amount(rows)}")
        with st.container(horizontal=True, gap="small"):
            for row in rows.tail(MOST_LISTED).reverse().to_dicts():
                st.page_link(
                    run_marks.RUN_PAGE,
                    label=f"{fmt.plain(bands.told(row))}, {_when(row, scene)}",
                    icon=":material/monitoring:",
                    query_params={"run": row["run_id"]},
                )
            if len(rows) > MOST_LISTED:
                st.page_link(run_marks.LIST_PAGE, label="All load tests", icon=":material/list:")


def _amount(rows: pl.DataFrame) -> str:
    if len(rows) > bands.MOST_BANDS:
        return f"the newest {bands.MOST_BANDS} of {fmt.count(len(rows))} are shaded on the charts"
    return "shaded on the charts"


def _when(row: bands.Row, scene: Scene) -> str:
    began = fmt.time_of(row["began_at"], scene.now, scene.zone)
    return f"{began} to {fmt.time_of(row['until_at'], scene.now, scene.zone) if row['until_at'] else 'now'}"
