"""Baselines, and comparisons with them, as tables for a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from cli.loadtest_tables import table
from warehouse.visible import visible

WORDS = {
    "regressed": "REGRESSED",
    "improved": "improved",
    "no_change": "no change",
    "not_enough_data": "not enough data",
}

CHANGED = ("regressed", "improved")


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
        told.append(f"against {visible(rows[0]['name'])}, {rows[0]['how']}, {rows[0]['source']}s one by one")
    return told


def judged_again(rows: Iterable[Mapping[str, Any]]) -> list[str]:
    """What regressed or improved of a history under each baseline, beside what the others say of it."""
    rows = list(rows)
    if not rows:
        return ["no load test of the baseline's scenario finished then"]
    names = {row["baseline_id"]: _named(row) for row in rows}
    told: dict[tuple[Any, ...], dict[str, Mapping[str, Any]]] = {}
    for row in rows:
        place = (row["at"], row["run_id"] or "", row["endpoint"], row["measure"])
        told.setdefault(place, {})[row["baseline_id"]] = row
    lines = table(
        (
            (
                run_id or f"{at:%Y-%m-%d %H:%M}",
                endpoint or "all",
                measure,
                *(_verdict(found.get(each)) for each in names),
            )
            for (at, run_id, endpoint, measure), found in told.items()
            if any(row["verdict"] in CHANGED for row in found.values())
        ),
        ("when (UTC)", "endpoint", "measure", *(f"under {name}" for name in names.values())),
    )
    return [*(lines if len(lines) > 1 else []), *(_summary(rows, each, names[each]) for each in names)]


def _summary(rows: Iterable[Mapping[str, Any]], baseline_id: str, name: str) -> str:
    """`under nightly: 2 of 24 regressed, 1 improved, 3 had not enough data for anything`."""
    verdicts: dict[tuple[Any, ...], set[str]] = {}
    for row in rows:
        if row["baseline_id"] == baseline_id:
            verdicts.setdefault((row["at"], row["run_id"]), set()).add(row["verdict"])
    found = [*verdicts.values()]
    counts = [sum(verdict in each for each in found) for verdict in CHANGED]
    unknown = sum(each == {"not_enough_data"} for each in found)
    return (
        f"under {visible(name)}: {counts[0]} of {len(found)} regressed, {counts[1]} improved, "
        f"{unknown} had not enough data for anything"
    )


def _named(row: Mapping[str, Any]) -> str:
    return f"{row['name']} (active)" if row["is_active"] else str(row["name"])


def _verdict(row: Mapping[str, Any] | None) -> str:
    """A finding in a cell: what it is, and by how much."""
    if row is None:
        return WORDS["not_enough_data"]
    size = "" if row["size"] is None else f" {_size(row)}"
    return f"{WORDS[row['verdict']]}{size}"


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
