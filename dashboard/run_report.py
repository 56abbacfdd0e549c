"""What came of a run: its verdict with each criterion, its endpoints, its failures, its plan."""

from __future__ import annotations

from typing import Any

import polars as pl
import streamlit as st

from dashboard import controls, data, panels
from dashboard import format as fmt
from dashboard import run_words as words
from dashboard.controls import Scene
from dashboard.run_words import Row
from warehouse.plan import Plan, plateaus

PHASES = {"all": "Whole run", "steady": "Steady phase"}
PHASE = "phase"
OUTCOMES = {"bad_status": "wrong status", "assertion": "failed check", "too_large": "too large"}
PARTS = {"load": "", "token": "token", "setup": "setup", "teardown": "teardown"}
NUMBER_WIDTH = 76


def phase() -> str:
    """What the address says of which part of the run the endpoints are told."""
    asked = controls.parameter(PHASE) or ""
    return asked if asked in PHASES else "all"


def choose_phase(plan: Plan) -> None:
    """Keep the choice in step with the address, before anything is drawn that depends on it."""
    st.session_state["phase_choice"] = phase() if plateaus(plan.stages) else "all"


def _take_phase() -> None:
    chosen = st.session_state["phase_choice"]
    controls.remember(PHASE, None if chosen == "all" else chosen)


def verdict(row: Row, plan: Plan) -> None:
    """Pass, fail or no data, with each criterion's value and n."""
    if words.is_active(row):
        return
    results = words.decoded(row["criteria"]) or []
    with st.container(border=True, key="verdict"):
        mark = words.VERDICT_MARKS.get(row["verdict"], words.UNJUDGED)
        st.header(f"{mark.icon} Verdict: {mark.text}", anchor=False)
        if row["reason"]:
            st.markdown(fmt.plain(row["reason"]))
        if not results:
            none = "It had no criteria: `criteria` of its preset or scenario would say what must hold."
            st.markdown("Its criteria have not been judged yet." if plan.criteria else none)
            return
        shown = pl.DataFrame(
            {
                "criterion": [str(one["text"]) for one in results],
                "verdict": [_verdict_of(one) for one in results],
                "value": [_value_of(one) for one in results],
                "n": [fmt.count(one["n"]) for one in results],
                "why": [str(one["why"] or "") for one in results],
            }
        )
        kinds = st.column_config
        st.dataframe(
            shown,
            hide_index=True,
            height="content",
            key="criteria",
            alt="Criteria with their values",
            column_config={
                "criterion": kinds.TextColumn("Criterion", width=260),
                "verdict": kinds.TextColumn("Verdict", width=90),
                "value": kinds.TextColumn("Measured", alignment="right", width=110),
                "n": kinds.TextColumn("n", alignment="right", width=80),
                "why": kinds.TextColumn("Why", width=340),
            },
        )


def _verdict_of(one: dict[str, Any]) -> str:
    mark = words.VERDICT_MARKS.get(one["verdict"], words.UNJUDGED)
    return {"pass": "✓ ", "fail": "✗ ", "no_data": "? "}.get(one["verdict"], "") + mark.text


def _value_of(one: dict[str, Any]) -> str:
    """The value in the criterion's own unit, which its text tells."""
    value, text = one["value"], str(one["text"]).rpartition(":")[2].strip()
    if value is None:
        return fmt.NOTHING
    metric = text.partition(" ")[0].rstrip("<>=")
    if metric == "errors" or (metric == "dropped" and "%" in text):
        return fmt.ratio(value)
    if metric == "rps":
        return words.per_second(value)
    return fmt.count(value) if metric == "dropped" else fmt.duration_ms(value)


def endpoints(answer: data.Answer, plan: Plan) -> None:
    """One row an endpoint, over the whole run or its steady phase."""
    steady = bool(plateaus(plan.stages))
    with st.container(border=True, key="run_endpoints"):
        with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
            st.header("Endpoints", anchor=False)
            st.segmented_control(
                "Phase",
                list(PHASES),
                format_func=PHASES.__getitem__,
                key="phase_choice",
                required=True,
                on_change=_take_phase,
                disabled=not steady,
                label_visibility="collapsed",
                help="Steady: while the planned users stand still, without the first 2 s of each plateau."
                if steady
                else "The planned users never stand still for 5 s.",
            )
        rows = panels.rows(answer, "Endpoints")
        if rows is None:
            return
        if rows.is_empty():
            st.markdown("No request is recorded in this phase.")
            return
        st.dataframe(
            _endpoint_cells(rows.to_dicts()),
            hide_index=True,
            height="content" if len(rows) <= 14 else 480,
            key="endpoint_table",
            alt="Endpoints of the run",
            column_config=_endpoint_columns(),
        )
        panels.note(
            "Corrected times: from when a request was due to its end; without waiting: what the target took "
            "once "
            "it was asked. * stands on fewer requests than the percentile wants (p95 20, p99 100)."
        )


