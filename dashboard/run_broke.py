"""Where a run broke: the first resource that saturated, with its evidence, or that this is not known."""

from __future__ import annotations

import streamlit as st

from dashboard import data, panels
from dashboard import format as fmt
from dashboard import run_words as words

UNKNOWN = "unknown"
SURE = {"high": "clear", "low": "likely"}


def show(answer: data.Answer) -> float | None:
    """The panel; the moment to mark on the charts, in seconds since the load began."""
    with st.container(border=True, key="broke"):
        st.header("Where it broke", anchor=False)
        rows = panels.rows(answer, "Where it broke")
        if rows is None or rows.is_empty():
            return None
        found = rows.row(0, named=True)
        if found["resource"] == UNKNOWN:
            st.markdown(f"**Unknown**: {fmt.plain(found['evidence'])}.")
            return None
        at_s = found["at_elapsed_s"]
        where = f" ({fmt.plain(found['object'])})" if found["object"] else ""
        with st.container(horizontal=True, vertical_alignment="center", gap="small"):
            name = str(found["resource"])
            st.markdown(f"**{fmt.plain(name[:1].upper() + name[1:])}**{where}", width="content")
            st.badge(SURE.get(found["confidence"], fmt.plain(found["confidence"])), color="orange")
            if at_s is not None:
                st.markdown(f"{words.elapsed(at_s)} after its start", width="content")
        st.markdown(fmt.plain(found["evidence"]) + ".")
        panels.note(
            "The first of all that was watched to reach its limit when answers got clearly worse; what was "
            "not "
            "watched cannot be named."
        )
        return None if at_s is None else float(at_s)
