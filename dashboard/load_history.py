"""The runs that were: filtered by what the address says, opened, compared, kept."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from zlib import crc32

import polars as pl
import streamlit as st

from dashboard import controls, data, run_manage, run_marks
from dashboard import format as fmt
from dashboard import run_words as words
from dashboard.access import Access
from dashboard.controls import Scene
from dashboard.data import question

FILTERS = ("target", "preset", "scenario", "verdict", "version")
TEXT = "text"
BASELINES = "baselines"
LABELS: Mapping[str, str] = {
    "target": "Target",
    "preset": "Preset",
    "scenario": "Scenario",
    "verdict": "Verdict",
    "version": "Version",
}
COLUMN = {"version": "target_version"}
NO_VERSION = "not known"
NUMBER_WIDTH = 74
TALL = 14
"""More rows than this scroll."""


def asked() -> data.Question:
    """The runs the address asks for; `version` is filtered here, for it may be unknown."""
    chosen: dict[str, Any] = {name: controls.parameters(name) for name in FILTERS if name != "version"}
    text = controls.parameter(TEXT)
    more: dict[str, Any] = {"text": text} if text else {}
    if controls.parameter(BASELINES) == "1":
        more["baseline"] = True
    return question("runs", **{name: values for name, values in chosen.items() if values}, **more)


def show(scene: Scene, rows: pl.DataFrame, everything: pl.DataFrame, mine: Access) -> None:
    """Filters, table, and what to do with the chosen runs."""
    with st.container(border=True, key="history"):
        st.header("History", anchor=False)
        _filters(everything)
        shown = _of_version(rows)
        if shown.is_empty():
            st.markdown("No run fits these filters.")
            st.button(
                "Clear the filters", on_click=_clear, key="clear_filters", icon=":material/filter_alt_off:"
            )
            return
        chosen = _table(scene, shown)
        _choices(chosen, mine)
        st.caption(
            f"{fmt.plural(len(shown), 'run')} of {fmt.count(len(everything))}. Percentiles are of corrected "
            "times: "
            "from when a request was due to its end, over the whole run. * stands on too few requests."
        )


def _filters(everything: pl.DataFrame) -> None:
    with st.container(horizontal=True, vertical_alignment="bottom", key="run_filters"):
        for name in FILTERS:
            column = COLUMN.get(name, name)
            known = sorted({_named(value) for value in everything[column].unique().to_list()} - {""})
            asked_for = controls.parameters(name)
            if len(known) < 2 and not asked_for:
                continue
            key = f"run_filter_{name}"
            st.session_state[key] = asked_for
            with st.container(width=190):
                st.multiselect(
                    LABELS[name],
                    [*known, *(value for value in asked_for if value not in known)],
                    key=key,
                    format_func=_option,
                    placeholder="All",
                    on_change=_take,
                    args=(name, key),
                )
        st.session_state["run_filter_text"] = controls.parameter(TEXT) or ""
        with st.container(width=230):
            st.text_input(
                "Text",
                key="run_filter_text",
                placeholder="in notes, names, versions",
                on_change=_take,
                args=(TEXT, "run_filter_text"),
            )
        st.session_state["run_filter_baselines"] = controls.parameter(BASELINES) == "1"
        st.toggle("Baselines only", key="run_filter_baselines", on_change=_take_baselines)


def _named(value: str | None) -> str:
    return NO_VERSION if value is None else value


def _option(value: str) -> str:
    return "no data" if value == "no_data" else fmt.option(value)


def _take(name: str, key: str) -> None:
    value = st.session_state[key]
    controls.remember(name, value.strip() if isinstance(value, str) else value)


def _take_baselines() -> None:
    controls.remember(BASELINES, "1" if st.session_state["run_filter_baselines"] else None)


def _clear() -> None:
    for name in (*FILTERS, TEXT, BASELINES):
        controls.remember(name, None)


def _of_version(rows: pl.DataFrame) -> pl.DataFrame:
    versions = controls.parameters("version")
    if not versions:
        return rows
    return rows.filter(pl.col("target_version").fill_null(NO_VERSION).is_in(versions))


def _table(scene: Scene, rows: pl.DataFrame) -> list[dict[str, Any]]:
    """The table; the rows that are chosen in it."""
    listed = rows.to_dicts()
    key = f"runs_{crc32(repr([row['run_id'] for row in listed]).encode())}"
    top = max((row["p95_ms"] or 0.0 for row in listed), default=0.0) or 1.0
    shown = _cells(scene, listed)
    event = st.dataframe(
        shown,
        key=key,
        hide_index=True,
        height="content" if len(listed) <= TALL else 530,
        alt="Load test runs, newest first",
        on_select="rerun",
        selection_mode="multi-row",
        column_config=_columns(top),
    )
    picked = event["selection"]["rows"]
    return [listed[place] for place in picked if place < len(listed)]


def _cells(scene: Scene, listed: list[dict[str, Any]]) -> pl.DataFrame:
    def texts(name: str, told: Any) -> pl.Series:
        return pl.Series(name, [told(row) for row in listed], dtype=pl.String)

    return pl.DataFrame(
        [
            texts("began", lambda row: fmt.clock(words.began(row), scene.zone, seconds_too=False)),
            texts("preset", lambda row: row["preset"]),
            texts("verdict", words.verdict_text),
            texts("state", lambda row: words.state_mark(row["state"]).text),
            texts("mind", words.flags),
            pl.Series("bar", [row["p95_ms"] for row in listed], dtype=pl.Float64),
            texts("p95", lambda row: _percentile(row, 95)),
            texts("p50", lambda row: _percentile(row, 50)),
            texts("p99", lambda row: _percentile(row, 99)),
            texts("n", lambda row: fmt.count(row["n"])),
            texts("requests", lambda row: fmt.count(row["requests"])),
            texts("rps", lambda row: words.per_second(row["rps"])),
            texts("errors", lambda row: fmt.ratio(row["error_ratio"])),
            texts("users", lambda row: fmt.count(row["users_max"])),
            texts("target", lambda row: row["target"]),
            texts("scenario", lambda row: row["scenario"]),
            texts("version", lambda row: row["target_version"] or fmt.NOTHING),
            texts("note", lambda row: row["note"]),
            texts("run", lambda row: row["run_id"]),
        ]
    )


def _percentile(row: dict[str, Any], percentile: int) -> str:
    """With a star where it stands on too few requests."""
    value = row[f"p{percentile}_ms"]
    few = value is not None and fmt.too_few(row["n"], percentile)
    return fmt.duration_ms(value, above=bool(row[f"p{percentile}_above"])) + ("*" if few else "")


def _columns(top: float) -> Any:
    kinds = st.column_config

    def number(label: str, help_: str = "", width: int = NUMBER_WIDTH) -> Any:
        return kinds.TextColumn(label, alignment="right", width=width, help=help_ or None)

    return {
        "began": kinds.TextColumn("Began", width=118),
        "preset": kinds.TextColumn("Preset", width=72),
        "verdict": kinds.TextColumn(
            "Verdict", width=80, help="Whether its criteria held; no data is no pass."
        ),
        "state": kinds.TextColumn("State", width=80, help="How it came to its end."),
        "mind": kinds.TextColumn("Mind", width=120, help="Generator-bound, partial, baseline."),
        "bar": kinds.ProgressColumn("p95 share", format=" ", min_value=0, max_value=top, width=70),
        "p95": number("p95"),
        "p50": number("p50"),
        "p99": number("p99"),
        "n": number("n", "What percentiles stand on: requests answered rightly, or timed out."),
        "requests": number("Requests", "Failed ones too."),
        "rps": number("Rate", "Requests a second."),
        "errors": number("Errors"),
        "users": number("Users", "At most.", 56),
        "target": kinds.TextColumn("Target", width=80),
        "scenario": kinds.TextColumn("Scenario", width=110),
        "version": kinds.TextColumn("Version", width=90, help="Of the target."),
        "note": kinds.TextColumn("Note", width=140),
        "run": kinds.TextColumn("Run", width=150),
    }


def _choices(chosen: list[dict[str, Any]], mine: Access) -> None:
    """What can be done with one run, and with two."""
    one = chosen[0] if len(chosen) == 1 else None
    with st.container(horizontal=True, vertical_alignment="center", key="run_choices"):
        if st.button("Open", icon=":material/open_in_new:", disabled=one is None, key="open_chosen") and one:
            st.switch_page(run_marks.RUN_PAGE, query_params={"run": one["run_id"]})
        if st.button(
            "Compare 2 runs",
            icon=":material/compare_arrows:",
            disabled=len(chosen) != 2,
            key="compare_chosen",
        ):
            before, after = sorted(chosen, key=words.began)
            st.switch_page(run_marks.COMPARE_PAGE, query_params={"a": before["run_id"], "b": after["run_id"]})
        run_manage.buttons(one, mine, "chosen")
        if not chosen:
            st.caption("Select one run to open it, two to compare them.", width="content")