def _endpoint_cells(listed: list[dict[str, Any]]) -> pl.DataFrame:
    def texts(name: str, told: Any) -> pl.Series:
        return pl.Series(name, [told(row) for row in listed], dtype=pl.String)

    def timed(row: dict[str, Any], percentile: int, prefix: str = "") -> str:
        value = row[f"{prefix}p{percentile}_ms"]
        few = value is not None and fmt.too_few(row["n"], percentile)
        above = bool(row.get(f"{prefix}p{percentile}_above"))
        return fmt.duration_ms(value, above=above) + ("*" if few else "")

    return pl.DataFrame(
        [
            texts(
                "endpoint",
                lambda row: row["label"] + (f" ({PARTS[row['part']]})" if PARTS[row["part"]] else ""),
            ),
            texts("requests", lambda row: fmt.count(row["requests"])),
            texts("rps", lambda row: words.per_second(row["rps"])),
            texts("failures", _failed),
            texts("p50", lambda row: timed(row, 50)),
            texts("p95", lambda row: timed(row, 95)),
            texts("p99", lambda row: timed(row, 99)),
            texts("max", lambda row: fmt.duration_ms(row["max_ms"], above=bool(row["max_above"]))),
            texts("n", lambda row: fmt.count(row["n"])),
            texts("service", lambda row: timed(row, 95, "service_")),
            texts("bytes", lambda row: fmt.size(row["bytes"])),
        ]
    )


def _failed(row: dict[str, Any]) -> str:
    return f"{fmt.ratio(row['error_ratio'])} ({fmt.count(row['failures'])})"


def _endpoint_columns() -> Any:
    kinds = st.column_config

    def number(label: str, help_: str = "", width: int = NUMBER_WIDTH) -> Any:
        return kinds.TextColumn(label, alignment="right", width=width, help=help_ or None)

    return {
        "endpoint": kinds.TextColumn("Endpoint", pinned=True, width=200),
        "requests": number("Requests", "Failed ones too."),
        "rps": number("Rate"),
        "failures": number("Failed", width=110),
        "p50": number("p50"),
        "p95": number("p95"),
        "p99": number("p99"),
        "max": number("Max"),
        "n": number("n", "What percentiles stand on: answered rightly, or timed out."),
        "service": number("p95 without waiting", width=130),
        "bytes": number("Received"),
    }


def failures(scene: Scene, answer: data.Answer, row: Row) -> None:
    """What went wrong, how often, and the texts."""
    with st.container(border=True, key="run_failures"):
        st.header("Failures", anchor=False)
        rows = panels.rows(answer, "Failures")
        if rows is None:
            return
        if rows.is_empty():
            st.markdown(f"None among {fmt.plural(int(row['requests'] or 0), 'request')}.")
            return
        listed = rows.sort("n", descending=True).to_dicts()
        st.dataframe(
            pl.DataFrame(
                {
                    "n": [fmt.count(one["n"]) for one in listed],
                    "endpoint": [str(one["label"]) for one in listed],
                    "outcome": [OUTCOMES.get(one["outcome"], one["outcome"]) for one in listed],
                    "status": [str(one["status"] or fmt.NOTHING) for one in listed],
                    "text": [str(one["text"] or "") for one in listed],
                    "first": [fmt.time_of(one["first_at"], scene.now, scene.zone) for one in listed],
                    "last": [fmt.time_of(one["last_at"], scene.now, scene.zone) for one in listed],
                }
            ),
            hide_index=True,
            height="content" if len(listed) <= 10 else 380,
            key="failure_table",
            alt="Failures of the run",
            column_config={
                "n": st.column_config.TextColumn("n", alignment="right", width=70),
                "endpoint": st.column_config.TextColumn("Endpoint", width=220),
                "outcome": st.column_config.TextColumn("What", width=110),
                "status": st.column_config.TextColumn("Status", width=64),
                "text": st.column_config.TextColumn("Text", width=360),
                "first": st.column_config.TextColumn("First", width=80),
                "last": st.column_config.TextColumn("Last", width=80),
            },
        )


def plan_and_versions(row: Row, plan: Plan) -> None:
    """All that defined the run, and what ran it."""
    with st.expander("Plan and versions", icon=":material/receipt_long:", key="plan"):
        versions = words.decoded(row["versions"]) or {}
        told = ", ".join(f"{fmt.plain(name)} {fmt.plain(version)}" for name, version in versions.items())
        target = fmt.plain(row["target_version"] or "not known")
        st.markdown(
            f"Version of the target: {target}.  \nVersions of the load generator: {told or 'not told'}."
        )
        st.markdown(
            f"Load agent: {fmt.plain(row['agent'] or 'none yet')}. Scenario {fmt.plain(row['scenario'])}, "
            f"fingerprint {fmt.plain(row['scenario_hash'][:12])}: runs of the same fingerprint can be "
            "compared."
        )
        st.markdown("The whole run in one file, from the command line:")
        st.code(f"perfhouse loadtest export {row['run_id']} {row['run_id']}.zip --bundle", language=None)
        st.json(plan.model_dump(mode="json"), expanded=1)
