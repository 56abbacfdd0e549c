"""The stages that all questions over tiers share: what is asked first, and what follows from it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import TypeVar

import pyarrow as pa

from warehouse.cells import DAY, HOUR
from warehouse.questions import joining, sources
from warehouse.questions.asking import Piece, Tables, Texts, Trend, Window, chosen, stored
from warehouse.questions.joining import Holdings
from warehouse.sum_cells import KINDS
from warehouse.tiers import ATTEMPT

Plan = TypeVar("Plan")

CHOSEN = f"""
    SELECT series_id, target, object AS endpoint
    FROM series
    WHERE kind = 'probe' AND {chosen("target", "target")} AND {chosen("object", "endpoint")}
"""

SMALL = 200_000
"""So many attempts are ranked as fast as their cells are merged, and exactly."""

PASSING = [kind.name for kind in KINDS if not kind.keeps_days]
"""Tiers whose cells of days are deleted with those of hours: the oldest one left may not be the first."""

SMALL_WINDOW = timedelta(days=1)


class Endpoints(Window):
    """The chosen endpoints of the chosen targets; none named means all."""

    target: Texts = ()
    endpoint: Texts = ()


class EndpointTrend(Trend):
    """The chosen endpoints over time."""

    target: Texts = ()
    endpoint: Texts = ()


def once(work: Callable[[Tables], Plan]) -> Callable[[Tables], Plan]:
    """The same plan for the same tables, made once."""
    made: list[tuple[pa.Table, Plan]] = []

    def plan(tables: Tables) -> Plan:
        if not made or made[-1][0] is not tables["tier"]:
            made[:] = [(tables["tier"], work(tables))]
        return made[-1][1]

    return plan


def first(asked: Endpoints | EndpointTrend) -> tuple[Piece, ...]:
    """What decides how the window is read: the series, what the tiers hold, which hours are dirty."""
    pieces = [
        Piece(
            "chosen",
            f"{CHOSEN} ORDER BY target, endpoint",
            {"target": list(asked.target), "endpoint": list(asked.endpoint)},
            stands=True,
        ),
        *tier_pieces(asked, ATTEMPT),
    ]
    if asked.end - asked.start <= SMALL_WINDOW:
        since = joining.ceiling(stored(asked.start) - timedelta(hours=1), HOUR)
        until = joining.ceiling(stored(asked.end), HOUR)
        pieces.append(
            Piece(
                "volume",
                f"SELECT coalesce(sum(attempts), 0)::BIGINT AS attempts FROM attempt_cell_1h "
                f"WHERE ts >= {sources.literal(since)} AND ts < {sources.literal(until)}",
                stands=True,
            )
        )
    return tuple(pieces)


def tier_pieces(asked: Window, name: str) -> tuple[Piece, ...]:
    """What decides how a tier's part of the window is read: what it holds, which hours are dirty.

    Of dirty hours those of the window's days: windows that follow the clock ask for the same all day.
    """
    return (
        Piece("oldest", f"SELECT min(ts) AS oldest FROM {name}_cell_1d", stands=True),
        Piece(
            "tier",
            "SELECT name, sealed_until, raw_from FROM tier WHERE starts_with(name, $tier)",
            {"tier": name},
            stands=True,
        ),
        Piece(
            "dirty",
            "SELECT DISTINCT series_id, epoch_ms(hour) // 3600000 AS hour FROM dirty "
            "WHERE tier = $tier AND hour >= $start AND hour < $end",
            {
                "tier": name,
                "start": joining.floor(stored(asked.start) - timedelta(hours=1), DAY),
                "end": joining.ceiling(stored(asked.end), DAY),
            },
            stands=True,
        ),
    )


def held(tables: Tables, name: str = ATTEMPT) -> Holdings:
    """What the warehouse holds of a tier."""
    told = {row["name"]: row for row in tables["tier"].to_pylist()}

    def of(what: str, column: str) -> datetime | None:
        found: datetime | None = told.get(name + what, {}).get(column)
        return found

    raw_from = of("", "raw_from")
    oldest = tables["oldest"]["oldest"][0].as_py()
    days_from = of("_cells", "raw_from") if name in PASSING else None
    if days_from is not None and oldest is not None and oldest <= days_from:
        oldest = None
    since = 0 if raw_from is None else joining.hour_of(raw_from)
    dirty = zip(tables["dirty"]["series_id"].to_pylist(), tables["dirty"]["hour"].to_pylist(), strict=True)
    return Holdings(
        sealed=of("", "sealed_until"),
        days=of("_1d", "sealed_until"),
        raw_from=raw_from,
        cells_from=of("_cells", "raw_from"),
        fine_from=of("_fine", "raw_from"),
        fine_cells_from=of("_fine_cells", "raw_from"),
        days_from=days_from,
        oldest=oldest,
        dirty=frozenset((series, hour) for series, hour in dirty if hour >= since),
    )


def is_small(tables: Tables) -> bool:
    return "volume" in tables and tables["volume"]["attempts"][0].as_py() <= SMALL


def series_of(asked: Endpoints | EndpointTrend, tables: Tables) -> str:
    """The condition on `series_id` of the chosen endpoints."""
    numbers = tables["chosen"]["series_id"].to_pylist()
    return sources.of_series(numbers, every=not (asked.target or asked.endpoint))
