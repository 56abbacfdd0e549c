"""What happened in a page's window: load tests, deploys and regressions, drawn on charts and listed below."""

from __future__ import annotations

import plotly.graph_objects as go
import polars as pl
import streamlit as st

from dashboard import bands, data, mark_lines, page, regression_marks, run_marks
from dashboard import format as fmt
from dashboard.controls import Scene
from dashboard.data import question

ASKED = ("run_spans", "marks", "regressions")
MOST_LISTED = 6
"""As many of the newest are listed."""


def asked(scene: Scene, target: list[str] | None = None) -> dict[str, data.Question]:
    """The load tests, deploys and regressions of the window, of these targets or of all."""
    of = {"target": target} if target else {}
    return {name: question(name, scene.window, **of) for name in ASKED}


def shown(scene: Scene, drawn: go.Figure, answers: page.Answers, *, labelled: bool = False) -> go.Figure:
    """The chart with a band for each load test, a line for each deploy and where anything changed."""
    bands.shade(drawn, scene.stage, page.frame(answers.get("run_spans")), labelled=labelled)
    mark_lines.draw(drawn, scene.stage, page.frame(answers.get("marks")), labelled=labelled)
    regression_marks.draw(drawn, scene.stage, page.frame(answers.get("regressions")))
    return drawn


def listed(scene: Scene, answers: page.Answers) -> None:
    """What the lines and bands are; nothing where nothing happened."""
    regression_marks.listed(scene, page.frame(answers.get("regressions")), MOST_LISTED)
    _deploys(scene, page.frame(answers.get("marks")))
    _load_tests(scene, page.frame(answers.get("run_spans")))


def _deploys(scene: Scene, rows: pl.DataFrame | None) -> None:
    """The newest deploys."""
    if rows is None or rows.is_empty():
        return
    with st.container(border=True, key="marks"):
        more = f" · the newest {MOST_LISTED} of {fmt.count(len(rows))}" if len(rows) > MOST_LISTED else ""
        st.markdown(f"**Deploys in this window**{more}")
        for row in rows.tail(MOST_LISTED).reverse().to_dicts():
            when = fmt.time_of(row["at"], scene.now, scene.zone)
            text = f": {fmt.plain(row['text'])}" if row["text"] else ""
            st.markdown(
                f":material/deployed_code: **{fmt.plain(row['version'])}** to "
                f"{fmt.plain(mark_lines.where(row))}, {when} ({fmt.age(row['at'], scene.now)}){text}"
            )


def _load_tests(scene: Scene, rows: pl.DataFrame | None) -> None:
    """The newest load tests, each with a link to its run."""
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
