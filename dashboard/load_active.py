"""Runs that wait or are on, second by second, and how the last one ended."""

from __future__ import annotations

from typing import Any

import polars as pl
import streamlit as st

from dashboard import actions, data, panels, run_marks
from dashboard import format as fmt
from dashboard import run_words as words
from dashboard.access import Access
from dashboard.controls import reader_zone
from dashboard.data import question
from dashboard.run_words import Row
from warehouse.errors import PerfhouseError
from warehouse.model import now

EVERY_S = 1.0
STOP_HELP = "No new requests are sent, those under way come to their end, and everything measured is kept."


def active(answer: data.Answer) -> pl.DataFrame:
    """The runs that wait or are on; none where there is no answer."""
    if not isinstance(answer, pl.DataFrame):
        return pl.DataFrame()
    return answer.filter(pl.col("state").is_in(words.ACTIVE))


def asked() -> data.Question:
    """The runs that wait or are on."""
    return question("runs", state=list(words.ACTIVE))


def show(runs: data.Answer, newest: Row | None, mine: Access) -> None:
    """A card a run; drawn anew each second while there is one."""
    ids = _ids(runs)
    with st.container(border=True, key="active"):
        st.header("Running now", anchor=False)
        if not ids:
            st.markdown(_quiet(newest))
            return
        st.fragment(_active, run_every=EVERY_S)(ids, mine)


def _ids(answer: data.Answer) -> list[str]:
    rows = active(answer)
    return rows.sort("requested_at")["run_id"].to_list() if len(rows) else []


def _active(ids: list[str], mine: Access) -> None:
    """The cards; the whole page once a run has ended or come."""
    answers = data.ask(
        {"active": asked(), **{run_id: question("run", run_id=run_id) for run_id in ids}}, fresh=True
    )
    found = panels.rows(answers["active"], "Running now")
    if found is not None and _ids(found) != ids:
        data.forget()
        st.rerun()
    for run_id in ids:
        rows = panels.rows(answers[run_id], run_id)
        if rows is not None and len(rows):
            _card(rows.row(0, named=True), mine)


def _card(row: dict[str, Any], mine: Access) -> None:
    planned_s = planned_length_s(row)
    told = words.progress(row, planned_s, now())
    with st.container(border=True, key=f"active_{row['run_id']}"):
        with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
            st.markdown(f"**{fmt.plain(words.name_of(row))}**", width="content")
            run_marks.of_run(row)
            with st.container(horizontal=True, width="content"):
                run_marks.link(row, "Open", f"open_{row['run_id']}")
                stop_button(row, mine, f"stop_{row['run_id']}")
        st.progress(told.share, fmt.plain(told.text))
        if row["started_at"] is not None:
            st.caption(numbers(row))


def numbers(row: Row) -> str:
    """The run so far, in one line."""
    return " · ".join(
        (
            f"{fmt.count(row['requests'])} requests",
            words.per_second(row["rps"]),
            f"p95 {fmt.duration_ms(row['p95_ms'], above=bool(row['p95_above']))}",
            f"{fmt.count(row['failures'])} failed ({fmt.ratio(row['error_ratio'])})",
            f"{fmt.plural(int(row['users_max'] or 0), 'user')} at most",
        )
    )


def stop_button(row: Row, mine: Access, key: str) -> None:
    """Stops the run gracefully, or takes it out of the queue."""
    waiting = row["state"] == "requested"
    asked_already = row["cancel_at"] is not None or row["state"] == "stopping"
    pressed = st.button(
        "Stopping…" if asked_already else "Take out of the queue" if waiting else "Stop",
        icon=":material/stop_circle:",
        key=key,
        width="content",
        disabled=asked_already or not mine.allowed,
        help=STOP_HELP if mine.allowed else fmt.plain(mine.why),
    )
    if not pressed:
        return
    try:
        actions.cancel_run(row["run_id"])
    except PerfhouseError as error:
        panels.fault(error, "It was not stopped")
    else:
        st.rerun()


def planned_length_s(row: Row) -> float:
    """How long the plan is, 0.0 where the answer tells no plan."""
    plan = words.decoded(row.get("plan"))
    return float(plan["duration_s"]) if plan else 0.0


def _quiet(newest: Row | None) -> str:
    if newest is None:
        return (
            "No load test is running, and none ever ran here. Choose a preset below: **smoke** is the "
            "gentlest."
        )
    ended = fmt.age(newest["ended_at"] or newest["requested_at"], now())
    verdict = words.VERDICT_MARKS.get(newest["verdict"], words.UNJUDGED).text
    return (
        f"No load test is running. The last one, {fmt.plain(words.name_of(newest))}, "
        f"{words.state_mark(newest['state']).text} {ended}: {verdict} "
        f"({fmt.clock(words.began(newest), reader_zone())})."
    )
