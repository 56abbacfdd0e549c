"""One regression: what it is, its series drawn, what moved with it, what became of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta

import polars as pl
import streamlit as st

from dashboard import (
    access,
    actions,
    controls,
    data,
    mark_lines,
    panels,
    regression_again,
    regression_chart,
    regression_marks,
)
from dashboard import format as fmt
from dashboard import regression_words as words
from dashboard.controls import Scene
from dashboard.data import question
from dashboard.window import Window, absolute
from warehouse.errors import PerfhouseError

LONGEST_NOTE = 2000
NEXT = {
    "open": ("acknowledge", "resolve"),
    "acknowledged": ("resolve", "reopen"),
    "resolved": ("reopen",),
}
LABELS = {
    "acknowledge": ("Acknowledge", ":material/visibility:", "Who looks after it, or what is known"),
    "resolve": ("Resolve", ":material/check_circle:", "Why it is over, or accepted"),
    "reopen": ("Reopen", ":material/undo:", "Why it is open again"),
}


def questions(regression_id: str) -> dict[str, data.Question]:
    """What is asked about one."""
    names = ("regression", "regression_series", "moved_with", "regression_events")
    return {name: question(name, regression_id=regression_id) for name in names}


def show(scene: Scene, answers: Mapping[str, data.Answer]) -> None:
    """All of it; or that there is none of this name."""
    found = panels.rows(answers["regression"], "Regression")
    if found is None:
        return
    if found.is_empty():
        st.warning(
            f"There is no regression {fmt.plain(controls.parameter(regression_marks.CHOSEN))}.",
            icon=":material/search_off:",
        )
        return
    row = found.row(0, named=True)
    with st.container(border=True, key="regression_detail"):
        _head(scene, row)
        _buttons(scene, row)
        _chart(scene, row)
        _series(answers["regression_series"])
        _moved(scene, row, answers["moved_with"])
        regression_again.show(scene, row)
        _events(scene, answers["regression_events"])


def _head(scene: Scene, row: words.Row) -> None:
    mark = words.STATE_MARKS[row["state"]]
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.header(fmt.plain(words.name(row)), anchor=False, width="content")
        st.badge(mark.text, color=mark.colour, icon=mark.icon, help=mark.help)
    st.markdown(
        f"**{words.levels(row)}**, {words.size(row)}, since {words.since(row, scene.now, scene.zone)}"
    )
    told = [words.sureness(row), words.moved(row), fmt.plain(row["regression_id"])]
    st.caption(" · ".join(filter(None, told)))
    if row["note"]:
        st.markdown(f":material/edit_note: {fmt.plain(row['state_by'])}: {fmt.plain(row['note'])}")


def _buttons(scene: Scene, row: words.Row) -> None:
    """What can be done with it in its state."""
    mine = access.mine()
    with st.container(horizontal=True, key="regression_actions"):
        for action in NEXT.get(row["state"], ()):
            label, icon, _ = LABELS[action]
            if st.button(
                label,
                icon=icon,
                disabled=not mine.allowed,
                help=None if mine.allowed else fmt.plain(mine.why),
                key=f"{action}_regression",
            ):
                _ask_why(row["regression_id"], action)
        if row["kind"] == "probe":
            window = regression_chart.around(row, scene.stage)
            st.page_link(
                "dashboard/views/latency.py",
                label="Probes of that time",
                icon=":material/speed:",
                query_params={
                    controls.RANGE: window.text,
                    "target": row["target"],
                    "endpoint": row["object"],
                },
            )


@st.dialog("What should be remembered?", icon=":material/edit_note:")
def _ask_why(regression_id: str, action: str) -> None:
    label, _, asked = LABELS[action]
    text = st.text_area(asked, max_chars=LONGEST_NOTE, key="regression_note")
    with st.container(horizontal=True, horizontal_alignment="right"):
        if st.button("Cancel", key="regression_cancel"):
            st.rerun()
        if st.button(label, type="primary", key="regression_do") and _done(
            lambda: actions.judge_regression(regression_id, action, text)
        ):
            st.rerun()


def _done(action: Callable[[], None]) -> bool:
    try:
        action()
    except PerfhouseError as error:
        panels.fault(error, "It was not changed")
        return False
    return True


def _chart(scene: Scene, row: words.Row) -> None:
    """Its foremost series, at the step it was judged at."""
    window, shown = regression_chart.around(row, scene.stage), regression_chart.shown_of(row)
    points = round(window.span.total_seconds() / (row["point_s"] or 300))
    asked = question(shown.question, window, buckets=min(points + 1, 300), **shown.parameters)
    rows = panels.rows(data.ask({"series": asked})["series"], "The series")
    if rows is None:
        return
    if rows.is_empty():
        st.markdown("What was measured then is not kept any more.")
        return
    drawn = regression_chart.draw(scene.stage, window, row, rows)
    alt = f"{words.METRICS.get(row['metric'], row['metric'])} before and after the change"
    st.plotly_chart(drawn, key="regression_chart", config=controls.CHART_CONFIG, alt=alt)
    panels.note(
        "Dashed: the level before and after, free of the time of day. The line: where it changed. What is in "
        "brackets above is the 95 % interval of the size."
    )


def _series(answer: data.Answer) -> None:
    """Every series that is part of it."""
    rows = panels.rows(answer, "Series")
    if rows is None or len(rows) < 2:
        return
    st.subheader("What changed at the same time", anchor=False)
    listed = rows.to_dicts()
    told = {"found": "changed", "back": "went back", "again": "changed again"}
    st.dataframe(
        pl.DataFrame(
            {
                "Series": [words.name(row) for row in listed],
                "What": [told[row["role"]] for row in listed],
                "From": [words.value(row["before"], row["unit"]) for row in listed],
                "To": [words.value(row["after"], row["unit"]) for row in listed],
                "Size": [words.size(row) for row in listed],
            }
        ),
        hide_index=True,
        key="regression_series",
        alt="Series that changed at the same time",
    )


def _moved(scene: Scene, row: words.Row, answer: data.Answer) -> None:
    """What else moved, the part of it that it may explain first; and deploys shortly before."""
    rows = panels.rows(answer, "What moved with it")
    if rows is None:
        return
    st.subheader("What moved with it", anchor=False)
    _deploys(scene, row)
    if rows.is_empty():
        st.markdown("No phase, query, host or database that is watched moved when it did.")
        return
    listed = rows.to_dicts()
    st.dataframe(
        pl.DataFrame(
            {
                "Kind": [words.KINDS.get(each["kind"], each["kind"]) for each in listed],
                "Series": [words.name(each) for each in listed],
                "From": [words.value(each["before"], each["unit"]) for each in listed],
                "To": [words.value(each["after"], each["unit"]) for each in listed],
                "Part of the difference": [words.part(each) for each in listed],
            }
        ),
        hide_index=True,
        key="moved_with",
        alt="What moved with the regression",
    )
    panels.note(
        "Moved at the same time: that is no proof of a cause. Phases add up to the endpoint's mean; a "
        "query's part is what one call takes longer, if each request makes one call."
    )


def _deploys(scene: Scene, row: words.Row) -> None:
    """Deploys from an hour before the change to a little after it."""
    step = timedelta(seconds=row["point_s"] or 300)
    start, end = row["changed_at"] - max(timedelta(hours=1), 6 * step), row["changed_at"] + 2 * step
    asked = question("marks", Window(start, end, absolute(start, end)))
    rows = panels.rows(data.ask({"marks": asked})["marks"], "Deploys")
    for mark in () if rows is None else rows.reverse().to_dicts():
        st.markdown(
            f":material/deployed_code: **{fmt.plain(mark['version'])}** was deployed to "
            f"{fmt.plain(mark_lines.where(mark))} at {fmt.time_of(mark['at'], scene.now, scene.zone)}"
        )


def _events(scene: Scene, answer: data.Answer) -> None:
    """What became of it."""
    rows = panels.rows(answer, "Its life")
    if rows is None:
        return
    st.subheader("What became of it", anchor=False)
    for row in rows.to_dicts():
        text = f": {fmt.plain(row['text'])}" if row["text"] and row["action"] != "found" else ""
        when = fmt.time_of(row["at"], scene.now, scene.zone)
        st.markdown(f"{when} **{words.ACTIONS[row['action']]}** {fmt.plain(_by(row['who']))}{text}")


def _by(who: str) -> str:
    return who if who.startswith("by ") else f"by {who}"
