"""Two runs laid over one another: their curves, and the differences with interval and n."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import polars as pl
import streamlit as st

from dashboard import controls, data, panels, run_charts, run_resources
from dashboard import format as fmt
from dashboard import run_words as words
from dashboard.controls import Scene
from dashboard.run_charts import Axis, Line
from dashboard.run_words import Row

PERCENTILES = ("50", "95", "99")
MEASURES = {
    "p50": "p50",
    "p90": "p90",
    "p95": "p95",
    "p99": "p99",
    "mean": "Mean",
    "errors": "Errors",
    "throughput": "Requests/s",
}
CARDS = ("p50", "p95", "p99", "errors", "throughput")
HIGHER_IS_BETTER = ("throughput",)
NOT_ENOUGH = "not enough samples"
NO_INTERVAL = "no interval"
NUMBER_WIDTH = 86


def percentile() -> str:
    """The percentile whose curves are drawn."""
    asked = controls.parameter("percentile") or ""
    return asked if asked in PERCENTILES else "95"


def cards(rows: pl.DataFrame) -> None:
    """How all endpoints together differ."""
    overall = {row["measure"]: row for row in rows.filter(pl.col("label") == "").to_dicts()}
    with st.grid(5, min_column_width=170, gap="small"):
        for measure in CARDS:
            row = overall.get(measure)
            if row is None:
                continue
            better = "normal" if measure in HIGHER_IS_BETTER else "inverse"
            sure = clear(row)
            st.metric(
                MEASURES[measure],
                value_text(row, "b"),
                delta=difference_text(row) if row["enough"] and row["difference"] else None,
                delta_color=better if sure else "off",  # type: ignore[arg-type]
                delta_description=f"from {value_text(row, 'a')}"
                + ("" if row["enough"] else f", {doubt(row)}"),
                border=True,
                height="stretch",
                help=fmt.plain(said(row)),
            )


def doubt(row: Row) -> str:
    """Why there is no interval, in few words."""
    return NOT_ENOUGH if row["tier"] == "raw" else NO_INTERVAL


def said(row: Row) -> str:
    """What one difference says, in words."""
    counted = f"n = {fmt.count(row['n_a'])} and {fmt.count(row['n_b'])}"
    if not row["enough"]:
        return f"{row['why'] or NOT_ENOUGH} ({counted})"
    told = f"95 % interval of the difference: {interval_text(row)} ({counted})"
    return told if clear(row) else f"{told}: it may be chance"


def clear(row: Row) -> bool:
    """Whether the interval says that there is a difference, and which way."""
    if not row["enough"]:
        return False
    low, high = row["low"], row["high"]
    return bool((low is not None and low > 0) or (high is not None and high < 0))


def direction(row: Row) -> str:
    """`better`, `worse`, or that nothing can be said."""
    if row["tier"] != "raw":
        return NO_INTERVAL
    if not row["enough"]:
        return str(row["why"]).partition(":")[0] or NOT_ENOUGH
    if not clear(row):
        return "no clear difference"
    rose = row["low"] is not None and row["low"] > 0
    return "▲ better" if rose == (row["measure"] in HIGHER_IS_BETTER) else "▼ worse"


def value_text(row: Row, side: str) -> str:
    """One run's value."""
    value = row[side]
    if value is None:
        return fmt.NOTHING
    above = "> " if row[f"{side}_above"] else ""
    return above + _quantity(float(value), row["unit"])


def _quantity(value: float, unit: str) -> str:
    if unit == "ms":
        return fmt.duration_ms(value)
    if unit == "ratio":
        return fmt.ratio(value)
    return words.per_second(value)


def _signed(value: float | None, unit: str) -> str:
    """With its sign; shares in percentage points."""
    if value is None:
        return "∞"
    if unit == "ratio":
        return f"{value * 100:+.2f} pp"
    sign = "-" if value < 0 else "+"
    return f"{sign}{_quantity(abs(value), unit)}"


def difference_text(row: Row) -> str:
    """The difference, b less a."""
    return fmt.NOTHING if row["difference"] is None else _signed(row["difference"], row["unit"])


def interval_text(row: Row) -> str:
    """The 95 % interval; an end without bound is open."""
    if not row["enough"] or (row["low"] is None and row["high"] is None):
        return doubt(row) if not row["enough"] else fmt.NOTHING
    low = "-∞" if row["low"] is None else _signed(row["low"], row["unit"])
    return f"{low} to {_signed(row['high'], row['unit'])}"


