"""Windows of a target's history held against periods, each as a comparison then would have told. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import pyarrow as pa

from warehouse.analysis.baseline import Rules, judge
from warehouse.analysis.stretches import Interval, Stretches, stretches
from warehouse.errors import InvalidInputError
from warehouse.questions import baseline_attempts, baseline_series
from warehouse.questions.asking import Piece, Tables
from warehouse.questions.baseline_findings import common, row, unknown

MOST_WINDOWS = 200
MOST_TIME = timedelta(days=20)
"""So much time in all is read of single attempts: of the windows, and of baselines beside them."""

Pinned = Mapping[str, Any]
"""A baseline's row."""


@dataclass(frozen=True)
class History:
    """What is judged: a target's endpoints over a span of time, in windows of `length_s`."""

    target: str
    endpoints: Sequence[str]
    span: Interval
    length_s: int

    @property
    def windows(self) -> list[Interval]:
        """The windows, the oldest first; the last one ends with the span."""
        start, end = self.span
        length = timedelta(seconds=self.length_s)
        count = (end - start) // length
        if count > MOST_WINDOWS:
            raise InvalidInputError(
                f"the history is of {count} windows, more than {MOST_WINDOWS}",
                field="start",
                hint="Choose a shorter history, or longer windows.",
            )
        return [(end - (place + 1) * length, end - place * length) for place in reversed(range(count))]


@dataclass(frozen=True)
class Plan:
    """What stretches each window is held against under each baseline, and all that is read for it."""

    cuts: Mapping[tuple[Interval, str], Stretches]
    raw_from: datetime | None

    @classmethod
    def of(cls, history: History, pinned: Sequence[Pinned], tier: pa.Table) -> Plan:
        """Windows whose single attempts are deleted are held against nothing."""
        raw_from = (tier.to_pylist() or [{"raw_from": None}])[0]["raw_from"]
        cuts = {
            (window, each["baseline_id"]): stretches((each["start_ts"], each["until_ts"]), window)
            for window in history.windows
            if raw_from is None or window[0] >= raw_from
            for each in pinned
        }
        return cls(cuts, raw_from)

    @property
    def intervals(self) -> list[Interval]:
        """All that is read, each stretch of time once."""
        compared = {window for (window, _), cut in self.cuts.items() if cut.intervals}
        return sorted(compared | {each for cut in self.cuts.values() for each in cut.intervals})


def pieces(history: History, pinned: Sequence[Pinned], tier: pa.Table) -> list[Piece]:
    """The single attempts to read. Raises InvalidInputError where that is too much."""
    intervals = Plan.of(history, pinned, tier).intervals
    if len(intervals) * timedelta(seconds=history.length_s) > MOST_TIME:
        raise InvalidInputError(
            f"more than {MOST_TIME.days} days of single attempts would have to be read",
            field="start",
            hint="Choose a shorter history.",
        )
    return [baseline_attempts.piece(history.target, history.endpoints, intervals)] if intervals else []


def judged(history: History, pinned: Sequence[Pinned], tables: Tables, rules: Rules) -> list[dict[str, Any]]:
    """Every window under every baseline."""
    plan = Plan.of(history, pinned, tables["tier"])
    intervals = plan.intervals
    found = tables.get("requests")
    told = (
        baseline_series.told_of_stretches(found, len(intervals), history.length_s)
        if found is not None
        else []
    )
    known = dict(zip(intervals, told, strict=True))
    return [
        {"at": window[0], "until": window[1], "run_id": None, "is_active": each["is_active"], **told_of}
        for window in history.windows
        for each in pinned
        for told_of in _judged(history, window, each, plan, known, rules)
    ]


def _judged(
    history: History,
    window: Interval,
    pinned: Pinned,
    plan: Plan,
    known: Mapping[Interval, Mapping[str, baseline_series.Told]],
    rules: Rules,
) -> Iterator[dict[str, Any]]:
    """The findings of one window under one baseline; or why there are none."""
    cut = plan.cuts.get((window, pinned["baseline_id"]))
    if cut is None:
        yield {
            **common(history.target, pinned, ""),
            **unknown(f"single attempts before {plan.raw_from:%Y-%m-%d %H:%M} UTC are deleted"),
        }
        return
    shared = common(history.target, pinned, cut.how)
    if not cut.intervals:
        yield {**shared, **unknown("the baseline is shorter than the window, or the window lies in it")}
        return
    series = baseline_series.of_runs([*(known[each] for each in cut.intervals), known[window]])
    if not series:
        yield {**shared, **unknown("nothing was measured in the window or the baseline")}
    for each in judge(series, rules):
        yield {**shared, **row(each)}
