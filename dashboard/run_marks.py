"""Marks of runs, and what a page needs to know of a run that is not in the address any more."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from dashboard import format as fmt
from dashboard.run_words import Mark, Row, marks

RUN_PAGE = "dashboard/views/run.py"
COMPARE_PAGE = "dashboard/views/compare.py"
LIST_PAGE = "dashboard/views/loadtests.py"


def badges(shown: Sequence[Mark]) -> None:
    """A row of marks."""
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        for mark in shown:
            st.badge(fmt.plain(mark.text), color=mark.colour, icon=mark.icon, help=mark.help or None)


def of_run(row: Row) -> None:
    """The marks of a run."""
    badges(marks(row))


def link(row: Row, label: str, key: str) -> None:
    """A button that opens the run."""
    if st.button(label, icon=":material/open_in_new:", key=key, width="content"):
        st.switch_page(RUN_PAGE, query_params={"run": row["run_id"]})
