"""What a load test measured, read as its criteria ask: one reading of the run, or one of each window."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from warehouse.analysis.criteria import PERCENTILES, Criterion, Metric, Reading
from warehouse.analysis.requests import Floats, Requests, Span, whole_seconds


@dataclass(frozen=True)
class Drops:
    """Arrivals that were due and never started: how many since the run's start, at some seconds of it."""

    at_s: Floats = field(default_factory=lambda: np.zeros(0))
    total: Floats = field(default_factory=lambda: np.zeros(0))

    def within(self, span: Span) -> float:
        """How many during a span."""
        before, until = (float(self.total[self.at_s <= at_s].max(initial=0)) for at_s in span)
        return until - before


@dataclass(frozen=True)
class Measures:
    """Answers `criteria.judge`. `labels` names each endpoint's index; `length_s` is how long the run took."""

    requests: Requests
    labels: Mapping[int, str]
    length_s: float
    drops: Drops = field(default_factory=Drops)

    def __call__(self, criterion: Criterion) -> Sequence[Reading]:
        """One reading of the whole run, or one of each `window_s` that ends at a full second of it.

        A run shorter than the window has none.
        """
        own = self.requests
        if criterion.endpoint:
            indexes = [index for index, label in self.labels.items() if label == criterion.endpoint]
            if not indexes:
                return [Reading(None, 0, why=f"the scenario has no endpoint {criterion.endpoint}")]
            own = own.of(indexes)
        if criterion.window_s is None:
            return [self._read(criterion, own, (0.0, self.length_s))]
        ordered = own.where(np.argsort(own.at_s, kind="stable"))
        ends = range(criterion.window_s, whole_seconds(self.length_s) + 1)
        return [self._window(criterion, ordered, (end - criterion.window_s, end)) for end in ends]

    def _window(self, criterion: Criterion, ordered: Requests, span: Span) -> Reading:
        first, last = np.searchsorted(ordered.at_s, span)
        return self._read(criterion, ordered.where(slice(first, last)), span)

    def _read(self, criterion: Criterion, own: Requests, span: Span) -> Reading:
        """One metric of the requests of a span, in ms, a ratio, 1/s or a count."""
        metric, end = criterion.metric, span[1]
        if metric in PERCENTILES:
            found = own.percentile(PERCENTILES[metric])
            return Reading(found.value, found.n, found.is_above, end)
        if metric in {Metric.MEAN, Metric.MAX}:
            return _of_times(metric, own, end)
        if metric is Metric.ERRORS:
            return Reading(own.error_ratio(), len(own), at_s=end)
        length_s = end - span[0]
        if metric is Metric.RPS:
            return Reading(len(own) / length_s if length_s > 0 else None, len(own), at_s=end)
        return self._dropped(criterion, own, span)

    def _dropped(self, criterion: Criterion, own: Requests, span: Span) -> Reading:
        """Dropped arrivals are the run's: which request each would have been, nobody knows."""
        if criterion.endpoint:
            return Reading(None, 0, at_s=span[1], why="dropped arrivals are counted for the whole scenario")
        if not len(self.drops.at_s):
            return Reading(None, 0, at_s=span[1], why="the generator told nothing of dropped arrivals")
        dropped = self.drops.within(span)
        due = len(own) + dropped
        if criterion.unit == "%":
            return Reading(dropped / due if due else None, int(due), at_s=span[1])
        return Reading(dropped, int(due), at_s=span[1])


def _of_times(metric: Metric, own: Requests, end: float) -> Reading:
    """The mean or the longest of the corrected times; where requests timed out the truth is above it."""
    ranked = own.corrected_us[own.ranked]
    if not len(ranked):
        return Reading(None, 0, at_s=end)
    value = ranked.mean() if metric is Metric.MEAN else ranked.max()
    return Reading(float(value) / 1000, len(ranked), bool(own.is_timeout.any()), end)
