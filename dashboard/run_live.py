"""A run over its time, in numbers and charts: anew each second while it is on, once when it has ended."""

from __future__ import annotations

from typing import Any

import polars as pl
import streamlit as st

from dashboard import data, load_active, panels, run_charts, run_report, run_resources
from dashboard import format as fmt
from dashboard import run_words as words
from dashboard.access import Access
from dashboard.controls import Scene
from dashboard.data import question
from dashboard.panels import Card
from dashboard.run_charts import Axis, Line
from dashboard.run_words import Row
from warehouse.model import now
from warehouse.plan import Plan, users_at

RECENT_S = 5
"""Rates of this moment are means over so many seconds."""

MANY_REQUESTS, SLOWLY_S = 300_000, 5.0
"""A run of so many requests is asked for more rarely: its percentiles are over all of them."""

BOUND_CPU = 0.9
"""A generator with more CPU than this (of one core, its busiest process) measures itself."""


def questions(row: Row, length_s: float, phase: str) -> dict[str, data.Question]:
    """What is asked of a run, each second while it is on."""
    run_id = row["run_id"]
    return {
        "seconds": question("run_seconds", run_id=run_id, width_s=run_charts.width_s(length_s)),
        "endpoints": question("run_endpoints", run_id=run_id, phase=phase),
        "failures": question("run_failures", run_id=run_id),
        "resources": question("run_resources", run_id=run_id),
    }


def length_of(row: Row, plan: Plan) -> float:
    """How long its time axis is, in seconds: the plan's while it is on, its own once it has ended."""
    if row["started_at"] is None:
        return plan.duration_s
    until = row["ended_at"] or now()
    gone_s = float((until - row["started_at"]).total_seconds())
    return max(1.0, gone_s) if not words.is_active(row) else max(plan.duration_s, gone_s)


def show(scene: Scene, row: Row, plan: Plan, mine: Access, mark_s: float | None) -> None:
    """All of it; a fragment of its own while the run is on. `mark_s` is when it broke."""
    run_report.choose_phase(plan)
    active = words.is_active(row)
    every_s = load_active.EVERY_S if (row["requests"] or 0) < MANY_REQUESTS else SLOWLY_S
    drawn = st.fragment(_drawn, run_every=every_s if active else None)
    drawn(scene, row["run_id"], plan, mine, mark_s, state=row["state"])


def _drawn(scene: Scene, run_id: str, plan: Plan, mine: Access, mark_s: float | None, *, state: str) -> None:
    """Ask, draw, and have the whole page drawn when the run is in another state than it was."""
    row = _row(run_id)
    if row is None:
        return
    if row["state"] != state:
        data.forget()
        st.rerun()
    length_s, active = length_of(row, plan), words.is_active(row)
    answers = data.ask(questions(row, length_s, run_report.phase()), fresh=active)
    if active:
        _progress(row, plan, mine)
    seconds = panels.rows(answers["seconds"], "Over time")
    if row["started_at"] is None:
        st.markdown("Nothing has been measured yet.")
        return
    if seconds is not None:
        _cards(row, plan, seconds, live=active)
        _charts(scene, row, plan, seconds, length_s, mark_s)
    run_resources.show(scene, answers["resources"], length_s, mark_s)
    run_report.endpoints(answers["endpoints"], plan)
    run_report.failures(scene, answers["failures"], row)


def _row(run_id: str) -> dict[str, Any] | None:
    found = panels.rows(data.ask({"run": question("run", run_id=run_id)}, fresh=True)["run"], "The run")
    return found.row(0, named=True) if found is not None and len(found) else None


def _progress(row: Row, plan: Plan, mine: Access) -> None:
    told = words.progress(row, plan.duration_s, now())
    with st.container(border=True, key="run_progress"):
        with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
            st.markdown(f"**{fmt.plain(told.text)}**", width="content")
            load_active.stop_button(row, mine, "stop_run")
        st.progress(told.share)


