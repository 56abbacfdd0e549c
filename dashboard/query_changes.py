"""Shapes of queries that appeared or vanished since a moment, and the choice of that moment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import MappingProxyType

import polars as pl
import streamlit as st

from dashboard import controls, data, panels
from dashboard import format as fmt
from dashboard.controls import Scene
from dashboard.lock_parts import one_line
from dashboard.query_table import name_of, open_shape, query_of

HALF, TYPED = "half", "typed"
SPANS: Mapping[str, timedelta] = MappingProxyType({"1h": timedelta(hours=1), "24h": timedelta(hours=24)})
WORDS: Mapping[str, str] = MappingProxyType(
    {HALF: "Middle of the window", "1h": "1 h ago", "24h": "24 h ago", TYPED: "Typed"}
)
FORM = "%Y%m%dT%H%M%SZ"
NONE_NEW = (
    "No query was called for the first time since then (those of the first ten minutes of a database's watch "
    "are new only to us)."
)
MOST_ROWS = 200
LONGEST = timedelta(days=200)
SHORTEST = timedelta(seconds=10)


def middle(scene: Scene) -> datetime:
    """The middle of the part of the window that has happened."""
    past = scene.past
    return (past.start + (past.end - past.start) / 2).replace(microsecond=0)


def moment(scene: Scene) -> tuple[str, datetime]:
    """Which choice the address makes, and the moment it means."""
    asked = controls.parameter("since") or ""
    if asked in SPANS:
        return asked, scene.past.end - SPANS[asked]
    try:
        typed = datetime.strptime(asked, FORM).replace(tzinfo=UTC)
    except ValueError:
        return HALF, middle(scene)
    usable = LONGEST > scene.past.end - typed > SHORTEST
    return (TYPED, typed) if usable else (HALF, middle(scene))


def asked(scene: Scene, target: str) -> data.Question:
    """What changed at the moment, over the window and at least as long before the moment as since then."""
    _, at = moment(scene)
    past = scene.past
    start = min(past.start, at - (past.end - at))
    wide = replace(past, start=start)
    return data.question("query_changes", wide, target=[target], since=at)


def choose(scene: Scene) -> None:
    """The moment since when shapes are new or gone."""
    choice, at = moment(scene)
    st.session_state["since_choice"] = choice
    with st.container(horizontal=True, vertical_alignment="bottom"):
        st.segmented_control(
            "Since",
            list(WORDS),
            format_func=WORDS.__getitem__,
            key="since_choice",
            required=True,
            on_change=_take,
            args=(at,),
            wrap=True,
        )
        if choice == TYPED:
            key = f"since_at_{at:%s}"
            st.datetime_input(
                "Moment",
                at.astimezone(scene.zone).replace(tzinfo=None),
                key=key,
                step=60,
                width=220,
                on_change=_take_typed,
                args=(key, scene),
            )
    asked = controls.parameter("since")
    if asked and choice == HALF:
        st.warning("The moment in the address cannot be used, so this is the middle of the window.")


def _take(at: datetime) -> None:
    choice = st.session_state["since_choice"]
    typed = at.astimezone(UTC).strftime(FORM)
    controls.remember("since", {HALF: None, TYPED: typed}.get(choice, choice))


def _take_typed(key: str, scene: Scene) -> None:
    typed = st.session_state[key]
    if isinstance(typed, datetime):
        at = typed.replace(tzinfo=scene.zone).astimezone(UTC)
        controls.remember("since", at.strftime(FORM))


def _unknown(scene: Scene, since: datetime, kept: pl.DataFrame | None) -> str:
    """What cannot be told, because single statistics of the time before are deleted; else empty."""
    rows = [] if kept is None else kept.filter(pl.col("table_name") == "query_stat")["since"].to_list()
    if not rows or rows[0] <= scene.window.start:
        return ""
    from_ = fmt.clock(rows[0], scene.zone)
    if since <= rows[0]:
        return f"Not known: single statistics are kept since {from_}, and only they tell what came and went."
    return f"Single statistics are kept since {from_}: one that was called only before is not missed."


def show(scene: Scene, answer: data.Answer, kept: pl.DataFrame | None) -> None:
    """New shapes beside vanished ones. `kept` says since when there are the statistics that tell them."""
    st.header("New and vanished queries", anchor=False)
    choose(scene)
    rows = panels.rows(answer, "New and vanished queries")
    if rows is None:
        return
    since = moment(scene)[1]
    at, unknown = fmt.clock(since, scene.zone), _unknown(scene, since, kept)
    if unknown:
        panels.note(unknown)
        if rows.is_empty():
            return
    for column, kind, title, none in zip(
        st.columns(2),
        ("new", "vanished"),
        ("New", "Vanished"),
        (
            NONE_NEW,
            "No query that was called often enough before has stayed away since.",
        ),
        strict=True,
    ):
        with column:
            own = rows.filter(pl.col("change") == kind)
            st.subheader(f"{title} since {at}: {len(own)}", anchor=False)
            if own.is_empty():
                panels.note("None that is known." if unknown else none)
            else:
                _table(scene, own, kind)


def _table(scene: Scene, rows: pl.DataFrame, kind: str) -> None:
    listed = rows.head(MOST_ROWS).to_dicts()
    names = [name_of(row) for row in listed]
    seen, label = ("first_seen_at", "First seen") if kind == "new" else ("last_seen_at", "Last seen")
    shown = pl.DataFrame(
        {
            "query": [one_line(query_of(row), 300) for row in listed],
            "seen": [fmt.time_of(row[seen], scene.now, scene.zone) for row in listed],
            "class": [row["category"] for row in listed],
            "calls": [fmt.count(row["calls"]) for row in listed],
            "total": [fmt.duration_ms(row["total_ms"]) for row in listed],
        }
    )
    kinds = st.column_config
    key = f"changes_{kind}_{controls.parameter('shape') or ''}"
    st.dataframe(
        shown,
        key=key,
        hide_index=True,
        height="content" if len(listed) <= 8 else 320,
        alt=f"{kind.capitalize()} queries",
        on_select=lambda: open_shape(key, names),
        selection_mode="single-row",
        column_config={
            "query": kinds.TextColumn("Query", pinned=True, width=240),
            "seen": kinds.TextColumn(label, alignment="right"),
            "class": kinds.TextColumn("Class"),
            "calls": kinds.TextColumn("Calls", alignment="right"),
            "total": kinds.TextColumn("Total", alignment="right"),
        },
    )
