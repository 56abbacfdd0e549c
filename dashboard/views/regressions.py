"""What got slower or better: open regressions first; one of them with all that is known of it."""

from __future__ import annotations

import streamlit as st

from dashboard import controls, data, page, panels, regression_detail, regression_list, regression_marks
from dashboard.controls import Scene
from dashboard.data import question


def questions(scene: Scene) -> dict[str, data.Question]:
    """Everything this page asks; about one regression too where the address names it."""
    asked = {"regressions": question("regressions", scene.window), "watching": question("watching")}
    chosen = controls.parameter(regression_marks.CHOSEN)
    return {**asked, **(regression_detail.questions(chosen) if chosen else {})}


def body(scene: Scene, answers: page.Answers) -> None:
    """The one that is chosen, then the list, then what is watched."""
    if controls.parameter(regression_marks.CHOSEN):
        regression_detail.show(scene, answers)
        st.page_link(regression_marks.PAGE, label="All regressions", icon=":material/list:")
    rows = panels.rows(answers["regressions"], "Regressions")
    watching = panels.rows(answers["watching"], "What is watched")
    if rows is not None and rows.is_empty():
        regression_list.nothing(scene, watching)
    elif rows is not None:
        regression_list.show(scene, rows)
    if watching is not None:
        regression_list.watched(scene, watching)


page.show("Regressions", questions, body, also=("watching",))
