"""What pages about latency share: cards with comparisons, and the table of endpoints."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import polars as pl
import streamlit as st

from dashboard import charts, controls
from dashboard import format as fmt
from dashboard.panels import Card

LATENCY_PAGE = "dashboard/views/latency.py"
SPARK_BUCKETS = 40
VERSUS = "vs previous"
TARGET_WIDTH, ENDPOINT_WIDTH, NUMBER_WIDTH, ERRORS_WIDTH = 90, 230, 72, 90
OBJECTIVE_WIDTH = 190
"""Pixels of the table's columns: together they fit a screen 1440 wide."""


Row = Mapping[str, Any]
Compared = tuple[float | None, str, str]
"""Difference, its text, and the words beside it."""


def cards(current: Row, before: Row | None, trend: pl.DataFrame, *, compare: bool) -> list[Card]:
    """Percentiles, error ratio and attempts of pooled probes."""
    shown = [_percentile_card(p, current, before, trend, compare=compare) for p in charts.PERCENTILES]
    errors, attempts = current["errors"], current["attempts"]
    ratio = _compare_ratio(current["error_ratio"], before["error_ratio"] if before else None)
    amount = _compare_count(attempts, before["attempts"] if before else None)
    failing = (trend["errors"] / trend["attempts"]).to_list()
    nothing: Compared = (None, "", "")
    return [
        *shown,
        Card(
            "Probe errors",
            fmt.ratio(current["error_ratio"]),
            *(ratio if compare else nothing),
            trend=failing,
            help=f"{fmt.count(errors)} of {fmt.plural(attempts, 'attempt')} failed or timed out.",
        ),
        Card(
            "Attempts (n)",
            fmt.count(attempts),
            *(amount if compare else nothing),
            better="neither",
            trend=trend["attempts"].to_list(),
            help="Our own probes, all that were made: not the traffic of your users.",
        ),
    ]


def _percentile_card(
    percentile: int, current: Row, before: Row | None, trend: pl.DataFrame, *, compare: bool
) -> Card:
    warned = fmt.too_few(current["n"], percentile)
    delta, text, beside = _compare_ms(current, before, percentile) if compare else (None, "", "")
    return Card(
        f"Probes p{percentile}" + (f" · too few, n = {fmt.count(current['n'])}" if warned else ""),
        fmt.duration_ms(current[f"p{percentile}_ms"], above=current[f"p{percentile}_above"]),
        delta,
        text,
        beside,
        trend=charts.sparkline(trend, f"p{percentile}_ms"),
        help=f"Nearest rank over the probes that were answered or timed out (n = {fmt.count(current['n'])}), "
        f"pooled over the endpoints. {warned}",
    )


def _compare_ms(current: Row, before: Row | None, percentile: int) -> Compared:
    """A value beyond its deadline has no difference: then the earlier value stands beside it."""
    value, past = (row[f"p{percentile}_ms"] if row else None for row in (current, before))
    if value is None or past is None or before is None:
        return None, "", "nothing before"
    if current[f"p{percentile}_above"] or before[f"p{percentile}_above"]:
        return None, "", f"before: {fmt.duration_ms(past, above=before[f'p{percentile}_above'])}"
    difference = value - past
    if abs(difference) < 0.005:
        return 0.0, "", VERSUS
    return difference, f"{'-' if difference < 0 else '+'}{fmt.duration_ms(abs(difference))}", VERSUS


def _compare_ratio(current: float | None, before: float | None) -> Compared:
    """In percentage points."""
    if current is None or before is None:
        return None, "", "nothing before"
    points = (current - before) * 100
    return (0.0, "", VERSUS) if abs(points) < 0.005 else (points, f"{points:+.2f} pp", VERSUS)


def _compare_count(current: int, before: int | None) -> Compared:
    if before is None:
        return None, "", "nothing before"
    return float(current - before), f"{current - before:+,d}", VERSUS


def first(answer: object) -> Row | None:
    """The one row of a pooled summary; None when there were no attempts."""
    return answer.row(0, named=True) if isinstance(answer, pl.DataFrame) and len(answer) else None


def endpoint_table(summary: pl.DataFrame, trends: pl.DataFrame | None, key: str) -> None:
    """Endpoints by p95, with n, errors, a small trend, and a button that opens the endpoint."""
    listed = summary.to_dicts()
    lists = _trends(trends)
    top = max((row["p95_ms"] or 0.0 for row in listed), default=0.0) or 1.0
    shown = pl.DataFrame(
        {
            "target": [row["target"] for row in listed],
            "endpoint": [row["endpoint"] for row in listed],
            "open": ["Open"] * len(listed),
            "p95": [_told(row, 95) for row in listed],
            "bar": pl.Series([row["p95_ms"] for row in listed], dtype=pl.Float64),
            "trend": pl.Series(
                [lists.get((row["target"], row["endpoint"]), []) for row in listed], dtype=pl.List(pl.Float64)
            ),
            "p50": [_told(row, 50) for row in listed],
            "p99": [_told(row, 99) for row in listed],
            "errors": [f"{fmt.ratio(row['error_ratio'])} ({fmt.count(row['errors'])})" for row in listed],
            "objective": [_objective(row) for row in listed],
            "n": [_counted(row) for row in listed],
        }
    )
    dropped = ["target"] if summary["target"].n_unique() == 1 else []
    if not (limited := summary["objective_ms"].is_not_null().any()):
        dropped.append("objective")
    st.dataframe(
        shown.drop(dropped),
        key=key,
        hide_index=True,
        height="content" if len(shown) <= 12 else 460,
        alt="Endpoints by p95 of their probes",
        column_config=_columns(top, key, shown),
    )
    least, told = summary["n"].min(), []
    if isinstance(least, int) and least < fmt.MIN_N[99]:
        told.append(
            "\\* too few: p95 wants 20 attempts, p99 wants 100; below that it is the slowest of them."
        )
    if summary["skipped"].sum():
        told.append(
            "Skipped: due and not made, so no other number counts them; an outage looks smaller by them."
        )
    if limited:
        told.append(_objective_note(listed))
    if told:
        st.caption(" ".join(told))


