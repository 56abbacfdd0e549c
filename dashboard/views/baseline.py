"""A target's window or load test against its baseline: verdicts per endpoint, pinning, the list."""

from __future__ import annotations

import polars as pl
import streamlit as st

from dashboard import (
    baseline_again,
    baseline_loads,
    baseline_parts,
    baseline_pin,
    choices,
    controls,
    data,
    latency_parts,
    page,
    panels,
)
from dashboard import format as fmt
from dashboard.baseline_words import Row
from dashboard.controls import Scene
from dashboard.data import question


def targets() -> list[str]:
    """The targets that were ever probed, had a load test or have a baseline, by name."""
    known = data.ask({name: question(name) for name in ("endpoints", "watching", "baselines")})
    watching = page.frame(known["watching"])
    if watching is not None:
        known["watching"] = watching.filter(pl.col("kind") == "loadtest")
    frames = [page.frame(answer) for answer in known.values()]
    return sorted({target for rows in frames if rows is not None for target in rows["target"]})


def asked_target(known: list[str]) -> str | None:
    """The target that the address names, or the first."""
    named = controls.parameter("target")
    return named if named in known else next(iter(known), None)


def questions(scene: Scene) -> dict[str, data.Question]:
    """The target's baselines, and the comparison with the active one of a window or a load test."""
    target = asked_target(targets())
    if target is None:
        return {}
    asked = {"baselines": question("baselines", target=[target]), "runs": baseline_loads.finished(target)}
    known = page.frame(data.ask(asked)["baselines"])
    if known is None:
        return asked
    active = active_of(known)
    asked |= baseline_again.questions(scene, target, known.to_dicts())
    if active is None:
        return asked
    if active["kind"] == "runs":
        return asked | baseline_loads.questions(target, active)
    return asked | {"findings": question("baseline_compare", scene.past, target=target)}


def active_of(answer: data.Answer | None) -> Row | None:
    """The active baseline."""
    rows = page.frame(answer)
    return None if rows is None else page.first(rows.filter(pl.col("is_active")))


def body(scene: Scene, answers: page.Answers) -> None:
    """The choice of the target, how its window compares, then pinning and the list."""
    known = targets()
    if not known:
        panels.nothing_here(scene, "probe attempts", None)
        return
    target = choices.one("Target", "target", known)
    rows = panels.rows(answers["baselines"], "Baselines")
    if rows is None:
        return
    active = active_of(rows)
    if active is None:
        _none_active(target, is_empty=rows.is_empty())
    elif active["kind"] == "runs":
        baseline_loads.show(scene, answers, active)
    elif "findings" in answers:
        baseline_parts.findings(answers["findings"], active)
    baseline_again.show(scene, rows.to_dicts(), answers.get("again"))
    baseline_pin.window_form(scene, target)
    runs = page.frame(answers["runs"])
    if runs is not None:
        baseline_pin.runs_form(scene, target, runs)
    if not rows.is_empty():
        baseline_parts.listed(scene, rows.to_dicts())
    st.page_link(
        latency_parts.LATENCY_PAGE,
        label="API latency",
        icon=":material/speed:",
        query_params={**controls.carried(), "target": target},
    )


def _none_active(target: str, *, is_empty: bool) -> None:
    """Nothing to compare with, and what to do."""
    with st.container(border=True, key="no_baseline"):
        st.header("Nothing to compare with yet", anchor=False)
        told = "has no baseline" if is_empty else "has no active baseline: activate one below, or pin another"
        st.markdown(
            f"{fmt.plain(target)} {told}. Choose a range in which all was well, a day or a week "
            "best, and pin it below: the last hour is then held against it, endpoint by endpoint. "
            "`perfhouse.py baseline pin` does the same from the command line."
        )


page.show("Baseline", questions, body, also=("baselines", "runs"))
