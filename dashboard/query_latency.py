"""What is known of the query time p95: an interval, its verdict against the objective, and its source."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from dashboard import data, page
from dashboard import format as fmt
from dashboard.panels import Card

Row = Mapping[str, Any]

VERDICTS: Mapping[str, str] = {
    "pass": "pass",
    "fail": "fail",
    "undetermined": "undetermined",
    "no_data": "no data",
}
"""How a verdict is called on a page."""

SOURCES: Mapping[str, str] = {
    "statistics": "a bracket from the sums of the server's statistics",
    "activity": "looking at running queries",
    "server_histogram": "the server's own histogram",
}
"""How a source is called on a page."""


def interval(low: float | None, high: float | None) -> str:
    """Milliseconds between which the truth lies: `100 to 120 ms`, `< 12 ms`, `> 3 s`, or a dash."""
    if low is None and high is None:
        return fmt.NOTHING
    if not low:
        return f"< {fmt.duration_ms(high)}"
    if high is None:
        return fmt.duration_ms(low, above=True)
    begin, end = fmt.duration_ms(low), fmt.duration_ms(high)
    if begin == end:
        return f"about {end}"
    same_unit = begin.split()[1:] == end.split()[1:]
    return f"{begin.split()[0]} to {end}" if same_unit else f"{begin} to {end}"


def best(answer: data.Answer | None) -> Row | None:
    """The row of the best source; None where nothing was answered."""
    rows = page.frame(answer)
    if rows is None or rows.is_empty():
        return None
    return rows.filter(pl.col("is_best")).row(0, named=True)


def rows_of(answers: page.Answers) -> Sequence[Row | None]:
    """The best row of the window, and of the one before."""
    return best(answers.get("latency")), best(answers.get("latency_before"))


def source(row: Row) -> str:
    """Where a row's interval comes from, and on how many calls it stands."""
    told = SOURCES.get(row["method"], "")
    pause = f", at most {fmt.duration_ms(row['gap_ms'])} apart" if row["gap_ms"] else ""
    return f"{told}{pause}, n = {fmt.count(row['n'])} calls"


def latency_card(row: Row | None, before: Row | None, *, compare: bool) -> Card:
    """The interval with its verdict; the source and n in its help."""
    if row is None or row["verdict"] == "no_data":
        return Card(
            "Query time p95", "no data", help="No call that reads or writes was counted in this window."
        )
    past = before if before is not None and before["verdict"] != "no_data" else None
    beside = f"previous {interval(past['p95_low_ms'], past['p95_high_ms'])}" if past else "nothing before"
    return Card(
        f"Query time p95 · {VERDICTS[row['verdict']]}",
        interval(row["p95_low_ms"], row["p95_high_ms"]),
        0.0 if compare else None,
        compared=beside if compare else "",
        help=f"From {source(row)}. Objective: below {fmt.duration_ms(row['objective_ms'])}. The truth lies "
        "within the interval; the verdict is undetermined where the objective does too.",
    )


def note(row: Row | None) -> str:
    """The source under a chart; empty where there is none."""
    return "" if row is None or row["verdict"] == "no_data" else f"From {source(row)}."
