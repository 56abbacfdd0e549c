"""Looks out for regressions while the warehouse runs: reads what is new of every series, has it judged.

What was found and up to where it was looked are written together, so that a stop at any point neither
loses a change nor tells it twice.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from warehouse import regressions, run_lookout
from warehouse.change_points import Found, Judged
from warehouse.coincidence import co_movements
from warehouse.error_shares import as_counted, is_enough
from warehouse.errors import PerfhouseError
from warehouse.following import MEMORY, Following, Thresholds
from warehouse.model import now
from warehouse.questions.asking import Statement
from warehouse.questions.judge_again import ERRORS
from warehouse.reader import Reader
from warehouse.run_lookout import KIND as LOADTEST
from warehouse.watched import (
    MOST_POINTS,
    PROBE,
    QUERY,
    SOURCES,
    Grid,
    Source,
    Watched,
    foremost_shapes,
)
from warehouse.young import Young
from warehouse.young_sizes import Sized, YoungSizes

if TYPE_CHECKING:
    from warehouse.settings import Settings
    from warehouse.store import Store
    from warehouse.writer import Writer

log = logging.getLogger(__name__)

DEADLINE_S = 60.0
MOST_ROWS = 2_000_000
MOST_SHAPES = 200
MOST_EXPLAINED = 5
"""Of so many changes found at once, the largest ones, it is looked what moved with them."""

DAY = timedelta(days=1)
THOROUGH_EVERY_S = 3600.0


class Lookout:
    """Follows all that is watched. `look` by one thread at a time, `stop` by any."""

    def __init__(self, store: Store, writer: Writer, settings: Settings) -> None:
        self._writer = writer
        self._reader = Reader(store, deadline_s=DEADLINE_S, row_cap=MOST_ROWS, slots=1)
        self._step_s = settings.regressions.point_s
        self._thresholds = Thresholds(settings.regressions.smallest_ratio, settings.regressions.smallest_ms)
        self._following: dict[str, Following] = {}
        self._shapes: dict[str, None] = {}
        self._young = Young()
        self._sizes = YoungSizes()
        self._chosen_at: datetime | None = None
        self._ended = threading.Event()
        self._one = threading.Lock()

    def look(self) -> None:
        """Judge what was measured since the last time. What fails is looked at again the next time."""
        with self._one:
            looks = [
                ("young regressions", self._remember),
                *((kind, self._at(kind)) for kind in SOURCES),
                (LOADTEST, self._look_at_runs),
                ("what moved", self._explain_again),
                ("sizes", self._size_again),
            ]
            for kind, look in looks:
                if self._ended.is_set():
                    return
                try:
                    look()
                except PerfhouseError as error:
                    log.warning("looking for regressions waits (%s): %s", kind, error)

    def stop(self) -> None:
        """Begin nothing more, and wait for what runs: the writer must not end before it."""
        self._ended.set()
        with self._one:
            pass

    def _at(self, kind: str) -> Callable[[], None]:
        return lambda: self._look(SOURCES[kind])

    def _look_at_runs(self) -> None:
        """Judge the load tests that ended since the last time."""
        found, judged = run_lookout.look(
            self._ask, self._thresholds, self._judged(LOADTEST, None), self._told(LOADTEST)
        )
        if judged:
            self._keep(found, judged)

    def _look(self, source: Source) -> None:
        at = now().replace(tzinfo=None)
        following = self._following.pop(source.kind, None)  # what fails on the way begins anew
        is_new = following is None
        following = following or self._new(source, at)
        here = following.place(at)
        start = 0 if is_new else self._start(following, here)
        grid = self._read(following, start, here)
        found: list[Found] = []
        if is_new:
            found += following.begin(grid, self._judged(source.kind, self._step_s), self._told(source.kind))
        found += following.take(grid, start, self._ended.is_set)
        if self._ended.is_set():
            return
        judged = following.judged()
        if found or judged != following.kept:
            self._keep(self._counted(found), judged)
            following.kept = judged
        self._following[source.kind] = following

    def _start(self, following: Following, here: int) -> int:
        """From where to read on: a day back at most, but once an hour for those silent for longer."""
        recent = here - MOST_POINTS
        first = min(following.until.values(), default=recent)
        if first >= recent or time.monotonic() < following.thorough_at:
            return max(first, recent)
        following.thorough_at = time.monotonic() + THOROUGH_EVERY_S
        return first

    def _keep(self, found: Sequence[Found], judged: Sequence[Judged]) -> None:
        foremost = sorted(found, key=lambda each: (each.series.kind != PROBE.kind, -abs(each.size or 1.0)))
        moved = {each: co_movements(self._ask, each) for each in foremost[:MOST_EXPLAINED]}
        explained = self._writer.quietly(lambda held: regressions.note(held, found, judged, moved)).result()
        self._young.add(explained)
        self._sizes.noted()
        for each in found:
            log.info("%s: %s %s %s", each.verdict, each.series.metric, each.series.target, each.series.object)

    def _remember(self) -> None:
        """Take up what was young when the warehouse stopped."""
        self._young.remember(self._ask)

    def _explain_again(self) -> None:
        """Look again what moved with young regressions: when they were found, few points were after them."""
        at = now().replace(tzinfo=None)
        due = dict(self._young.due(self._ask, self._points_after, at))
        if due:
            moved = {regression_id: co_movements(self._ask, found) for regression_id, found in due.items()}
            self._writer.quietly(lambda held: regressions.renew_moves(held, moved)).result()
            self._young.looked(due)

    def _size_again(self) -> None:
        """Tell the sizes of young change points anew: by the first points after them they were guesses."""
        at = now().replace(tzinfo=None)
        told = list(self._sizes.due(self._ask, self._step_s, self._sized, at))
        if told and not self._ended.is_set():
            self._writer.quietly(lambda held: regressions.renew_sizes(held, told)).result()

    def _sized(self, sized: Sized) -> Found | None:
        """A change point by the points that are complete now; None where it stays, or the warehouse stops."""
        following = self._following.get(sized.found.series.kind)
        if following is None or self._ended.is_set():
            return None
        points = sized.points(following.known(sized.found), self._step_s)
        if points is None:
            return None
        found = following.again(sized.found, points, upwards=sized.upwards)
        try:
            told = None if found is None else self._as_counted(found)
        except PerfhouseError as error:
            log.warning("a size is told anew later (%s): %s", sized.found.series.object, error)
            return None
        return told if told is not None and told.verdict is sized.found.verdict else None

    def _points_after(self, found: Found) -> int | None:
        """How many points after a change are complete; None while its series are not followed."""
        following = self._following.get(found.series.kind)
        until = None if following is None else following.until.get(found.series.target)
        return None if following is None or until is None else until - following.place(found.at)

    def _new(self, source: Source, at: datetime) -> Following:
        origin = at - timedelta(seconds=MEMORY * self._step_s)
        origin = origin.replace(minute=0, second=0, microsecond=0)
        if origin < at - DAY:
            origin = origin.replace(hour=0)
        return Following(source, origin, self._step_s, self._thresholds)

    def _read(self, following: Following, start: int, end: int) -> Grid:
        """The points from `start` to `end`, that one included, in as many questions as it takes."""
        source = following.source
        shapes = self._watched_shapes(following.at(end)) if source.kind == QUERY.kind else ()
        parts = []
        for begin in range(max(start, self._first(following, start, end)), end + 1, MOST_POINTS):
            if self._ended.is_set() or (source.kind == QUERY.kind and not shapes):
                break
            points = min(MOST_POINTS, end + 1 - begin)
            window = (following.at(begin), following.at(begin + points))
            answer = self._ask(source.question(*window, self._step_s, shapes))
            parts.append((begin - start, source.grid(answer, window[0], self._step_s, points)))
        return _joined(parts, end + 1 - start)

    def _first(self, following: Following, start: int, end: int) -> int:
        """The first point that can tell anything, where finding it costs less than asking for all."""
        if end - start < MOST_POINTS:
            return start
        oldest = self._ask(following.source.oldest())["ts"][0].as_py()
        return end + 1 if oldest is None else following.place(oldest.replace(tzinfo=None))

    def _watched_shapes(self, at: datetime) -> Sequence[str]:
        """The shapes watched so far, and once an hour those that took longest in the day before."""
        if not self._shapes or self._chosen_at is None or at - self._chosen_at >= timedelta(hours=1):
            self._shapes |= dict.fromkeys(foremost_shapes(self._ask, at - DAY, at))
            self._shapes = dict.fromkeys([*self._shapes][-MOST_SHAPES:])
            self._chosen_at = at
        return [*self._shapes]

    def _counted(self, found: Sequence[Found]) -> list[Found]:
        """What was found, shares of errors as they were counted where they were, not as they were watched."""
        told = [self._as_counted(each) for each in found]
        return [each for each in told if is_enough(each)]

    def _as_counted(self, found: Found) -> Found:
        return as_counted(self._ask, found, self._step_s) if found.metric.name == ERRORS else found

    def _ask(self, statement: Statement) -> pa.Table:
        return self._reader.answer(statement)

    def _judged(self, kind: str, step_s: int | None) -> dict[str, datetime]:
        rows = self._ask(
            Statement(
                "SELECT target, until_ts FROM judged "
                "WHERE kind = $kind AND point_s IS NOT DISTINCT FROM $step_s::INTEGER",
                {"kind": kind, "step_s": step_s},
            )
        ).to_pylist()
        return {row["target"]: row["until_ts"].replace(tzinfo=None) for row in rows}

    def _told(self, kind: str) -> dict[Watched, datetime]:
        rows = self._ask(
            Statement(
                "SELECT target, object, metric, max(ts) AS told_at FROM change_point WHERE kind = $kind "
                "GROUP BY ALL",
                {"kind": kind},
            )
        ).to_pylist()
        return {
            Watched(kind, row["target"], row["object"], row["metric"]): row["told_at"].replace(tzinfo=None)
            for row in rows
        }


def _joined(parts: Sequence[tuple[int, Grid]], points: int) -> Grid:
    """Grids one after the other, each from its place on, as one."""
    series: dict[Watched, np.ndarray] = {}
    closed: dict[str, int] = {}
    for begin, grid in parts:
        for each, values in grid.series.items():
            if each not in series:
                series[each] = np.full(points, np.nan)
            series[each][begin : begin + len(values)] = values
        closed |= {target: begin + place for target, place in grid.closed.items()}
    return Grid(series, closed)
