"""Runs, comparisons, presets and scenarios as tables for a terminal."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from warehouse.settings import Settings
from warehouse.visible import visible


def table(rows: Iterable[Sequence[str]], headings: Sequence[str]) -> list[str]:
    """Rows in columns as wide as what they hold; texts from outside cannot steer the terminal."""
    cells = [list(headings), *([visible(cell) for cell in row] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in cells
    ]


def listed(rows: Iterable[Mapping[str, Any]]) -> list[str]:
    """Runs as a table, the newest first."""
    return table(
        (
            (
                row["run_id"],
                f"{row['requested_at']:%Y-%m-%d %H:%M}",
                row["target"],
                row["preset"],
                row["scenario"],
                row["state"],
                _verdict(row),
                _rounded(row["requests"], "{:,.0f}"),
                _rounded(row["rps"], "{:,.1f}"),
                _rounded(row["p95_ms"], "> {:,.1f}" if row.get("p95_above") else "{:,.1f}"),
                _rounded(row["error_ratio"], "{:.2%}"),
            )
            for row in rows
        ),
        (
            *("run", "requested (UTC)", "target", "preset", "scenario", "state", "verdict"),
            *("requests", "rps", "p95 ms", "errors"),
        ),
    )


def differences(rows: Iterable[Mapping[str, Any]]) -> list[str]:
    """A comparison as a table; what is not known says why."""
    rows = list(rows)
    told = table(
        (
            (
                row["label"] or "all",
                row["measure"],
                _value(row["a"], row["unit"], above=row["a_above"]),
                _value(row["b"], row["unit"], above=row["b_above"]),
                _change(row),
                f"{row['n_a']:,} / {row['n_b']:,}",
            )
            for row in rows
        ),
        ("endpoint", "measure", "a", "b", "b - a, 95 % interval", "n"),
    )
    method = [rows[0]["method"]] if rows else []
    return [*told, *method, "It covers chance within these two runs, not what differs from run to run."]


def _change(row: Mapping[str, Any]) -> str:
    if not row["enough"]:
        return str(row["why"])
    low, high = (
        "?" if row[end] is None else _value(row[end], row["unit"], signed=True) for end in ("low", "high")
    )
    relative = "" if row["relative"] is None else f" ({row['relative']:+.1%})"
    return f"{_value(row['difference'], row['unit'], signed=True)}{relative}, {low} to {high}"


def _value(value: float | None, unit: str, *, above: bool = False, signed: bool = False) -> str:
    if value is None:
        return "unknown"
    sign = "+" if signed else ""
    told = f"{value:{sign}.2%}" if unit == "ratio" else f"{value:{sign},.2f} {unit}"
    return f"> {told}" if above else told


def _verdict(row: Mapping[str, Any]) -> str:
    bound = ", generator-bound" if row.get("is_generator_bound") else ""
    return f"{row['verdict'] or '-'}{bound}"


def _rounded(value: Any, form: str) -> str:
    return form.format(value) if is_known(value) else "-"


def presets(settings: Settings) -> list[str]:
    """Every preset that may be run: users, how long, what it takes to pass."""
    return table(
        (
            (
                name,
                " -> ".join(f"{users}" for _, users, _ in preset.stages),
                clock(sum(duration_s for duration_s, _, _ in preset.stages)),
                "; ".join(preset.criteria) or "-",
                preset.title,
            )
            for name, preset in settings.presets.items()
        ),
        ("preset", "users", "length", "criteria", "title"),
    )


def scenarios(settings: Settings) -> list[str]:
    """Every scenario: for which targets, how requests come, what it asks."""
    return table(
        (
            (
                name,
                ", ".join(scenario.targets) or "any",
                f"{scenario.arrivals} {scenario.rate_per_s:g}/s"
                if scenario.rate_per_s
                else scenario.arrivals,
                str(len(scenario.request)),
                "; ".join(scenario.criteria) or "-",
                scenario.title,
            )
            for name, scenario in settings.scenarios.items()
        ),
        ("scenario", "targets", "arrivals", "requests", "criteria", "title"),
    )


def clock(seconds: float) -> str:
    """Minutes and seconds, with hours where there are any."""
    whole = math.ceil(seconds)
    hours, rest = divmod(whole, 3600)
    return f"{hours}:{rest // 60:02d}:{rest % 60:02d}" if hours else f"{rest // 60}:{rest % 60:02d}"


def is_known(value: Any) -> bool:
    return value is not None and not (isinstance(value, float) and math.isnan(value))
