"""A database: its states first, then queries, connections, cache, locks and tables."""

from __future__ import annotations

import polars as pl
import streamlit as st

from dashboard import (
    controls,
    data,
    database_cards,
    database_charts,
    database_parts,
    database_problems,
    database_tables,
    lock_parts,
    meanwhile,
    page,
    panels,
    query_latency,
    query_parts,
)
from dashboard.axes import gaps_of
from dashboard.controls import Scene
from dashboard.data import question
from dashboard.database_advice import engine_family
from dashboard.database_numbers import whole_server


def engine_of(known: data.Answer, target: str) -> str:
    """What kind of server a database is: told by its collector, or configured here."""
    if isinstance(known, pl.DataFrame):
        told = known.filter(pl.col("target") == target)["engine"].drop_nulls().to_list()
        if told:
            return engine_family(str(told[0]))
    own = database_parts.configured().get(target)
    return engine_family(own.engine) if own else "postgres"


def questions(scene: Scene) -> dict[str, data.Question]:
    """Everything this page asks, about one database."""
    known = data.ask({"databases": question("databases")})["databases"]
    target = database_parts.chosen(known)
    if target is None:
        return {"databases": question("databases")}
    engine, one = engine_of(known, target), {"target": [target]}
    window, before = scene.window, scene.previous
    metrics = database_charts.metrics(engine)
    asked = {
        "databases": question("databases"),
        "states": question("database_states", scene.past, **one),
        "now": question("database_now", scene.past, **one),
        "trend": question("database_trend", window, metric=metrics, buckets=scene.buckets, **one),
        "gaps": question("gaps", window),
        **meanwhile.asked(scene),
    }
    if engine != "redis":
        asked |= query_parts.questions(scene, target)
        asked |= {
            "waits": question("lock_waits", lock_parts.reach(scene), **one),
            "blockers": question("blockers", window, **one),
        }
    if before is not None:
        asked["before"] = question("database_trend", before, metric=metrics, buckets=1, **one)
    return asked


def body(scene: Scene, answers: page.Answers) -> None:
    """The choice and the states, the cards, then every panel that this engine has."""
    known = panels.rows(answers["databases"], "Databases")
    if known is None:
        return
    if not database_parts.names(known):
        database_parts.none_configured()
        return
    states = panels.rows(answers["states"], "States of the database")
    target = database_parts.choose(known, states)
    if known.filter(pl.col("target") == target).is_empty():
        database_parts.never_reached(target)
        return
    engine = engine_of(known, target)
    now, waits = panels.rows(answers["now"], "Newest samples"), page.frame(answers.get("waits"))
    fresh = lock_parts.newest_waits(waits)
    database_parts.silence(scene, states)
    database_parts.problems(database_problems.found(scene, states, now, fresh))
    trend = panels.rows(answers["trend"], "Numbers of the server")
    if trend is not None:
        cards(scene, answers, engine, target, trend)
    meanwhile.listed(scene, answers)
    if engine != "redis":
        query_parts.show(scene, answers, engine, target, query_parts.marks(trend))
    if trend is not None:
        measures(scene, answers, engine, target, trend)
    if engine != "redis":
        locks(scene, answers)
    database_tables.show(now)


def cards(scene: Scene, answers: page.Answers, engine: str, target: str, trend: pl.DataFrame) -> None:
    """How the server does, the query time among it."""
    compare, past = scene.previous is not None, page.frame(answers.get("before"))
    shown = database_cards.cards(
        engine,
        target,
        page.frame(answers["now"]),
        whole_server(trend),
        None if past is None else whole_server(past),
        compare=compare,
    )
    if engine != "redis":
        told = query_latency.best(page.frame(answers["latency"]))
        line, limit = page.frame(answers["latency_trend"]), query_parts.objective_ms(target)
        shown.insert(3, query_latency.card(engine, told, line, limit))
    panels.cards(shown, most=4)


def measures(scene: Scene, answers: page.Answers, engine: str, target: str, trend: pl.DataFrame) -> None:
    """A chart per panel that has samples."""
    gaps = gaps_of(page.frame(answers["gaps"]), [f"database {target}"])
    if trend.filter(pl.col("n") > 0).is_empty():
        panels.nothing_here(
            scene,
            "samples of this database",
            page.newest_of(answers["databases"], target),
        )
        return
    with st.grid(2, min_column_width=320, gap="small"):
        for panel in database_charts.PANELS[engine]:
            rows = database_charts.rows_of(trend, panel)
            if rows.is_empty():
                continue
            with st.container(border=True, height="stretch"):
                st.header(panel.title, anchor=False)
                drawn = database_charts.measure(scene.stage, rows, panel, gaps)
                meanwhile.shown(scene, drawn, answers)
                controls.chart(scene, drawn, f"db_{panel.metrics[0]}", f"{panel.title} over time")
                panels.note(panel.note)


def locks(scene: Scene, answers: page.Answers) -> None:
    """Who waits for whom."""
    with st.container(border=True):
        st.header("Locks", anchor=False)
        waits = panels.rows(answers["waits"], "Waits for locks")
        if waits is not None:
            lock_parts.now(scene, waits)
        lock_parts.in_window(scene, answers["blockers"])


page.show("Database", questions, body)
