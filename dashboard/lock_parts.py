"""Locks on a page: who waits for whom now, and who blocked in the window."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

import polars as pl
import streamlit as st

from dashboard import data, panels
from dashboard import format as fmt
from dashboard.controls import Scene
from dashboard.lock_tree import Session, trees
from dashboard.window import Window

FRESH = timedelta(seconds=45)
"""Waits older than this are no longer now."""

MOST_ROOTS = 5
MOST_WAITERS = 12
MOST_BLOCKERS = 50
DEEPEST = 6
SHORT_QUERY = 120


def reach(scene: Scene) -> Window:
    """The time in which a wait counts as now: the end of the window that has happened."""
    past = scene.past
    return replace(past, start=past.end - FRESH)


def newest_waits(waits: pl.DataFrame | None) -> pl.DataFrame | None:
    """The waits of the newest look at each database, of those asked for."""
    if waits is None or waits.is_empty():
        return waits
    return waits.filter(pl.col("at") == pl.col("at").max().over("target"))


def now(scene: Scene, waits: pl.DataFrame | None) -> None:
    """Trees of those who block with those who wait, as of the newest sample."""
    fresh = newest_waits(waits)
    if fresh is None:
        return
    roots = trees(fresh.to_dicts())
    if not roots:
        moment = "now" if scene.window.follows_now else "at the end of the window"
        st.markdown(f"No session waits for a lock {moment}.")
        return
    at = fmt.time_of(fresh["at"][0], scene.now, scene.zone)
    panels.note(f"As of {at}. Who blocks stands above those that wait for it.")
    for root in roots[:MOST_ROOTS]:
        _root(root)
    if len(roots) > MOST_ROOTS:
        panels.note(f"{fmt.plural(len(roots) - MOST_ROOTS, 'other blocker')} not drawn.")


def _root(root: Session) -> None:
    """One blocker: who it is, its query, and the tree below it."""
    state = f", {fmt.plain(root.state)}" if root.state else ""
    opened = f", transaction open for {fmt.duration_ms(root.transaction_ms)}" if root.transaction_ms else ""
    waiting = fmt.plural(root.blocked, "session")
    with st.container(border=True):
        st.markdown(f"**{_named(root)}**{state}{opened} blocks **{waiting}**:")
        if root.query:
            st.code(root.query, language="sql", wrap_lines=True)
        else:
            panels.note("Its last statement is not known.")
        lines = _below(root, 0)
        if len(lines) > MOST_WAITERS:
            lines = [*lines[:MOST_WAITERS], f"- and {len(lines) - MOST_WAITERS} more"]
        st.markdown("\n".join(lines))


def _below(session: Session, depth: int) -> list[str]:
    """A nested list of those that wait for a session."""
    lines = []
    for waiter in session.waiters:
        waited = f" waits {fmt.duration_ms(waiter.waited_ms)}" if waiter.waited_ms is not None else " waits"
        lock = f" for {fmt.plain(waiter.lock)}" if waiter.lock else ""
        query = f": {fmt.plain(one_line(waiter.query))}" if waiter.query else ""
        lines.append(f"{'    ' * min(depth, DEEPEST)}- {_named(waiter)}{waited}{lock}{query}")
        lines += _below(waiter, depth + 1)
    return lines


def _named(session: Session) -> str:
    who = session.application or session.user or "a session"
    user = f"user {session.user}, " if session.user and session.application else ""
    return fmt.plain(f"{who} ({user}pid {session.pid}, database {session.database})")


def one_line(query: str, limit: int = SHORT_QUERY) -> str:
    """A query's text on one line, shortened."""
    flat = " ".join(query.split())
    return flat if len(flat) <= limit else f"{flat[: limit - 1]}…"


def in_window(scene: Scene, answer: data.Answer) -> None:
    """Who blocked others in the window, the newest first."""
    rows = panels.rows(answer, "Blockers")
    if rows is None or rows.is_empty():
        if rows is not None:
            panels.note("No session was seen waiting for another in this window.")
        return
    listed = rows.head(MOST_BLOCKERS).to_dicts()
    st.subheader("Blockers in this window", anchor=False)
    kinds = st.column_config
    right = ("Last seen", "Blocked", "Longest wait", "Transaction")
    st.dataframe(
        pl.DataFrame(
            {
                "Who": [_who(row) for row in listed],
                "Root": ["root" if row["is_root"] else "waits itself" for row in listed],
                "State": [row["blocker_state"] for row in listed],
                "Blocked": [fmt.plural(row["victims"], "session") for row in listed],
                "Longest wait": [fmt.duration_ms(row["longest_waited_ms"]) for row in listed],
                "Transaction": [fmt.duration_ms(row["longest_transaction_ms"]) for row in listed],
                "Last seen": [fmt.time_of(row["last_seen_at"], scene.now, scene.zone) for row in listed],
                "Query": [one_line(row["blocker_query"] or "(not known)", 300) for row in listed],
            }
        ),
        key="blockers",
        hide_index=True,
        height="content" if len(listed) <= 8 else 320,
        alt="Sessions that blocked others",
        column_config={
            "Who": kinds.TextColumn(pinned=True, width=210),
            **{name: kinds.TextColumn(alignment="right") for name in right},
        },
    )
    if len(rows) > MOST_BLOCKERS:
        panels.note(f"The newest {MOST_BLOCKERS} of {len(rows)} are shown.")


def _who(row: Mapping[str, Any]) -> str:
    name = row["blocker_application"] or row["blocker_user"] or "a session"
    return f"{name} (pid {row['blocker_pid']}, {row['database']})"
