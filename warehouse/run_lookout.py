"""Looks out for load tests that came out otherwise than those before: one value of each run, in order."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import zip_longest
from typing import Any

import numpy as np

from warehouse.analysis.changes import Change, find_changes
from warehouse.analysis.kinds import LIVE_RUNS, LOAD_RUN
from warehouse.analysis.watch import Watch
from warehouse.change_points import Found, Judged
from warehouse.following import Thresholds
from warehouse.questions.runs import Runs, runs
from warehouse.watched import Ask, Metric, Watched

KIND = "loadtest"
METRICS = (
    Metric("p50_ms", "ms", 1.0),
    Metric("p95_ms", "ms", 1.0),
    Metric("p99_ms", "ms", 1.0),
    Metric("rps", "1/s", 0.1, direction="higher"),
)
LEAST_N = {"p50_ms": 20, "p95_ms": 100, "p99_ms": 500, "rps": 20}
"""Requests a run must have for its value to count."""


@dataclass(frozen=True)
class Run:
    """A run that has ended: when (UTC, naive) and what it measured."""

    at: datetime
    values: Mapping[str, Any]


def look(
    ask: Ask, thresholds: Thresholds, judged: Mapping[str, datetime], told: Mapping[Watched, datetime]
) -> tuple[list[Found], list[Judged]]:
    """What the runs that ended since then prove, and up to where they were looked at.

    Runs of one preset and one scenario as it was written are a series. Those that broke off, were at their
    generator's limit, or lack measurements, say nothing of the target. Raises what asking raises.
    """
    found: list[Found] = []
    seen: dict[str, Judged] = {}
    for (target, preset, _), own in _series(ask).items():
        until = own[-1].at
        known = seen.get(target)
        seen[target] = Judged(
            KIND,
            target,
            max(until, known.until) if known else until,
            len(METRICS) + (known.series if known else 0),
            (len(METRICS) if len(own) >= LOAD_RUN.fewest else 0) + (known.ready if known else 0),
            max(len(own), known.points if known else 0),
            LOAD_RUN.fewest,
            None,
        )
        for metric in METRICS:
            series = Watched(KIND, target, preset, metric.name)
            for change, now, back in _changes(own, metric.name, judged.get(target), told.get(series)):
                if thresholds.passes(metric, change):
                    found.append(_found(series, metric, own, change, now, back=back))
    return found, [each for each in seen.values() if judged.get(each.target) != each.until]


def _series(ask: Ask) -> dict[tuple[str, str, str], list[Run]]:
    """The runs of each target, preset and scenario, the oldest first."""
    found: dict[tuple[str, str, str], list[Run]] = {}
    for row in reversed(ask(runs(Runs(state=("finished",)))).to_pylist()):
        usable = not (row["is_generator_bound"] or row["is_partial"]) and row["judged_at"] and row["ended_at"]
        if usable:
            key = (row["target"], row["preset"], row["scenario_hash"])
            found.setdefault(key, []).append(Run(row["ended_at"].replace(tzinfo=None), row))
    return found


def _changes(
    own: list[Run], metric: str, judged: datetime | None, told: datetime | None
) -> Iterator[tuple[Change, int, bool]]:
    """Changes with the run by which they were sure; True where they were found looking back."""
    values = np.array([_value(run, metric) for run in own], dtype=float)
    begun = len(own) if judged is None else sum(run.at <= judged for run in own)
    if judged is None:
        back = find_changes(values, LOAD_RUN)
        for change, following in zip_longest(back, back[1:]):
            yield change, (len(own) if following is None else following.place) - 1, True
    last = None if told is None else next((place for place, run in enumerate(own) if run.at >= told), None)
    watch = Watch(LOAD_RUN, LIVE_RUNS, values[:begun], last)
    for place in range(begun, len(own)):
        change_now = watch.update(None if np.isnan(values[place]) else float(values[place]))
        if change_now is not None:
            yield change_now, place, False


def _value(run: Run, metric: str) -> float:
    """A run's value, that of a percentile above the deadline the deadline; NaN of too few requests."""
    row = run.values
    value = row.get(metric)
    if value is None or (row["n"] or 0) < LEAST_N[metric]:
        return float("nan")
    return float(value)


def _found(series: Watched, metric: Metric, own: list[Run], change: Change, now: int, *, back: bool) -> Found:
    return Found(
        *(series, metric, own[change.place].at, change.before, change.after),
        *(change.size, change.low, change.high, change.confidence, None),
        points_after=now + 1 - change.place,
        looked_back=back,
    )
