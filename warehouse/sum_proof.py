"""Proves that cells that add up are those of the single rows, and replaces those that are not."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING

import pyarrow as pa

from warehouse import sum_made, tiers
from warehouse.cells import DAY, HOUR, Span
from warehouse.rollups import Hands
from warehouse.sum_cells import Summed
from warehouse.sum_made import WITHIN
from warehouse.sum_tiers import renew
from warehouse.tiers import floor, following
from warehouse.transaction import transaction

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

ALIKE = 1e-9
"""How far a sum may be off that was added up in another order, as a share of the largest it could be."""


def proved(hands: Hands, kind: Summed) -> Iterator[tuple[datetime, int, list[str]]]:
    """Compute the cells of every day anew whose rows are there: the day, its cells, which of them differ.

    What is dirty is renewed first. Those that differ are replaced.
    """
    renew(hands, kind)
    with hands.reading() as connection:
        tier = tiers.read(connection, kind.name)
        oldest = connection.execute(f"SELECT min(ts) FROM {kind.name}").fetchall()[0][0]
    if oldest is None or tier.sealed_until is None:
        return
    start = max(floor(oldest, HOUR), tier.raw_from or floor(oldest, HOUR))
    while start < tier.sealed_until and not hands.stopped():
        end = min(following(start, DAY), tier.sealed_until)
        hours, in_hours = _prove_hours(hands, kind, Span(start, end))
        days, in_day = _prove_day(hands, kind, floor(start, DAY))
        yield floor(start, DAY), hours + days, in_hours + in_day
        start = end


def _prove_hours(hands: Hands, kind: Summed, span: Span) -> tuple[int, list[str]]:
    with hands.reading() as connection:
        if (tiers.read(connection, kind.name).raw_from or span.start) > span.start:
            return 0, []
        fresh = sum_made.hours_of(connection, kind, span)
        told = _differences(connection, kind, HOUR, fresh, span)
        connection.register("fresh", fresh)
        touched = sum_made.told(
            connection,
            f"SELECT DISTINCT {kind.key} AS series_id, epoch_ms(ts) // 3600000 AS hour FROM "
            f"(SELECT ts, {kind.key} FROM {kind.table(HOUR)} WHERE {WITHIN} "
            f"UNION ALL SELECT ts, {kind.key} FROM fresh)",
            span,
        )

    def put(writing: DuckDBPyConnection) -> None:
        with transaction(writing):
            sum_made.replace_hours(writing, kind, fresh, Span(span.start, span.end, touched))

    if told:
        hands.write(put)
    return int(fresh.num_rows), told


def _prove_day(hands: Hands, kind: Summed, day: datetime) -> tuple[int, list[str]]:
    span = Span(day, following(day, DAY))
    with hands.reading() as connection:
        sealed = tiers.read(connection, kind.days).sealed_until
        if sealed is None or day >= sealed:
            return 0, []
        fresh = sum_made.day_of(connection, kind, day)
        told = _differences(connection, kind, DAY, fresh, span)

    def put(writing: DuckDBPyConnection) -> None:
        with transaction(writing):
            sum_made.replace_day(writing, kind, fresh, span)

    if told:
        hands.write(put)
    return int(fresh.num_rows), told


def _differences(
    connection: DuckDBPyConnection, kind: Summed, width_s: int, fresh: pa.Table, span: Span
) -> list[str]:
    """Which stored cells of the span are not the fresh ones, in words; those noted meanwhile are none."""
    connection.register("fresh", fresh)
    connection.register("dirty_hours", tiers.dirty(connection, kind.name, span.end, span.start).wanted)
    exact = ", ".join(f"{column} AS same_{place}" for place, column in enumerate(kind.same))
    near = ", ".join(
        f"{column} AS added_{place}, {most} AS most_{place}"
        for place, (column, most) in enumerate(kind.added)
    )
    alike = " AND ".join(
        [f"stored.same_{place} IS NOT DISTINCT FROM made.same_{place}" for place in range(len(kind.same))]
        + [
            f"(coalesce(abs(stored.added_{place} - made.added_{place}) <= {ALIKE} * made.most_{place}, "
            f"stored.added_{place} IS NULL AND made.added_{place} IS NULL))"
            for place in range(len(kind.added))
        ]
    )
    told = f"SELECT ts::TIMESTAMP AS ts, {kind.key} AS key, TRUE AS is_there, {exact}, {near} FROM"
    rows = connection.execute(
        f"""
        WITH stored AS ({told} {kind.table(width_s)} WHERE {WITHIN}), made AS ({told} fresh)
        SELECT ts, key FROM stored FULL JOIN made USING (ts, key)
        WHERE NOT (stored.is_there IS NOT NULL AND made.is_there IS NOT NULL AND {alike})
            AND (key, epoch_ms(ts) // {width_s * 1000}) NOT IN (
                SELECT (series_id, hour // {width_s // HOUR}) FROM dirty_hours
            )
        ORDER BY ALL
        """,
        {"start": span.start, "end": span.end},
    ).fetchall()
    names = dict(connection.execute(kind.label).fetchall())
    return [f"{kind.table(width_s)} {ts:%Y-%m-%d %H:%M} {names.get(key)}" for ts, key in rows]
