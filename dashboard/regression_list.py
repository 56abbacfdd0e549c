"""Regressions and improvements of a window, and what is watched at all."""

from __future__ import annotations

from datetime import timedelta

import polars as pl
import streamlit as st

from dashboard import format as fmt
from dashboard import panels, regression_marks
from dashboard import regression_words as words
from dashboard.controls import Scene

MOST = 30
SECTIONS = (
    ("Open", ("open",)),
    ("Acknowledged", ("acknowledged",)),
    ("Improvements", ("told",)),
    ("Resolved", ("resolved",)),
)


def show(scene: Scene, rows: pl.DataFrame) -> None:
    """One line each, what nobody has looked at first."""
    for title, states in SECTIONS:
        own = rows.filter(pl.col("state").is_in(states))
        if own.is_empty():
            continue
        with st.container(border=True, key=f"list_{title.lower()}"):
            more = f", the newest {MOST}" if len(own) > MOST else ""
            st.header(f"{title} ({fmt.count(len(own))}{more})", anchor=False)
            for row in own.head(MOST).to_dicts():
                regression_marks.line(scene, row)


def nothing(scene: Scene, watching: pl.DataFrame | None) -> None:
    """That nothing changed, and on what that stands."""
    with st.container(border=True, key="no_regressions"):
        if watching is None or watching.is_empty():
            st.header("Nothing is watched for changes yet", anchor=False)
            st.markdown(
                "Endpoints, queries, databases and hosts are watched as soon as they are measured: within a "
                "minute of their first point."
            )
            return
        ready, series = int(watching["ready"].sum()), int(watching["series"].sum())
        st.header("Nothing changed in this window", anchor=False)
        told = (
            f"{fmt.plural(series, 'series', 'series')} of {fmt.plural(len(watching), 'target')} are watched"
        )
        if ready == 0:
            told += "; none has enough points to be judged yet, so this is no pass"
        elif ready < series:
            told += f"; {fmt.count(series - ready)} of them have too few points to be judged yet"
        st.markdown(f"{told}.")
    del scene


def watched(scene: Scene, rows: pl.DataFrame) -> None:
    """What is watched, up to when it was judged, and what still has too few points."""
    if rows.is_empty():
        return
    with st.container(border=True, key="watching"):
        st.header("What is watched", anchor=False)
        listed = rows.to_dicts()
        st.dataframe(
            pl.DataFrame(
                {
                    "Kind": [words.KINDS.get(row["kind"], row["kind"]) for row in listed],
                    "Target": [row["target"] for row in listed],
                    "Series": [row["series"] for row in listed],
                    "Judged": [row["ready"] for row in listed],
                    "Judged up to": [fmt.time_of(row["until_at"], scene.now, scene.zone) for row in listed],
                    "Points": [_points(row) for row in listed],
                }
            ),
            hide_index=True,
            key="watching_table",
            alt="What is watched for changes",
        )
        panels.note(
            f"A series is judged from {fmt.count(listed[0]['wanted'])} points on; a point of p95 needs 20 "
            "attempts, one of p99 100. The section regressions of the configuration says how long a point "
            "is, and which changes are too small to be told."
        )


def _points(row: words.Row) -> str:
    """How many points the longest series has, and how long the others take to have enough."""
    have = fmt.count(row["points"])
    if row["points"] >= row["wanted"] or row["point_s"] is None:
        return have
    left = timedelta(seconds=(row["wanted"] - row["points"]) * row["point_s"])
    return f"{have} of {fmt.count(row['wanted'])}: judged in {fmt.length(left)}"