def table(rows: pl.DataFrame) -> None:
    """Every endpoint and measure."""
    listed = rows.to_dicts()

    def texts(name: str, told: Any) -> pl.Series:
        return pl.Series(name, [told(row) for row in listed], dtype=pl.String)

    kinds = st.column_config

    def number(label: str, help_: str = "", width: int = NUMBER_WIDTH) -> Any:
        return kinds.TextColumn(label, alignment="right", width=width, help=help_ or None)

    shown = pl.DataFrame(
        [
            texts("endpoint", lambda row: row["label"] or "All together"),
            texts("measure", lambda row: MEASURES.get(row["measure"], row["measure"])),
            texts("a", lambda row: value_text(row, "a")),
            texts("b", lambda row: value_text(row, "b")),
            texts("difference", difference_text),
            texts("interval", interval_text),
            texts("relative", _relative),
            texts("says", direction),
            texts("n_a", lambda row: fmt.count(row["n_a"])),
            texts("n_b", lambda row: fmt.count(row["n_b"])),
            texts("why", lambda row: row["why"]),
        ]
    )
    if (shown["why"] == "").all():
        shown = shown.drop("why")
    st.dataframe(
        shown,
        hide_index=True,
        height="content" if len(shown) <= 14 else 520,
        key="differences",
        alt="Differences between the two runs",
        column_config={
            "endpoint": kinds.TextColumn("Endpoint", pinned=True, width=150),
            "measure": kinds.TextColumn("Measure", width=80),
            "a": number("A"),
            "b": number("B"),
            "difference": number("B less A"),
            "interval": number("95 % interval", "Of the difference.", 150),
            "relative": number("Relative", width=70),
            "says": kinds.TextColumn("Says", width=125),
            "n_a": number("n of A", width=70),
            "n_b": number("n of B", width=70),
            "why": kinds.TextColumn("Why", width=260),
        },
    )
    methods = rows["method"].drop_nulls().unique(maintain_order=True).to_list()
    panels.note(
        "Steady phases alone, corrected times. An interval tells of chance within these two runs, not of "
        "what "
        f"differs from run to run. {fmt.plain('; '.join(methods))}"
    )


def _relative(row: Row) -> str:
    return fmt.NOTHING if row["relative"] is None else f"{row['relative'] * 100:+.1f} %"


def curves(scene: Scene, answer: data.Answer, length_s: float) -> None:
    """Both runs over elapsed time."""
    rows = panels.rows(answer, "Curves")
    if rows is None:
        return
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
        st.header("Over elapsed time", anchor=False)
        st.session_state["curve_percentile"] = percentile()
        st.segmented_control(
            "Percentile",
            PERCENTILES,
            format_func=lambda text: f"p{text}",
            key="curve_percentile",
            required=True,
            on_change=_take_percentile,
            label_visibility="collapsed",
        )
    chosen = percentile()
    charts: Sequence[tuple[str, str, Axis]] = (
        (f"p{chosen}, corrected", f"p{chosen}_ms", run_charts.MS),
        ("Requests a second", "rps", run_charts.PER_S),
        ("Errors", "error_ratio", run_charts.PERCENT),
        ("Users", "users", run_charts.USERS),
    )
    with st.grid(2, min_column_width=320, gap="small"):
        for title, column, axis in charts:
            with st.container(border=True, height="stretch"):
                st.header(title, anchor=False)
                lines = (Line("a", "A", 6), Line("b", "B", 0))
                option = run_charts.over_time(scene.stage.palette, _wide(rows, column), lines, axis, length_s)
                run_resources.draw(option, f"compare_{column}", f"{title} of both runs")


def _take_percentile() -> None:
    chosen = st.session_state["curve_percentile"]
    controls.remember("percentile", None if chosen == "95" else chosen)


def _wide(rows: pl.DataFrame, column: str) -> pl.DataFrame:
    """One column a run, over every step of either: a step without requests breaks the line."""
    if rows.is_empty():
        return pl.DataFrame(schema={"elapsed_s": pl.Float64, "a": pl.Float64, "b": pl.Float64})
    step = rows["elapsed_s"].unique().sort().diff().min() or 1
    last = int(rows["elapsed_s"].max() or 0)  # type: ignore[arg-type]
    wide = pl.DataFrame({"elapsed_s": range(0, last + 1, int(step))}, schema={"elapsed_s": pl.Int64})  # type: ignore[arg-type]
    for run in ("a", "b"):
        own = rows.filter(pl.col("run") == run).select("elapsed_s", pl.col(column).alias(run))
        wide = wide.join(own, on="elapsed_s", how="left")
    return wide.sort("elapsed_s")