def _columns(top: float, key: str, shown: pl.DataFrame) -> Any:
    kinds = st.column_config
    n_width = max(NUMBER_WIDTH, 30 + 6 * max((len(text) for text in shown["n"]), default=0))
    return {
        "target": kinds.TextColumn("Target", width=TARGET_WIDTH),
        "endpoint": kinds.TextColumn("Endpoint", pinned=True, width=ENDPOINT_WIDTH),
        "p95": kinds.TextColumn("p95", alignment="right", width=NUMBER_WIDTH),
        "bar": kinds.ProgressColumn("p95 share", format=" ", min_value=0, max_value=top, width="small"),
        "trend": kinds.AreaChartColumn("p95 trend", y_min=0, width=NUMBER_WIDTH),
        "p50": kinds.TextColumn("p50", alignment="right", width=NUMBER_WIDTH),
        "p99": kinds.TextColumn("p99", alignment="right", width=NUMBER_WIDTH),
        "errors": kinds.TextColumn("Errors", alignment="right", width=ERRORS_WIDTH),
        "objective": kinds.TextColumn(
            "Within objective",
            alignment="right",
            width=OBJECTIVE_WIDTH,
            help="Share of attempts answered rightly within the endpoint's `objective_ms`, of those and the "
            "slower ones and timeouts.",
        ),
        "n": kinds.TextColumn(
            "n", alignment="right", width=n_width, help="Attempts the percentiles stand on."
        ),
        "open": kinds.ButtonColumn(
            "Details",
            type="tertiary",
            key=f"{key}_open",
            width=NUMBER_WIDTH,
            on_click=_open,
            args=(key, shown),
        ),
    }


def _objective(row: Row) -> str:
    """The share within the limit, and how many were above it; nothing where there is no limit."""
    if row["objective_ms"] is None:
        return ""
    limit = fmt.duration_ms(row["objective_ms"])
    if row["within_ratio"] is None:
        return f"no data for {limit}"
    part = "" if row["objective_from"] is None else "†"
    share = math.floor(row["within_ratio"] * 10_000) / 100  # one miss in many is not 100 %
    return f"{share:.2f} %{part} in {limit} ({fmt.count(row['n_above'])} above)"


def _objective_note(listed: list[dict[str, Any]]) -> str:
    """What is to be borne in mind of the objectives shown."""
    told = "Within objective: of attempts answered rightly or too late; other failures are errors."
    unknown = sum(row["n_unknown"] or 0 for row in listed)
    if unknown:
        told += f" {fmt.plural(unknown, 'timeout')} gave up before the limit: whether within it is unknown."
    starts = [row["objective_from"] for row in listed if row["objective_from"] is not None]
    if starts:
        told += (
            f" † counted with the present limit only since {min(starts):%Y-%m-%d %H:%M} UTC: not the whole "
            "window."
        )
    return told


def _open(key: str, shown: pl.DataFrame) -> None:
    """Go to the latency page with the clicked row's endpoint."""
    click = st.session_state[f"{key}_open"]
    if click is None:
        return
    target, endpoint = shown.row(int(click["row"]))[:2]
    st.switch_page(LATENCY_PAGE, query_params={**controls.carried(), "target": target, "endpoint": endpoint})


def _told(row: Row, percentile: int) -> str:
    """`146 ms`, `> 3 s`, and a star where n is too few."""
    value, above = row[f"p{percentile}_ms"], row[f"p{percentile}_above"]
    few = value is not None and fmt.too_few(row["n"], percentile)
    return fmt.duration_ms(value, above=bool(above)) + ("*" if few else "")


def _counted(row: Row) -> str:
    """`41`, and `41, 3 skipped` where probes were due and did not happen."""
    skipped = f", {fmt.count(row['skipped'])} skipped" if row["skipped"] else ""
    return f"{fmt.count(row['n'])}{skipped}"


def _trends(trends: pl.DataFrame | None) -> dict[tuple[str, str], list[float]]:
    if trends is None or trends.is_empty():
        return {}
    lists = trends.sort("bucket_at").group_by("target", "endpoint").agg(pl.col("p95_ms").drop_nulls())
    return {(target, endpoint): values for target, endpoint, values in lists.iter_rows()}
