"""What stands above a database's charts: the choice, its states, what is missing, and its cards."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import polars as pl
import streamlit as st

from dashboard import choices, controls, data, panels
from dashboard import format as fmt
from dashboard.controls import Scene
from dashboard.database_advice import WORDS, gravity
from dashboard.database_problems import Found

EXAMPLE = """[[database]]
name = "shop"
engine = "postgres"                 # postgres, mysql (MariaDB too) or redis
url = { env = "SHOP_DATABASE_URL" } # postgresql://perfhouse:...@db.example.com/shop
sample_activity_ms = 90             # PostgreSQL: know the p95 better than as a wide bracket
"""
FIRST_PARTS = ("connection", "statements", "activity", "tables")


def configured() -> dict[str, Any]:
    """The databases of this machine's configuration, by name."""
    return {database.name: database for database in data.configuration().databases}


def names(known: pl.DataFrame) -> list[str]:
    """Databases that were ever told of, and those that are configured here."""
    seen = known["target"].to_list()
    return [*seen, *(name for name in configured() if name not in seen)]


def chosen(known: data.Answer) -> str | None:
    """The database the address names; else the first one configured, or told of."""
    if not isinstance(known, pl.DataFrame):
        return None
    offered, asked = names(known), controls.parameter("database")
    if asked in offered:
        return asked
    return next(iter([*configured(), *offered]), None)


def choose(known: pl.DataFrame, states: pl.DataFrame | None) -> str:
    """The choice, with the engine and version beside it."""
    offered, asked = names(known), controls.parameter("database")
    with st.container(horizontal=True, vertical_alignment="bottom"):
        target = choices.one("Database", "database", offered, default=chosen(known))
        if states is not None:
            state_badges(states)
    if asked and asked not in offered:
        st.warning(f"No database is called {fmt.plain(asked)}, so this is {fmt.plain(target)}.")
    return target


def state_badges(states: pl.DataFrame) -> None:
    """A badge per part of the watch."""
    order = {part: place for place, part in enumerate(FIRST_PARTS)}
    rows = sorted(states.to_dicts(), key=lambda row: (order.get(row["part"], 9), row["part"]))
    version = [row["text"] for row in rows if row["part"] == "connection" and row["state"] == "ok"]
    with st.container(horizontal=True, vertical_alignment="center", key="database_states"):
        if version and version[0]:
            st.markdown(fmt.plain(version[0]), width="content")
        for row in rows:
            words = "no word lately" if row["is_silent"] else WORDS.get(row["state"], row["state"])
            grave = "unknown" if row["is_silent"] else gravity(row["part"], row["state"])
            panels.badge(f"{row['part']}: {words}", grave)


def problems(found: Found) -> None:
    """What is wrong, the gravest first, and what is only worth a warning."""
    for lines, one, show, icon in (
        (found.problems, "problem", st.error, ":material/error:"),
        (found.warnings, "warning", st.warning, ":material/warning:"),
    ):
        if lines:
            show("\n".join(f"- {line}" for line in lines), title=fmt.plural(len(lines), one), icon=icon)


def silence(scene: Scene, states: pl.DataFrame | None) -> None:
    """That the collector has fallen silent, where no part of the watch was told of lately."""
    if states is None or states.is_empty() or not states["is_silent"].all():
        return
    last = states["last_at"].max()
    heard = fmt.age(last, scene.now) if isinstance(last, datetime) else "never"
    st.warning(
        f"The last word on this database came {heard}, so how it does now is not known. Start the collectors "
        "with `perfhouse.py up` or `perfhouse.py collect`, or read their log.",
        title="Its collector is silent",
        icon=":material/volume_off:",
    )


def none_configured() -> None:
    """No database is watched: how to add one."""
    file = fmt.plain(data.configuration().path)
    with st.container(border=True):
        st.header("No database is watched", anchor=False)
        st.markdown(f"Add a table for each to {file}, and start the collectors again:")
        st.code(EXAMPLE, language="toml")
        st.markdown(
            "PostgreSQL: the role needs `pg_monitor`, and the extension `pg_stat_statements` in the "
            "database. `perfhouse.py check` finds mistakes in the configuration."
        )


def never_reached(target: str) -> None:
    """Configured, but no collector has told anything of it."""
    with st.container(border=True):
        st.header("Nothing was told of this database yet", anchor=False)
        st.markdown(
            f"{fmt.plain(target)} is in the configuration, but no collector has reported on it. Start the "
            "collectors with `perfhouse.py up` or `perfhouse.py collect`, or read their log; the "
            "Collectors page tells what runs."
        )