def _cards(row: Row, plan: Plan, seconds: pl.DataFrame, *, live: bool) -> None:
    """The run so far in numbers, the last seconds where they say more."""
    known = seconds.sort("elapsed_s")
    whole = known.filter(pl.col("requests").is_not_null())
    n, requests = int(row["n"] or 0), int(row["requests"] or 0)
    users = known["users"].drop_nulls()
    planned = users_at(plan.stages, float(known["elapsed_s"].max() or 0.0)) if len(known) else 0.0  # type: ignore[arg-type]
    shown = [
        Card(
            "Users" if live else "Users at most",
            f"{fmt.count(users[-1]) if live and len(users) else fmt.count(row['users_max'])}",
            compared=f"planned {planned:.0f}" if live else f"planned {plan.users}",
            better="neither",
            trend=users.to_list(),
        ),
        _rate_card(row, whole, live=live),
        *(
            Card(
                f"p{percentile}" + (" · too few" if n and fmt.too_few(n, percentile) else ""),
                fmt.duration_ms(row[f"p{percentile}_ms"], above=bool(row[f"p{percentile}_above"])),
                compared=f"n = {fmt.count(n)}",
                trend=whole[f"p{percentile}_ms"].drop_nulls().to_list(),
                help="Corrected: from when a request was due to its end. Nearest rank over the "
                f"requests {'so far' if live else 'of the run'} that were answered rightly or timed out.",
            )
            for percentile in (50, 95, 99)
        ),
        Card(
            "Failures",
            fmt.ratio(row["error_ratio"]),
            compared=f"{fmt.count(row['failures'])} of {fmt.count(requests)}",
            trend=whole["failures"].to_list(),
        ),
        Card(
            "Generator CPU",
            fmt.ratio(row["generator_cpu_max"]),
            compared="its most",
            better="neither",
            trend=known["generator_cpu"].drop_nulls().to_list(),
            help="Of one core, of the busiest process of the load generator. Over 90 % the numbers tell more "
            "of "
            "it than of the target.",
        ),
        Card(
            "Dropped arrivals",
            fmt.count(row["dropped"]),
            better="neither",
            help="Requests that were due and were not sent, because the generator could not keep up.",
        ),
    ]
    panels.cards(shown, most=4)


def _rate_card(row: Row, whole: pl.DataFrame, *, live: bool) -> Card:
    trend = whole["rps"].drop_nulls().to_list()
    if not live:
        return Card("Requests/s", words.per_second(row["rps"]), better="higher", trend=trend, compared="mean")
    recent = trend[-RECENT_S:]
    value = sum(recent) / len(recent) if recent else None
    return Card(
        "Requests/s", words.per_second(value), better="higher", trend=trend, compared=f"last {RECENT_S} s"
    )


def _charts(
    scene: Scene, row: Row, plan: Plan, seconds: pl.DataFrame, length_s: float, mark_s: float | None
) -> None:
    """Users, rate, latency and the generator over elapsed time."""
    step = run_charts.width_s(length_s)
    rows = seconds.with_columns(
        planned=pl.col("elapsed_s").map_elements(
            lambda at: users_at(plan.stages, at), return_dtype=pl.Float64, skip_nulls=False
        ),
        failures_per_s=pl.col("failures") / step,
    )
    charts: tuple[tuple[str, tuple[Line, ...], Axis, str], ...] = (
        ("Latency, corrected", run_charts.LATENCY, run_charts.MS, "p50, p95 and p99"),
        ("Requests and failures a second", run_charts.RATES, run_charts.PER_S, "Requests and failures"),
        ("Users", run_charts.PEOPLE, run_charts.USERS, "Planned and actual users"),
        ("Load generator", run_charts.GENERATOR, run_charts.FULL_PERCENT, "CPU of the load generator"),
    )
    with st.grid(2, min_column_width=320, gap="small"):
        for title, lines, axis, alt in charts:
            with st.container(border=True, height="stretch"):
                st.header(title, anchor=False)
                option = run_charts.over_time(scene.stage.palette, rows, lines, axis, length_s, mark_s=mark_s)
                run_resources.draw(option, title, alt)
                panels.note(_note(title, row, seconds, step))


def _note(title: str, row: Row, seconds: pl.DataFrame, step: int) -> str:
    if title.startswith("Latency"):
        usual = seconds.filter(pl.col("n") > 0)["n"].median()
        near = "within 1 % of the nearest rank" if "1s" in seconds["tier"] else "the nearest rank"
        told = f"Each point: {near} over {step} s"
        if isinstance(usual, float):
            told += f", usually n = {fmt.count(usual)}"
            if usual < fmt.MIN_N[99]:
                told += "; p99 wants 100"
        return f"{told}. Without waiting: what the target took once it was asked."
    if title.startswith("Users"):
        return "The planned curve is the preset's."
    if title.startswith("Load generator"):
        backlog = seconds["backlog"].max()
        late = (
            f" At most {fmt.count(backlog)} arrivals waited." if isinstance(backlog, int) and backlog else ""
        )
        bound = " It was at its limit." if (row["generator_cpu_max"] or 0) > BOUND_CPU else ""
        return f"Of one core, the busiest process.{bound}{late}"
    return f"Means over {step} s. Requests are counted when they began."
