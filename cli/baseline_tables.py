"""Baselines, and comparisons with them, as tables for a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from cli.loadtest_tables import table

WORDS = {
    "regressed": "REGRESSED",
    "improved": "improved",
    "no_change": "no change",
    "not_enough_data": "not enough data",
}


def listed(rows: Iterable[Mapping[str, Any]]) -> list[str]:
    """Baselines as a table, each target's newest first."""
    return table(
        (
            (
                row["baseline_id"],
                row["target"],
                row["name"],
                "active" if row["is_active"] else "",
                row["run_ids"] or f"{row['start']:%Y-%m-%d %H:%M} to {row['end']:%Y-%m-%d %H:%M}",
                row["who"],
                row["text"],
            )
            for row in rows
        ),
        ("baseline", "target", "name", "", "of (UTC)", "who", "text"),
    )


def findings(rows: Iterable[Mapping[str, Any]]) -> list[str]:
    """A comparison as a table; what is not known says why."""
    rows = list(rows)
    told = table(
        (
            (
                row["endpoint"] or "all",
                row["measure"],
                WORDS[row["verdict"]],
                _number(row["baseline"], row["unit"]),
                ("> " if row["now_above"] else "") + _number(row["now"], row["unit"]),
                _size(row),
                f"{row['n']:,}",
                str(row["runs"]),
                row["why"],
            )
            for row in rows
        ),
        ("endpoint", "measure", "verdict", "baseline", "now", "change (95 %)", "n", "runs", "why"),
    )
    if rows:
        told.append(f"against {rows[0]['name']}, {rows[0]['how']}, {rows[0]['source']}s one by one")
    return told


def _number(value: float | None, unit: str) -> str:
    if value is None:
        return "-"
    return f"{value:.2%}" if unit == "ratio" else f"{value:,.1f} {unit}"


def _size(row: Mapping[str, Any]) -> str:
    """The change with its interval: in percent, of shares of errors in points."""
    if row["size"] is None:
        return "-"
    unit = " points" if row["unit"] == "ratio" else " %"
    high = "more" if row["high"] is None else f"{100 * row['high']:+.1f}"
    return f"{100 * row['size']:+.1f}{unit} ({100 * row['low']:+.1f} to {high})"
