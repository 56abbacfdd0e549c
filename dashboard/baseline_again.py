"""Judging history again under another baseline: what would have been told, beside the active one."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

import polars as pl
import streamlit as st

from dashboard import baseline_again_words as again
from dashboard import baseline_words as words
from dashboard import choices, controls, data, panels, run_marks
from dashboard import format as fmt
from dashboard.baseline_words import Row
from dashboard.controls import Scene
from dashboard.data import question
from dashboard.window import Window, absolute
from warehouse.errors import RefusedError

BASELINE, BACK = "again", "back"
WINDOWS = ("12", "24", "48", "96")
DAYS = ("7", "30", "90", "365")
DEFAULTS = {"period": "24", "runs": "30"}
LONGEST_WINDOW = timedelta(days=1)
MOST_ROWS, MOST_LINKS = 14, 12


def chosen(baselines: Sequence[Row]) -> Row | None:
    """The baseline that the address says to judge by."""
    named = controls.parameter(BASELINE)
    return next((row for row in others(baselines) if row["baseline_id"] == named), None)


def others(baselines: Sequence[Row]) -> list[Row]:
    """What may be chosen: the active one is there anyway."""
    return [row for row in baselines if not row["is_active"]]


def questions(scene: Scene, target: str, baselines: Sequence[Row]) -> dict[str, data.Question]:
    """The history under the baseline that the address names; while the page is live it waits."""
    row = chosen(baselines)
    if row is None or scene.live:
        return {}
    window = history(scene, row)
    length_s = max(60, min(86_400, round(scene.past.span.total_seconds())))
    asked = {"target": target, "baseline_id": row["baseline_id"], "length_s": length_s}
    return {"again": question("baseline_again", window, **asked)}


def history(scene: Scene, row: Row) -> Window:
    """What is judged: so many windows as long as the page's, or days of load tests, up to the page's end."""
    end, amount = scene.past.end, int(_back(row))
    if row["kind"] == "runs":
        start = end - timedelta(days=amount)
    else:
        length = min(max(scene.past.span, timedelta(minutes=1)), LONGEST_WINDOW)
        start = end - amount * timedelta(seconds=round(length.total_seconds()))
    return Window(start, end, absolute(start, end))


def _back(row: Row) -> str:
    asked = controls.parameter(BACK) or ""
    return asked if asked in _offered(row) else DEFAULTS[row["kind"]]


def _offered(row: Row) -> tuple[str, ...]:
    return DAYS if row["kind"] == "runs" else WINDOWS


def show(scene: Scene, baselines: Sequence[Row], answer: data.Answer | None) -> None:
    """The choice of a baseline and of how far back; then what would have been told under each."""
    if not others(baselines):
        return
    with st.container(border=True, key="baseline_again"):
        st.header("Judge history again under another baseline", anchor=False)
        row = _choose(scene, baselines)
        if row is None:
            st.markdown("Choose one: what it would have told is then shown beside what the active one tells.")
        elif answer is None:
            st.markdown("This waits while the page is live: switch **Live** off.")
        elif isinstance(answer, RefusedError):
            told = f"{fmt.plain(answer.message)}. {fmt.plain(answer.hint)}".strip()
            st.info(told, title="This history cannot be judged again", icon=":material/info:")
        else:
            rows = panels.rows(answer, "Judging again")
            if rows is not None:
                _judged(scene, row, rows.to_dicts())


def _choose(scene: Scene, baselines: Sequence[Row]) -> Row | None:
    names = {"": "-", **{str(row["baseline_id"]): fmt.option(row["name"]) for row in others(baselines)}}
    with st.container(horizontal=True, vertical_alignment="bottom"):
        choices.one("Baseline", BASELINE, list(names), "", names)
        row = chosen(baselines)
        if row is not None:
            length = fmt.length(scene.past.span)
            unit = "days of load tests" if row["kind"] == "runs" else f"windows of {length}"
            offered = {each: f"{each} {unit}" for each in _offered(row)}
            choices.one("How far back", BACK, list(offered), _back(row), offered)
    return row


def _judged(scene: Scene, row: Row, rows: Sequence[Row]) -> None:
    """How often each baseline told anything, then what was told."""
    window = history(scene, row)
    span = fmt.window_text(window.start, window.end, scene.zone)
    if not rows:
        st.markdown(f"{span}: no load test of its scenario finished then.")
        return
    for line in again.summaries(rows):
        st.markdown(line)
    told = again.changed(rows)
    if not told:
        st.markdown(f"{span}: nothing would have been told under any of them.")
        return
    names = again.names(rows)
    columns = {
        "When": [fmt.time_of(each.at, scene.now, scene.zone) for each in told],
        "Endpoint": [words.where(each.any) for each in told],
        "Measure": [words.MEASURES[each.any["measure"]] for each in told],
        **{f"Under {name}": [each.under(key) for each in told] for key, name in names.items()},
    }
    st.dataframe(
        pl.DataFrame(columns),
        hide_index=True,
        height="content" if len(told) <= MOST_ROWS else 520,
        key="baseline_again_table",
        alt="What would have been told under each baseline",
    )
    _links(scene, told)
    kind = "load test" if row["kind"] == "runs" else "window"
    panels.note(
        f"{span}. Each {kind} is judged by itself, as a comparison at that time would have told; what is in "
        "brackets is the 95 % interval. Nothing is changed by this: the active baseline stays the one that "
        "is compared with."
    )


def _links(scene: Scene, told: Sequence[again.Told]) -> None:
    """Ways to the load tests of which anything was told."""
    runs = {each.run_id: each.at for each in told if each.run_id}
    if not runs:
        return
    with st.container(horizontal=True, key="again_runs"):
        for run_id, at in [*runs.items()][:MOST_LINKS]:
            st.page_link(
                run_marks.RUN_PAGE,
                label=fmt.time_of(at, scene.now, scene.zone),
                icon=":material/rocket_launch:",
                query_params={"run": run_id},
            )
