"""What was watched during a load test, and what it takes for a resource to count as saturated."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from warehouse.analysis.degradation import Stretch, Windows
from warehouse.analysis.requests import Floats

UNKNOWN = "unknown"

STAYED = 0.8
"""Of the samples from when it reached its limit, so many must be at it."""


@dataclass(frozen=True)
class Track:
    """One number of one resource over a run; `at_s` since its start, where each sample's interval ends."""

    kind: str
    object: str
    metric: str
    at_s: Floats
    values: Floats
    unit: str = ""

    @property
    def interval_s(self) -> float:
        return float(np.median(np.diff(self.at_s))) if len(self.at_s) > 1 else 0.0


@dataclass(frozen=True)
class Queries:
    """Time spent in one shape of query, interval by interval."""

    target: str
    text: str
    from_s: Floats
    to_s: Floats
    calls: Floats
    total_ms: Floats


@dataclass(frozen=True)
class Resources:
    """All that was watched during a run."""

    tracks: Sequence[Track] = ()
    queries: Sequence[Queries] = ()
    generator_processes: Sequence[str] = ()

    def of(self, *metrics: str) -> list[Track]:
        return [track for track in self.tracks if track.metric in metrics and len(track.at_s)]


@dataclass(frozen=True)
class Finding:
    """The resource that saturated first. `object` says which one, `at_elapsed_s` since when."""

    resource: str
    object: str
    evidence: str
    at_elapsed_s: float | None
    confidence: str
    """high: one resource alone; low: others reached their limits within the same sampling interval or were
    at them before the run, or it was seen in one sample; none: unknown."""


@dataclass(frozen=True)
class Candidate:
    """A resource at its limit since `at_s`, negative before the run; lower `rank` where two came at once."""

    resource: str
    object: str
    text: str
    at_s: float
    interval_s: float
    rank: int
    samples: int = 2


@dataclass(frozen=True)
class Case:
    """What is looked at: the run's windows, its bad stretch, and what was watched."""

    windows: Windows
    stretch: Stretch
    resources: Resources

    @property
    def onset_s(self) -> float:
        """The end of the first bad window: by then it was bad."""
        return self.stretch.from_s + self.windows.width_s


def worse(case: Case) -> str:
    """What got worse, in numbers, and when."""
    windows, stretch = case.windows, case.stretch
    at = clock(stretch.from_s)

    def levels(values: Floats) -> tuple[float, float]:
        return float(np.nanmedian(values[stretch.low])), float(np.nanmedian(values[stretch.bad]))

    if stretch.kind == "p95":
        low, high = levels(windows.p95_ms)
        return f"p95 rose from {low:.3g} to {high:.3g} ms at {at}"
    if stretch.kind == "errors":
        low, high = levels(windows.error_ratio)
        return f"errors rose from {low:.1%} to {high:.1%} at {at}"
    low, high = levels(windows.users)
    rps = float(np.nanmedian(windows.good_rps[stretch.bad]))
    return f"throughput stayed at {rps:.3g}/s from {at} on while users rose from {low:.0f} to {high:.0f}"


def clock(seconds: float) -> str:
    """Minutes and seconds since the run's start."""
    return f"{int(max(0.0, seconds)) // 60}:{int(max(0.0, seconds)) % 60:02d}"


def reached(case: Case, track: Track, limit: float) -> tuple[float, int] | None:
    """Since when a track stayed at its limit, and in how many samples; None: it did not, or not in time.

    Before the run's start, in negative seconds, where it was there already.
    """
    own = track.at_s <= case.stretch.to_s + track.interval_s
    at_s, full = track.at_s[own], track.values[own] >= limit
    for place in np.flatnonzero(full):
        if at_s[place] > case.onset_s + track.interval_s:
            return None
        stayed = full[place:]
        if at_s[-1] >= case.stretch.from_s and stayed.mean() >= STAYED:
            return float(at_s[place]), int(stayed.sum())
    return None


def level(case: Case, track: Track, since_s: float) -> float:
    """The median from then to the end of the bad stretch."""
    own = (track.at_s >= since_s) & (track.at_s <= case.stretch.to_s + track.interval_s)
    return float(np.median(track.values[own])) if own.any() else float("nan")
