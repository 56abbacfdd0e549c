"""Load tests: what runs, what can be started, what ran."""

from __future__ import annotations

from datetime import timedelta

import polars as pl
import streamlit as st

from dashboard import (
    access,
    data,
    load_active,
    load_audit,
    load_curve,
    load_history,
    load_launch,
    page,
    panels,
)
from dashboard.access import Access
from dashboard.controls import Scene
from dashboard.data import question

SEEN_S = 15
"""A load agent that said nothing for so long is not there."""


def questions(scene: Scene) -> dict[str, data.Question]:
    """Everything this page asks."""
    return {
        "runs": load_history.asked(),
        "all_runs": question("runs"),
        "agents": question("load_agents"),
        "audit": load_audit.asked(scene),
    }


def body(scene: Scene, answers: page.Answers) -> None:
    """What is on, the presets, the history."""
    mine = access.mine()
    everything = panels.rows(answers["all_runs"], "Load tests")
    newest = None
    if everything is not None:
        ended = everything.filter(~pl.col("state").is_in(["requested", "starting", "running", "stopping"]))
        newest = ended.row(0, named=True) if len(ended) else None
        load_active.show(everything, newest, mine)
    load_launch.show(data.configuration(), mine, agents_there(scene, answers["agents"]))
    _past(scene, answers, everything, mine)
    load_audit.show(scene, answers["audit"])


def _past(scene: Scene, answers: page.Answers, everything: pl.DataFrame | None, mine: Access) -> None:
    """Every run that was, and load against latency."""
    rows = panels.rows(answers["runs"], "History") if everything is not None else None
    if everything is None or rows is None:
        return
    if everything.is_empty():
        with st.container(border=True):
            st.header("History", anchor=False)
            st.markdown("Every run is kept here with each of its requests, and any two can be compared.")
        return
    load_history.show(scene, rows, everything, mine)
    load_curve.show(scene, everything)


def agents_there(scene: Scene, answer: data.Answer) -> int | None:
    """How many load agents there are; None where it is not known."""
    rows = page.frame(answer)
    if rows is None:
        return None
    return int((scene.now - rows["seen_at"] < timedelta(seconds=SEEN_S)).sum())


page.show("Load tests", questions, body, timeless=True)
