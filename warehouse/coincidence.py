"""What moved when a regression began: phases, queries, hosts and databases whose own change coincides."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import numpy as np
import pyarrow as pa

from warehouse.analysis.requests import Floats
from warehouse.analysis.together import Move, beyond, move
from warehouse.change_points import CoMovement, Found
from warehouse.questions.distribution import phase_breakdown
from warehouse.questions.stages import EndpointTrend
from warehouse.watched import PROBE, QUERY, SOURCES, Ask, Source, Watched, foremost_shapes, trend_of

POINTS_AROUND = 24
"""Points before the change that are looked at, and at most after it."""

OTHER_DAYS = (1, 2, 3, 7)
"""So many days before are looked at for what these hours bring anyway."""

PHASES = ("dns", "connect", "tls", "first_byte", "download")
MOST_TOLD = 30
EXPLAINS_AT_MOST = 1.25
"""A query cannot be the reason of much more than there is: one slower yet is called less than once."""


@dataclass(frozen=True)
class Around:
    """The points around a change: `turn` of them lie before it."""

    start: datetime
    end: datetime
    step_s: int
    turn: int

    @classmethod
    def of(cls, found: Found, step_s: int) -> Around:
        """The points that there are around what was found."""
        step = timedelta(seconds=step_s)
        after = min(max(found.points_after, 1), POINTS_AROUND)
        start = found.at - POINTS_AROUND * step
        return cls(start, found.at + after * step, step_s, POINTS_AROUND)

    def before(self, days: int) -> Around:
        """The same hours so many days before."""
        by = timedelta(days=days)
        return replace(self, start=self.start - by, end=self.end - by)

    @property
    def points(self) -> int:
        """How many points there are."""
        return round((self.end - self.start) / timedelta(seconds=self.step_s))

    def move(self, values: Floats) -> Move | None:
        """How a series moved."""
        return move(values[: self.turn], values[self.turn :])


def co_movements(ask: Ask, found: Found) -> list[CoMovement]:
    """The series that moved with the one found, the foremost first, at most MOST_TOLD.

    Raises what asking raises.
    """
    if found.point_s is None:
        return []
    around = Around.of(found, found.point_s)
    told: list[CoMovement] = []
    total: float | None = None
    if found.series.kind == PROBE.kind:
        phases, total = _phases(ask, found, around)
        told += phases
    told += _others(ask, found, around, total)
    told.sort(key=lambda each: (-abs(each.share or 0.0), -abs(each.move.score)))
    return told[:MOST_TOLD]


def _phases(ask: Ask, found: Found, around: Around) -> tuple[list[CoMovement], float | None]:
    """The phases of the endpoint, whose means add up to its total; and by how much that changed (ms)."""
    asked = EndpointTrend(
        **trend_of(around.start, around.end, around.step_s),
        target=(found.series.target,),
        endpoint=(found.series.object,),
    )
    rows = ask(phase_breakdown(asked))
    at = rows["bucket_at"].to_pylist()
    late = np.array([each.replace(tzinfo=None) >= found.at for each in at], dtype=bool)
    n = rows["n"].cast(pa.float64()).to_numpy()
    if not late.any() or late.all() or not n[late].sum() or not n[~late].sum():
        return [], None

    def means(name: str) -> tuple[Floats, float, float]:
        values = np.nan_to_num(rows[f"{name}_ms"].cast(pa.float64()).to_numpy())
        before, after = (float((values[side] * n[side]).sum() / n[side].sum()) for side in (~late, late))
        return values, before, after

    _, before, after = means("total")
    total = after - before
    told = []
    for phase in PHASES:
        values, low, high = means(phase)
        moved = move(values[~late], values[late])
        if moved is not None and moved.coincides and total:
            exact = Move(low, high, moved.score, moved.points_before, moved.points_after)
            share = None if phase == "dns" else (high - low) / total
            series = Watched("phase", found.series.target, found.series.object, f"{phase}_ms")
            told.append(CoMovement(series, "ms", exact, share, None if share is None else total))
    return told, total


def _others(ask: Ask, found: Found, around: Around, total: float | None) -> Iterator[CoMovement]:
    """Everything else that is watched, but for the object found itself."""
    own = (found.series.kind, found.series.target, found.series.object)
    for source in SOURCES.values():
        shapes = foremost_shapes(ask, around.start, around.end) if source is QUERY else ()
        if source is QUERY and not shapes:
            continue
        moved = {
            series: each
            for series, each in _moves(ask, source, around, shapes).items()
            if each.coincides and (series.kind, series.target, series.object) != own
        }
        if not moved:
            continue
        others = [_moves(ask, source, around.before(days), shapes) for days in OTHER_DAYS]
        for series, each in moved.items():
            rest = beyond(each, [day[series] for day in others if series in day])
            if rest.coincides:
                share = _share(series, rest, total)
                unit = source.metric(series.metric).unit
                yield CoMovement(series, unit, rest, share, None if share is None else total)


def _moves(ask: Ask, source: Source, around: Around, shapes: Sequence[str]) -> dict[Watched, Move]:
    """How each series of a source moved."""
    answer = ask(source.question(around.start, around.end, around.step_s, shapes))
    grid = source.grid(answer, around.start, around.step_s, around.points)
    moves = {series: around.move(values) for series, values in grid.series.items()}
    return {series: each for series, each in moves.items() if each is not None}


def _share(series: Watched, moved: Move, total: float | None) -> float | None:
    """The part of the endpoint's difference that a query's is, if each request makes one call."""
    if series.metric != "query_mean_ms" or not total:
        return None
    share = moved.rest / total
    return share if 0 < share <= EXPLAINS_AT_MOST else None
