"""Marks of runs, links to them, and what to say where the address names none."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from dashboard import data, panels
from dashboard import format as fmt
from dashboard.run_words import Mark, Row, marks, name_of
from warehouse.errors import PerfhouseError

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


def which(answer: data.Answer) -> None:
    """No run is named: the newest ones, or how to come to one."""
    rows = panels.rows(answer, "Load tests")
    with st.container(border=True):
        st.header("No run is chosen", anchor=False)
        if rows is None or rows.is_empty():
            st.markdown("No load test ever ran here. Start one on the Load tests page.")
        else:
            for row in rows.head(5).to_dicts():
                with st.container(horizontal=True, vertical_alignment="center"):
                    link(row, fmt.option(name_of(row)), f"open_{row['run_id']}")
                    of_run(row)
        st.page_link(LIST_PAGE, label="All load tests", icon=":material/list:")


def unknown(found: object, run_id: str) -> None:
    with st.container(border=True):
        st.header("There is no such run", anchor=False)
        if isinstance(found, PerfhouseError):
            st.markdown(f"{fmt.plain(found.message)}. {fmt.plain(found.hint)}")
        st.markdown(f"The address names {fmt.plain(run_id)}. It may have been deleted.")
        st.page_link(LIST_PAGE, label="All load tests", icon=":material/list:")
