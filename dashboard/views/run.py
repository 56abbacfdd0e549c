"""One load test: live while it is on, and everything that came of it."""

from __future__ import annotations

from typing import Any

import polars as pl
import streamlit as st

from dashboard import (
    access,
    baseline_loads,
    controls,
    data,
    page,
    run_broke,
    run_live,
    run_manage,
    run_marks,
    run_report,
)
from dashboard import format as fmt
from dashboard import run_words as words
from dashboard.access import Access
from dashboard.controls import Scene
from dashboard.data import question
from dashboard.window import absolute
from warehouse.errors import PerfhouseError
from warehouse.model import now
from warehouse.plan import Plan


def chosen() -> str:
    """The run the address names."""
    return controls.parameter("run") or ""


def questions(scene: Scene) -> dict[str, data.Question]:
    """Everything this page asks, about one run; what changes every second it asks apart."""
    del scene
    if not chosen():
        return {"runs": question("runs")}
    asked = {"run": question("run", run_id=chosen())}
    first = page.first(data.ask(asked)["run"])
    if first is not None:
        plan = Plan.model_validate_json(first["plan"])
        asked |= run_live.questions(first, run_live.length_of(first, plan), run_report.phase())
        if not words.is_active(first):
            asked["saturation"] = question("run_saturation", run_id=chosen())
            asked["pinned"] = question("baselines", target=[first["target"]])
        asked["runs"] = question("runs", scenario=[first["scenario"]], baseline=True)
    return asked


def body(scene: Scene, answers: page.Answers) -> None:
    """What run it is and how it did, then everything else; without one, which there are."""
    if not chosen():
        run_marks.which(answers["runs"])
        return
    found = answers["run"]
    if isinstance(found, PerfhouseError) or found.is_empty():
        run_marks.unknown(found, chosen())
        return
    row, mine = found.row(0, named=True), access.mine()
    plan = Plan.model_validate_json(row["plan"])
    _head(scene, row)
    _actions(row, answers, mine)
    run_report.verdict(row, plan)
    mark_s = None if words.is_active(row) else run_broke.show(answers["saturation"])
    run_live.show(scene, row, plan, mine, mark_s)
    run_report.plan_and_versions(row, plan)


def _head(scene: Scene, row: dict[str, Any]) -> None:
    """Which run it is."""
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.header(fmt.plain(words.name_of(row)), anchor=False, width="content")
        run_marks.of_run(row)
    began, ended = row["started_at"], row["ended_at"]
    told = [
        f"Scenario {fmt.plain(row['scenario'])}",
        f"{fmt.plain(row['url'])}" + (f" ({fmt.plain(row['environment'])})" if row["environment"] else ""),
        f"asked for by {fmt.plain(words.asked_by(row))} at {fmt.clock(row['requested_at'], scene.zone)}",
    ]
    if began:
        told.append(f"began {fmt.clock(began, scene.zone)}")
    if ended:
        told.append(f"ended {fmt.clock(ended, scene.zone)}")
    if row["cancel_by"]:
        told.append(f"stopped by {fmt.plain(row['cancel_by'])}")
    st.caption(" · ".join([*told, fmt.plain(row["run_id"])]))
    if row["note"]:
        st.markdown(f":material/edit_note: {fmt.plain(row['note'])}")
    if gone := words.deleted(row):
        st.caption(f":material/auto_delete: {gone}")
    for flag, mark in (("is_generator_bound", words.GENERATOR_BOUND), ("is_partial", words.PARTIAL)):
        if row[flag]:
            st.warning(mark.help, title=mark.text.capitalize(), icon=mark.icon)


def _actions(row: dict[str, Any], answers: page.Answers, mine: Access) -> None:
    """Everything that can be done with it."""
    with st.container(horizontal=True, vertical_alignment="center", key="run_actions"):
        if not words.is_active(row):
            _compare(row, page.frame(answers["runs"]))
            baseline_loads.link(row, answers.get("pinned"))
        run_manage.buttons(row, mine, "run")
        if row["started_at"]:
            window = absolute(row["started_at"], row["ended_at"] or now())
            st.page_link(
                "dashboard/views/latency.py",
                label="Probes of that time",
                icon=":material/speed:",
                query_params={controls.RANGE: window, "target": row["target"]},
            )
        st.page_link(run_marks.LIST_PAGE, label="All load tests", icon=":material/list:")


def _compare(row: dict[str, Any], baselines: pl.DataFrame | None) -> None:
    """A way to the comparison with the newest other baseline of the same scenario."""
    fitting = pl.DataFrame() if baselines is None else baselines
    if len(fitting):
        fitting = fitting.filter(
            (pl.col("scenario_hash") == row["scenario_hash"]) & (pl.col("run_id") != row["run_id"])
        )
    if st.button(
        "Compare with its baseline",
        icon=":material/compare_arrows:",
        disabled=fitting.is_empty(),
        key="compare_baseline",
        help="No other run of the same scenario is a baseline yet." if fitting.is_empty() else None,
    ):
        st.switch_page(run_marks.COMPARE_PAGE, query_params={"a": fitting["run_id"][0], "b": row["run_id"]})


page.show("Load test", questions, body, timeless=True)
