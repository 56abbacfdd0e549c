"""A load test against an active baseline of load tests: which one is compared, and what comes of it."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl
import streamlit as st

from dashboard import baseline_parts, choices, controls, data, page, panels, run_marks
from dashboard import format as fmt
from dashboard import run_words as words
from dashboard.baseline_words import Row
from dashboard.controls import Scene
from dashboard.data import question

RUN = "run"
MOST_OFFERED = 200


def questions(target: str, active: Row) -> dict[str, data.Question]:
    """How the chosen load test compares; nothing is asked where none fits."""
    runs = data.ask({"runs": finished(target)})["runs"]
    run_id = controls.parameter(RUN) or _newest(comparable(runs, active), active)
    return {"findings": question("baseline_compare", target=target, run=run_id)} if run_id else {}


def finished(target: str) -> data.Question:
    """The target's finished load tests."""
    return question("runs", target=[target], state=["finished"])


def members(active: Row) -> list[str]:
    """The runs that the baseline is made of."""
    return [each.strip() for each in str(active["run_ids"] or "").split(",")]


def comparable(answer: data.Answer, active: Row) -> Sequence[Row]:
    """The finished runs of the baseline's scenario, the newest first."""
    rows = page.frame(answer)
    if rows is None or rows.is_empty():
        return []
    own = rows.filter(pl.col("run_id").is_in(members(active)))
    return rows.filter(pl.col("scenario_hash").is_in(own["scenario_hash"].to_list())).to_dicts()


def _newest(fitting: Sequence[Row], active: Row) -> str | None:
    """The newest run of the baseline's own presets that is not one of its own; else the newest there is."""
    own = members(active)
    presets = {row["preset"] for row in fitting if row["run_id"] in own}
    others = [row for row in fitting if row["run_id"] not in own]
    alike = [row for row in others if row["preset"] in presets]
    return next((str(row["run_id"]) for row in (*alike, *others, *fitting)), None)


def show(scene: Scene, answers: page.Answers, active: Row) -> None:
    """The choice of the run, its marks and a way to its page, then each endpoint and measure."""
    rows = panels.rows(answers["runs"], "Load tests")
    if rows is None:
        return
    if "findings" not in answers:
        _none_yet(active)
        return
    known = {str(row["run_id"]): row for row in rows.to_dicts()}
    run_id = _choose(scene, comparable(rows, active)[:MOST_OFFERED], active)
    row = known.get(run_id)
    with st.container(horizontal=True, vertical_alignment="center", gap="small", key="compared_run"):
        if row is None:
            st.markdown(f"{fmt.plain(run_id)} is no finished load test of this target.", width="content")
        else:
            began = fmt.time_of(words.began(row), scene.now, scene.zone)
            st.markdown(f"**{fmt.plain(words.name_of(row))}**, {began}", width="content")
            run_marks.of_run(row)
            st.page_link(
                run_marks.RUN_PAGE,
                label="The load test",
                icon=":material/rocket_launch:",
                query_params={RUN: run_id},
            )
    baseline_parts.findings(answers["findings"], active, baseline_parts.OF_RUN)


def _choose(scene: Scene, offered: Sequence[Row], active: Row) -> str:
    """The run that is compared: a box where there are several."""
    default = _newest(offered, active) or ""
    names = {str(row["run_id"]): _option(scene, row, active) for row in offered}
    named = controls.parameter(RUN)
    if named and named not in names:
        names = {named: named, **names}
    return choices.one("Load test", RUN, list(names), default, names)


def _option(scene: Scene, row: Row, active: Row) -> str:
    began = fmt.clock(words.began(row), scene.zone, seconds_too=False)
    version = f" · {row['target_version']}" if row["target_version"] else ""
    own = " · of the baseline" if row["run_id"] in members(active) else ""
    return fmt.option(f"{began} · {row['preset']}{version}{own}")


def link(run: Row, baselines: data.Answer | None) -> None:
    """A way from a run's page to its comparison, where the target's active baseline is of load tests."""
    rows = page.frame(baselines)
    if rows is None or rows.filter(pl.col("is_active") & (pl.col("kind") == "runs")).is_empty():
        return
    st.page_link(
        baseline_parts.PAGE,
        label="Against the baseline",
        icon=":material/flag:",
        query_params={"target": run["target"], RUN: run["run_id"]},
    )


def _none_yet(active: Row) -> None:
    """No finished run to hold against it."""
    with st.container(border=True, key="no_run"):
        st.header("No load test to compare yet", anchor=False)
        st.markdown(
            f"{fmt.plain(active['name'])} is made of load tests. The next one of the same scenario that "
            "finishes is held against it here, endpoint by endpoint."
        )
        st.page_link(run_marks.LIST_PAGE, label="Load tests", icon=":material/list:")
