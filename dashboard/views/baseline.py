"""A target's window against its baseline: verdicts per endpoint and percentile, pinning, the list."""

from __future__ import annotations

import polars as pl
import streamlit as st

from dashboard import baseline_parts, choices, controls, data, latency_parts, page, panels
from dashboard import format as fmt
from dashboard.baseline_words import Row
from dashboard.controls import Scene
from dashboard.data import question


def targets(answer: data.Answer | None) -> list[str]:
    """The targets that were ever probed, by name."""
    rows = page.frame(answer)
    return [] if rows is None else sorted(rows["target"].unique())


def asked_target(known: list[str]) -> str | None:
    """The target that the address names, or the first."""
    named = controls.parameter("target")
    return named if named in known else next(iter(known), None)


def questions(scene: Scene) -> dict[str, data.Question]:
    """The target's baselines, and the comparison with the active one where it is a period."""
    known = data.ask({"endpoints": question("endpoints")})
    target = asked_target(targets(known["endpoints"]))
    if target is None:
        return {}
    asked = {"baselines": question("baselines", target=[target])}
    active = active_of(data.ask(asked)["baselines"])
    if active is not None and active["kind"] == "period":
        past = scene.past
        asked["findings"] = question("baseline_compare", past, target=target)
    return asked


def active_of(answer: data.Answer | None) -> Row | None:
    """The active baseline."""
    rows = page.frame(answer)
    return None if rows is None else page.first(rows.filter(pl.col("is_active")))


def body(scene: Scene, answers: page.Answers) -> None:
    """The choice of the target, how its window compares, then pinning and the list."""
    known = targets(answers["endpoints"])
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
    elif "findings" in answers:
        baseline_parts.findings(answers["findings"], active)
    else:
        _of_runs(active)
    baseline_parts.pin_form(scene, target)
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


def _of_runs(active: Row) -> None:
    """The active baseline is of load tests: probes are not compared with those."""
    with st.container(border=True, key="of_runs"):
        st.header("The active baseline is of load tests", anchor=False)
        st.markdown(
            f"{fmt.plain(active['name'])} is compared with load tests: "
            "`perfhouse.py baseline compare --run`. Pin a window below to compare probes."
        )


page.show("Baseline", questions, body)
