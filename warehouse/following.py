"""The watches over all series of one source, and how far they have come. Reads nothing, writes nothing."""

from __future__ import annotations

from bisect import insort
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from itertools import zip_longest

import numpy as np

from warehouse.analysis.changes import Change, Setting, find_changes, is_large
from warehouse.analysis.kinds import LATENCY, LIVE_LATENCY, setting_by_clock
from warehouse.analysis.watch import Watch
from warehouse.change_points import Found, Judged
from warehouse.watched import Grid, Metric, Source, Watched

MEMORY = LIVE_LATENCY.memory
"""Points of each series that are looked back at."""

DAY_S = 86_400


@dataclass(frozen=True)
class Thresholds:
    """What is too small to be told: relatively, and in milliseconds."""

    smallest_ratio: float
    smallest_ms: float

    def passes(self, metric: Metric, change: Change) -> bool:
        """Whether a change is large enough."""
        floor = self.smallest_ms if metric.unit == "ms" else metric.floor
        return is_large(change, floor, self.smallest_ratio)


@dataclass
class Following:
    """All series of a source from `origin` on, in steps of `step_s`; `until`: the first point not judged."""

    source: Source
    origin: datetime
    step_s: int
    thresholds: Thresholds
    watches: dict[Watched, Watch] = field(default_factory=dict)
    until: dict[str, int] = field(default_factory=dict)
    kept: list[Judged] = field(default_factory=list)
    """How far every target had come when that was written last."""
    changed: dict[Watched, list[datetime]] = field(default_factory=dict)
    """When every series is known to have changed (UTC, naive), in order."""
    thorough_at: float = 0.0
    """When, by the clock that only counts, those are looked at that were silent for long."""

    def _setting_of(self, series: Watched) -> Setting:
        metric = self.source.metric(series.metric)
        return setting_by_clock(
            DAY_S // self.step_s, self.origin.weekday(), metric.noise, counted=metric.counted
        )

    def at(self, place: int) -> datetime:
        """When a point begins (UTC, naive)."""
        return self.origin + timedelta(seconds=place * self.step_s)

    def place(self, at: datetime) -> int:
        """The point an instant lies in."""
        return (at - self.origin) // timedelta(seconds=self.step_s)

    def begin(
        self, past: Grid, judged: Mapping[str, datetime], told: Mapping[Watched, datetime]
    ) -> Iterator[Found]:
        """Take what was measured from `origin` on.

        Targets `judged` up to an instant go on from there; others are looked back at as a whole.
        """
        self.changed = {series: [at] for series, at in told.items()}
        for target, closed in past.closed.items():
            known = judged.get(target)
            self.until[target] = closed if known is None else min(closed, max(0, self.place(known)))
        for series, values in past.series.items():
            before, setting = values[: self.until[series.target]], self._setting_of(series)
            last = self.place(told[series]) if series in told else None
            back = [] if series.target in judged else find_changes(before, setting)
            self.watches[series] = Watch(setting, LIVE_LATENCY, before, back[-1].place if back else last)
            for change, following in zip_longest(back, back[1:]):
                end = len(before) if following is None else following.place
                yield from self._told(series, change, end, looked_back=True)

    def take(self, grid: Grid, start: int, is_over: Callable[[], bool]) -> Iterator[Found]:
        """Judge the closed points of a grid that begins at point `start` and that were not judged yet.

        Targets of which earlier points were not judged wait for a grid that begins with those.
        """
        for series, values in grid.series.items():
            begun = self.until.setdefault(series.target, start)
            if begun < start:
                continue
            watch = self._watch(series, begun)
            for place in range(begun, start + grid.closed[series.target]):
                if is_over():
                    return
                value = values[place - start]
                change = watch.update(None if np.isnan(value) else float(value))
                if change is not None:
                    yield from self._told(series, change, place + 1)
        for target, closed in grid.closed.items():
            if self.until.setdefault(target, start) >= start:
                self.until[target] = max(self.until[target], start + closed)

    def _watch(self, series: Watched, begun: int) -> Watch:
        """The watch over a series, which knows that nothing was measured where it was not told anything."""
        watch = self.watches.get(series)
        if watch is None:
            watch = Watch(self._setting_of(series), LIVE_LATENCY, np.full(begun, np.nan))
            self.watches[series] = watch
        for _ in range(len(watch), begun):
            watch.update(None)
        return watch

    def _told(
        self, series: Watched, change: Change, now: int, *, looked_back: bool = False
    ) -> Iterator[Found]:
        metric, at = self.source.metric(series.metric), self.at(change.place)
        insort(self.changed.setdefault(series, []), at)
        if self.thresholds.passes(metric, change):
            yield Found(
                *(series, metric, at, change.before, change.after),
                *(change.size, change.low, change.high, change.confidence, self.step_s),
                points_after=now - change.place,
                looked_back=looked_back,
                since=self._since(series, at),
            )

    def _since(self, series: Watched, at: datetime) -> datetime | None:
        """When the level before a change began; None where no earlier change is known."""
        return max((each for each in self.changed.get(series, ()) if each < at), default=None)

    def known(self, found: Found) -> int:
        """How many points after a change its series was told."""
        watch = self.watches.get(found.series)
        return 0 if watch is None else len(watch) - self.place(found.at)

    def again(self, found: Found, points: int, *, upwards: bool) -> Found | None:
        """The change told anew by so many known points after it; None where they tell nothing."""
        place = self.place(found.at)
        change = self.watches[found.series].again(place, place + points, upwards=upwards)
        if change is None:
            return None
        return replace(
            found,
            before=change.before,
            after=change.after,
            size=change.size,
            low=change.low,
            high=change.high,
            confidence=change.confidence,
            points_after=points,
            low_difference=None,
            high_difference=None,
            since=self._since(found.series, found.at),
        )

    def judged(self) -> list[Judged]:
        """How far every target has come."""
        points: dict[str, list[int]] = {target: [] for target in self.until}
        for series, watch in self.watches.items():
            points[series.target].append(watch.measured)
        return [
            Judged(
                kind=self.source.kind,
                target=target,
                until=self.at(self.until[target]),
                series=len(each),
                ready=sum(count >= LATENCY.fewest for count in each),
                points=max(each, default=0),
                wanted=LATENCY.fewest,
                point_s=self.step_s,
            )
            for target, each in points.items()
        ]
