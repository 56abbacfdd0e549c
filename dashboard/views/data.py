"""Any question's rows over the window: filtered, looked at, counted, exported."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import polars as pl
import streamlit as st

from dashboard import catalogue, choices, data, exports, filters, page, panels
from dashboard import format as fmt
from dashboard.catalogue import Entry
from dashboard.controls import Scene
from dashboard.data import question
from warehouse.errors import PerfhouseError, RefusedError

FIRST = 20
DEFAULT = "attempts"


def questions(scene: Scene) -> dict[str, data.Question]:
    """This page asks when it knows the filters."""
    del scene
    return {}


def body(scene: Scene, answers: page.Answers) -> None:
    """The choice of rows and filters, the first rows, the ways to get all."""
    known = data.catalogue()
    if isinstance(known, PerfhouseError):
        panels.fault(known, "Questions")
        return
    whole = [name for name, each in known.items() if not needed(each["parameters"])]
    names = sorted(whole, key=lambda name: catalogue.TITLES.get(name, name).lower())
    titles = {name: catalogue.title_of(question(name), merged_matters=False) for name in names}
    name = choices.one("Rows", "rows", names, default=DEFAULT, words=titles)
    schema = known[name]["parameters"]
    filters.draw(schema, {**answers, **data.ask({"databases": question("databases")})})
    st.markdown(fmt.plain(known[name]["answers"].replace("`", "")))
    window = scene.window if "start" in schema["properties"] else None
    asked = question(name, window, **filters.given(schema))
    first = data.Question(asked.name, (*asked.parameters, ("first", FIRST)))
    answer = data.ask({"first": first})["first"]
    wrong = answer.field if isinstance(answer, RefusedError) else ""
    rows = panels.rows(answer, wrong.capitalize() or "First rows")
    if rows is None:
        return
    total = len(rows) if len(rows) < FIRST else data.count(asked)
    everything(scene, Entry(titles[name], asked), total)
    with st.container(border=True):
        st.header("First rows", anchor=False)
        if rows.is_empty():
            st.markdown("There are none in this window with these filters.")
        else:
            st.dataframe(shown(rows), hide_index=True, height="content", key="preview", alt="The first rows")


def needed(schema: Mapping[str, Any]) -> set[str]:
    """Parameters without which there is no answer, as a run's id: its own page exports that."""
    return set(schema.get("required", ())) - {"start", "end"}


def everything(scene: Scene, entry: Entry, total: int | None) -> None:
    """How to get all rows: buttons, and the command that does the same."""
    with st.container(border=True):
        amount = "All rows" if total is None else fmt.plural(total, "row")
        st.header(amount, anchor=False)
        exports.buttons(entry, "all")
        st.markdown("The same from the command line:")
        st.code(catalogue.command(entry.asked, "csv", scene.now), language=None, wrap_lines=True)
        panels.note(
            "Instants are UTC to the millisecond. CSV puts an apostrophe before text that a spreadsheet "
            "would run; Parquet keeps text and types exactly. Raw rows come in the order they arrived."
        )


def shown(rows: pl.DataFrame) -> pl.DataFrame:
    """Rows as they are, instants to the millisecond."""
    return rows.with_columns(pl.selectors.datetime().dt.strftime("%Y-%m-%d %H:%M:%S%.3f"))


page.show("Data", questions, body)
