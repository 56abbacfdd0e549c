"""Locks on a page: who waits for whom now, and who blocked in the window."""

from __future__ import annotations

from datetime import timedelta

import polars as pl
import streamlit as st

from dashboard import data, panels
from dashboard import format as fmt
from dashboard.controls import Scene
from dashboard.lock_tree import Session, trees

FRESH = timedelta(seconds=45)
"""Waits older than this are no longer now."""

MOST_ROOTS = 5
MOST_BLOCKERS = 50
MOST_WAITERS = 12
DEEPEST = 6
SHORT_QUERY = 120


def newest_waits(scene: Scene, waits: pl.DataFrame | None) -> pl.DataFrame | None:
    """The waits of the newest look at each database, as far as they are fresh at the window's end."""
    if waits is None or waits.is_empty():
        return waits
    newest = waits.filter(pl.col("at") == pl.col("at").max().over("target"))
    return newest.filter(pl.col("at") >= scene.past.end - FRESH)


def now(scene: Scene, waits: pl.DataFrame | None) -> None:
    """Trees of those who block with those who wait, as of the newest sample."""
    fresh = newest_waits(scene, waits)
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
    """Who blocked others in the window, the heaviest first."""
    rows = panels.rows(answer, "Blockers")
    if rows is None:
        return
    if rows.is_empty():
        panels.note("No session was seen waiting for another in this window.")
        return
    listed = [
        {
            "Blocker": row["blocker_application"] or row["blocker_user"] or "a session",
            "User": row["blocker_user"],
            "pid": str(row["blocker_pid"]),
            "Root": "root" if row["is_root"] else "waits itself",
            "Victims": fmt.count(row["victims"]),
            "Longest wait": fmt.duration_ms(row["longest_waited_ms"]),
            "Transaction": fmt.duration_ms(row["longest_transaction_ms"]),
            "Last seen": fmt.time_of(row["last_seen_at"], scene.now, scene.zone),
            "Last statement": one_line(row["blocker_query"] or "", 300),
        }
        for row in rows.head(MOST_BLOCKERS).to_dicts()
    ]
    st.dataframe(
        pl.DataFrame(listed),
        key="blockers",
        hide_index=True,
        height="content" if len(listed) <= 10 else 380,
        alt="Sessions that others waited for",
        column_config={
            name: st.column_config.TextColumn(name, alignment="right")
            for name in ("pid", "Victims", "Longest wait", "Transaction", "Last seen")
        },
    )
