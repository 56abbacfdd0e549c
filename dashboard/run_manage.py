"""What can be done to a run that has ended: keep it as a baseline, describe it, delete it."""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st

from dashboard import actions, panels, run_marks
from dashboard import format as fmt
from dashboard import run_words as words
from dashboard.access import Access
from dashboard.controls import reader_zone
from dashboard.run_words import Row
from warehouse.errors import PerfhouseError

LONGEST_NOTE = 2000


def buttons(row: Row | None, mine: Access, place: str) -> None:
    """Pin, note, delete; without a run they are there and do nothing."""
    ended = row is not None and not words.is_active(row)
    pinned = bool(row and row["is_baseline"])
    why = None if mine.allowed else fmt.plain(mine.why)
    pin = st.button(
        "Unpin baseline" if pinned else "Set as baseline",
        icon=":material/keep_off:" if pinned else ":material/keep:",
        disabled=not ended or not mine.allowed,
        help=why
        or "A baseline is kept for ever, every request included, and other runs are compared with it.",
        key=f"pin_{place}",
    )
    note = st.button(
        "Note",
        icon=":material/edit_note:",
        disabled=row is None or not mine.allowed,
        help=why,
        key=f"note_{place}",
    )
    delete = st.button(
        "Delete",
        icon=":material/delete:",
        disabled=not ended or pinned or not mine.allowed,
        help=why or ("A baseline cannot be deleted: unpin it first." if pinned else None),
        key=f"delete_{place}",
    )
    if row is None:
        return
    if pin and _done(lambda: actions.pin_run(row["run_id"], pinned=not pinned), "It was not changed"):
        st.rerun()
    if note:
        _note(row)
    if delete:
        _delete(row)


@st.dialog("Note", icon=":material/edit_note:")
def _note(row: Row) -> None:
    st.markdown(_named(row))
    text = st.text_area(
        "What should be remembered of this run?", row["note"], max_chars=LONGEST_NOTE, key="note_text"
    )
    with st.container(horizontal=True, horizontal_alignment="right"):
        if st.button("Cancel", key="note_cancel"):
            st.rerun()
        if st.button("Save", type="primary", key="note_save") and _done(
            lambda: actions.note_run(row["run_id"], text), "The note was not saved"
        ):
            st.rerun()


@st.dialog("Delete this run?", icon=":material/delete:")
def _delete(row: Row) -> None:
    st.markdown(_named(row))
    st.warning(
        f"Its {fmt.plural(int(row['requests'] or 0), 'recorded request')} and its place in the history are "
        "gone "
        "for ever. That it was deleted, and by whom, stays in the audit log.",
        icon=":material/warning:",
    )
    with st.container(horizontal=True, horizontal_alignment="right"):
        if st.button("Keep it", key="delete_keep"):
            st.rerun()
        if st.button("Delete", type="primary", key="delete_now") and _done(
            lambda: actions.delete_run(row["run_id"]), "It was not deleted"
        ):
            st.switch_page(run_marks.LIST_PAGE)


def _named(row: Row) -> str:
    name = fmt.plain(words.name_of(row))
    return f"**{name}**, {fmt.clock(words.began(row), reader_zone())} ({fmt.plain(row['run_id'])})"


def _done(action: Callable[[], None], otherwise: str) -> bool:
    """Whether the action was done; says why where it was not."""
    try:
        action()
    except PerfhouseError as error:
        panels.fault(error, otherwise)
        return False
    return True
