"""Two load tests compared from cells, where single requests of one are deleted: numbers without intervals."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from warehouse.analysis.comparable import Side, why_not
from warehouse.analysis.compare import PERCENTS, Difference
from warehouse.analysis.phases import Level, Plateau, common_levels
from warehouse.analysis.requests import Span
from warehouse.cells import packed_of
from warehouse.errors import InvalidInputError
from warehouse.histogram import ERROR_BOUND, merge

EDGE_S = 1e-6
"""Ends nearer than this are the same: adding up floats takes so much away."""


@dataclass(frozen=True)
class CellSide:
    """One run by its cells: `cells` has columns second, endpoint, plateau, and what `run_cell` counts."""

    side: Side
    cells: pa.Table


@dataclass(frozen=True)
class _Told:
    value: float | None
    n: int
    is_above: bool = False


def compare_cells(a: CellSide, b: CellSide, why: str) -> list[Difference]:
    """Every endpoint of both, all together first; `why` says why there are no intervals.

    Whole seconds of the steady phase that both have in common. Percentiles are within 1 % of the nearest
    rank. Raises InvalidInputError where the two cannot be compared.
    """
    reason = why_not(a.side, b.side)
    if reason:
        raise InvalidInputError(reason, field="b", hint="Compare ended runs of the same scenario and users.")
    levels = common_levels(a.side.steady, b.side.steady)
    seconds = (_of_levels(a, [level.a for level in levels]), _of_levels(b, [level.b for level in levels]))
    users = ", ".join(str(level.users) for level in levels)
    method = f"steady {_length(levels):.0f} s at {users} users; from counts by the second, within 1 %"
    found = []
    theirs = set(b.side.labels.values())
    labels = [label for label in dict.fromkeys(a.side.labels.values()) if label in theirs]
    for label in ("", *labels):
        own, other = (_measures(each.side, *kept, label) for each, kept in zip((a, b), seconds, strict=True))
        found += [_difference(label, name, own[name], other[name], why, method) for name in own]
    return found


def _length(levels: Sequence[Level]) -> float:
    return sum(level.length_s for level in levels)


def _of_levels(run: CellSide, spans: Sequence[tuple[Span, ...]]) -> tuple[pa.Table, float]:
    """The cells that lie whole in the spans, and how many seconds they are."""
    second = run.cells["second"].to_numpy().astype(np.float64)
    number = run.cells["plateau"].to_numpy().astype(np.int64)
    kept = np.zeros(len(second), bool)
    length_s = 0.0
    steady = run.side.steady
    for low, high in (span for each in spans for span in each):
        place = next(place for place, each in enumerate(steady) if abs(each.from_s - low) < EDGE_S)
        until_s = _until(steady[place], high)
        kept |= (number == place + 1) & (second < until_s - EDGE_S)
        length_s += until_s - low
    return run.cells.filter(pa.array(kept)), length_s


def _until(plateau: Plateau, high: float) -> float:
    """Where to stop: at the plateau's own end, else with the last whole second."""
    return high if high > plateau.to_s - EDGE_S else float(math.floor(high + EDGE_S))


def _measures(side: Side, cells: pa.Table, length_s: float, label: str) -> dict[str, _Told]:
    """Every measure of one endpoint, or of all."""
    if label:
        own = [index for index, name in side.labels.items() if name == label]
        cells = cells.filter(pc.is_in(cells["endpoint"].cast(pa.int64()), pa.array(own, pa.int64())))
    requests, n_ok, timeouts, sum_us = (
        int(pc.sum(cells[name]).as_py() or 0) for name in ("requests", "n_ok", "timeouts", "sum_us")
    )
    n = n_ok + timeouts
    return {
        **_percentiles(cells, n),
        "mean": _Told(sum_us / n_ok / 1000 if n_ok and not timeouts else None, n),
        "errors": _Told((requests - n_ok) / requests if requests else None, requests),
        "throughput": _Told(requests / length_s if length_s else None, requests),
    }


def _percentiles(cells: pa.Table, n: int) -> dict[str, _Told]:
    if not n:
        return {name: _Told(None, 0) for name in PERCENTS}
    merged = merge(packed_of(cells["corrected"]), np.zeros(cells.num_rows, np.int64), 1)
    low, high = pc.min(cells["min_us"]).as_py(), pc.max(cells["max_us"]).as_py()
    told = {}
    for name, percent in PERCENTS.items():
        us, above = merged.percentile(percent)
        value = float(us[0]) if above[0] else min(max(float(us[0]), low), high)
        told[name] = _Told(value / 1000, n, bool(above[0]))
    return told


def _difference(label: str, measure: str, a: _Told, b: _Told, why: str, method: str) -> Difference:
    known = a.value is not None and b.value is not None and not (a.is_above or b.is_above)
    difference = b.value - a.value if known and a.value is not None and b.value is not None else None
    percentile = measure in PERCENTS
    values: dict[str, Any] = {
        "label": label,
        "measure": measure,
        "unit": {"errors": "ratio", "throughput": "1/s"}.get(measure, "ms"),
        "a": a.value,
        "b": b.value,
        "a_above": a.is_above,
        "b_above": b.is_above,
        "difference": difference,
        "low": None,
        "high": None,
        "relative": difference / a.value if difference is not None and a.value else None,
        "n_a": a.n,
        "n_b": b.n,
        "enough": False,
        "why": why,
        "method": method,
        "tier": "1s",
        "error_bound": ERROR_BOUND if percentile else 0.0,
    }
    return Difference(**values)
