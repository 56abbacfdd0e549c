"""The question what would have been told of an endpoint under other thresholds, point by point."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Annotated, Any, Literal

import numpy as np
import pyarrow as pa
from pydantic import Field, model_validator

from warehouse.analysis.changes import Change, find_changes, is_large
from warehouse.analysis.kinds import (
    COUNTED,
    LATENCY,
    LATENCY_RULES,
    LIVE_LATENCY,
    LIVE_LATENCY_RULES,
    setting_by_clock,
)
from warehouse.analysis.requests import Floats
from warehouse.analysis.watch import Watch
from warehouse.questions.asking import Staged, Text, Window, stored
from warehouse.questions.percentiles import PercentileTrend, percentile_trend

POINT_S = 300
DAY = timedelta(days=1)
MOST_DAYS, DAYS_BEFORE = 8, 7
"""Days that are judged at most, and days before them by which their first points are."""

ERRORS = "error_ratio"
ERRORS_FLOOR = 0.01
ANSWER = pa.schema(
    [
        ("at", pa.timestamp("ms")),
        ("told_at", pa.timestamp("ms")),
        ("verdict", pa.string()),
        *((name, pa.float64()) for name in ("before", "after", "size_ratio", "low_ratio", "high_ratio")),
        ("confidence", pa.float64()),
    ]
)


class JudgeAgain(Window):
    """One endpoint's metric over at most MOST_DAYS days, and the thresholds to judge it by.

    `caution` multiplies how much evidence a change needs: 1 is what the watch asks for.
    """

    target: Text
    endpoint: Text
    metric: Literal["p50_ms", "p95_ms", "p99_ms", "error_ratio"] = "p95_ms"
    smallest_ratio: Annotated[float, Field(ge=0.01, le=10)] = 0.1
    smallest_ms: Annotated[float, Field(ge=0, le=60_000)] = 1.0
    caution: Annotated[float, Field(ge=0.25, le=100)] = 1.0

    @model_validator(mode="after")
    def _short_enough(self) -> JudgeAgain:
        if self.end - self.start > MOST_DAYS * DAY:
            raise ValueError(f"expected at most {MOST_DAYS} days")
        return self


class Points(PercentileTrend):
    """An endpoint over as many points as it takes."""

    @property
    def bucket_s(self) -> int:
        """The width of a point."""
        return POINT_S


def judge_again(asked: JudgeAgain) -> Staged:
    """What a watch with these thresholds would have told, and when: one row each, in points of 5 minutes.

    `told_at` is the end of the point by which it was sure. What came before the window is only learned from.
    """
    origin = stored(asked.start).replace(hour=0, minute=0, second=0, microsecond=0) - DAYS_BEFORE * DAY
    window = {
        "start": f"{origin}Z",
        "end": asked.end,
        "target": (asked.target,),
        "endpoint": (asked.endpoint,),
    }
    points = percentile_trend(Points.model_validate(window))
    return replace(points, join=lambda tables: _told(asked, origin, points.join(tables)))


def _told(asked: JudgeAgain, origin: datetime, answer: pa.Table) -> pa.Table:
    """The changes that would have been told, as rows of ANSWER."""
    step = timedelta(seconds=POINT_S)
    begun = (stored(asked.start) - origin) // step
    values = np.full((stored(asked.end) - origin) // step + 1, np.nan)
    if answer.num_rows and set(answer["bucket_s"].to_pylist()) == {POINT_S}:
        at = answer["bucket_at"].to_numpy().astype("datetime64[ms]")
        values[(at - np.datetime64(origin, "ms")) // np.timedelta64(POINT_S, "s")] = points_of_probes(answer)[
            asked.metric
        ]
    rows = [
        {
            "at": origin + change.place * step,
            "told_at": origin + (now + 1) * step,
            "verdict": "regression" if change.after > change.before else "improvement",
            "before": change.before,
            "after": change.after,
            "size_ratio": change.size,
            "low_ratio": change.low,
            "high_ratio": change.high,
            "confidence": change.confidence,
        }
        for now, change in changes_again(asked, origin, values, begun)
    ]
    return pa.Table.from_pylist(rows, schema=ANSWER)


def changes_again(
    asked: JudgeAgain, origin: datetime, values: Floats, begun: int
) -> list[tuple[int, Change]]:
    """The changes, each with the point by which it was sure."""
    is_errors = asked.metric == ERRORS
    setting = setting_by_clock(
        int(DAY.total_seconds()) // POINT_S,
        origin.weekday(),
        COUNTED if is_errors else 1e-6,
        counted=is_errors,
    )
    by = asked.caution
    setting = replace(setting, rules=LATENCY_RULES.stricter(by), shown=by * LATENCY.shown)
    alertness = replace(LIVE_LATENCY, rules=LIVE_LATENCY_RULES.stricter(by), shown=by * LIVE_LATENCY.shown)
    before = find_changes(values[:begun], setting)
    watch = Watch(setting, alertness, values[:begun], before[-1].place if before else None)
    floor = ERRORS_FLOOR if is_errors else asked.smallest_ms
    told = []
    for place in range(begun, len(values)):
        value = values[place]
        change = watch.update(None if np.isnan(value) else float(value))
        if change is not None and is_large(change, floor, asked.smallest_ratio):
            told.append((place, change))
    return told


def points_of_probes(answer: pa.Table) -> dict[str, Floats]:
    """Percentiles of enough attempts for them; the share of errors drawn in, so that none is a number too.

    Half an error in one more attempt is what nothing is known but that few fail (Jeffreys' prior).
    """

    def column(name: str) -> Any:
        return answer[name].cast(pa.float64()).to_numpy()

    attempts, n, errors = (column(name) for name in ("attempts", "n", "errors"))
    told = {
        f"p{percent}_ms": np.where(n >= least, column(f"p{percent}_ms"), np.nan)
        for percent, least in ((50, 5), (95, 20), (99, 100))
    }
    return {**told, ERRORS: np.where(attempts >= 5, (errors + 0.5) / (attempts + 1), np.nan)}
