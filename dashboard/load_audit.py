"""Who asked for what on load tests, and what became of it: done, refused, or missed by a schedule."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import polars as pl
import streamlit as st

from dashboard import data, panels
from dashboard import format as fmt
from dashboard import run_words as words
from dashboard.controls import Scene
from dashboard.data import question
from dashboard.window import Window, absolute

DAYS = 30
MOST = 200
"""As many of the newest are listed."""

RECENT = timedelta(days=1)
OUTCOMES = {"done": "done", "refused": "✕ refused", "missed": "◌ missed"}
ACTIONS = {"launch": "start", "cancel": "stop", "pin": "set as baseline", "unpin": "no baseline any more"}
TALL = 12


def asked(scene: Scene) -> data.Question:
    """The newest actions."""
    start, end = scene.now - timedelta(days=DAYS), scene.now + timedelta(minutes=5)
    return question("audit_log", Window(start, end, absolute(start, end)), limit=MOST)


def show(scene: Scene, answer: data.Answer) -> None:
    """A table, the newest first, which opens by itself for nobody."""
    rows = panels.rows(answer, "Audit log")
    if rows is None:
        return
    newest = rows.sort("at", descending=True)
    with st.expander(f"Audit log{_recently(scene, newest)}", icon=":material/shield_person:", key="audit"):
        if newest.is_empty():
            st.markdown(f"Nobody asked for anything in the last {DAYS} days.")
            return
        kinds = st.column_config
        st.dataframe(
            _cells(scene, newest),
            hide_index=True,
            height="content" if len(newest) <= TALL else 460,
            alt="Who asked for what on load tests, the newest first",
            column_config={
                "at": kinds.TextColumn("When", width=150),
                "who": kinds.TextColumn("Who", width=190),
                "action": kinds.TextColumn("What", width=110),
                "outcome": kinds.TextColumn("Outcome", width=90),
                "subject": kinds.TextColumn("Of", width=200),
                "text": kinds.TextColumn("Said", width=420),
                "via": kinds.TextColumn("By", width=120),
            },
        )
        st.caption(
            f"The newest {MOST} of {DAYS} days at most. What was refused for its token or body is counted: a "
            "row a minute for each kind. The question `audit_log` has everything."
        )


def _recently(scene: Scene, rows: pl.DataFrame) -> str:
    """` · 2 refused and 1 missed in the last 24 hours`."""
    fresh = rows.filter(pl.col("at") > scene.now - RECENT)
    told = [
        f"{fmt.count(amount)} {name}"
        for name in ("refused", "missed")
        if (amount := fresh.filter(pl.col("outcome") == name).height)
    ]
    return f" · {' and '.join(told)} in the last 24 hours" if told else ""


def _cells(scene: Scene, rows: pl.DataFrame) -> pl.DataFrame:
    listed = rows.to_dicts()
    return pl.DataFrame(
        {
            "at": [fmt.clock(row["at"], scene.zone) for row in listed],
            "who": [_who(row) for row in listed],
            "action": [ACTIONS.get(row["action"], row["action"]) for row in listed],
            "outcome": [OUTCOMES.get(row["outcome"], row["outcome"]) for row in listed],
            "subject": [fmt.option(row["subject"]) for row in listed],
            "text": [fmt.option(row["text"]) for row in listed],
            "via": [words.VIA.get(row["via"], fmt.option(row["via"])) for row in listed],
        }
    )


def _who(row: dict[str, Any]) -> str:
    return "whoever sat at this machine" if row["who"] == "local" else fmt.option(row["who"])
