"""Computes every cell anew where what it stands for is kept; tells which differ, and replaces them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from warehouse import run_tiers, sum_proof, tiers
from warehouse.cells import DAY, FIVE_MINUTES, HOUR, TABLES, Cells, Span, day_cells
from warehouse.objectives import ABOVE
from warehouse.placing import DAYS, OUTCOMES, put_day, replace
from warehouse.rollups import Hands, fine_and_hours, renew
from warehouse.sum_cells import KINDS
from warehouse.tiers import ATTEMPT, floor, following
from warehouse.transaction import transaction

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

Step = dict[str, Any]
"""`day`, `sample` or `query_stat` (of a day) or `run` with how many cells were compared and which differ, or
`end` with the sums.
"""

MOST_TOLD = 5
"""Differences that are told of each day."""


def rebuild(hands: Hands, at: datetime) -> Iterator[Step]:
    """Go through all sealed days whose single rows are kept, and all runs whose requests are.

    Nothing else may change cells meanwhile.
    What is dirty is renewed first, so that every difference is a fault. Raises StorageError.
    """
    renew(hands, at)
    with hands.reading() as connection:
        tier = tiers.read(connection, ATTEMPT)
        oldest = connection.execute("SELECT min(ts) FROM attempt").fetchall()[0][0]
    compared = different = 0
    if oldest is not None and tier.sealed_until is not None:
        start = max(floor(oldest, HOUR), tier.raw_from or floor(oldest, HOUR))
        while start < tier.sealed_until and not hands.stopped():
            end = min(following(start, DAY), tier.sealed_until)
            step = _rebuild_day(hands, Span(start, end), at)
            compared, different = compared + step["cells"], different + step["differences"]
            yield step
            start = end
    for kind in KINDS:
        for day, cells, told in sum_proof.proved(hands, kind):
            compared, different = compared + cells, different + len(told)
            yield _step(kind.name, {"day": f"{day:%Y-%m-%d}"}, cells, told)
    run_tiers.keep_up(hands, at)
    for run_id, cells, told in run_tiers.proved(hands):
        compared, different = compared + cells, different + len(told)
        yield _step("run", {"run": run_id}, cells, told)
    yield {"part": "end", "cells": compared, "differences": different}


def _rebuild_day(hands: Hands, span: Span, at: datetime) -> Step:
    """Compare the cells of 5 minutes and hours with the attempts, then the day's with those of hours.

    Nothing is said of what was deleted by age meanwhile.
    """
    with hands.reading() as connection:
        if (tiers.read(connection, ATTEMPT).raw_from or span.start) > span.start:
            return _day_step(span, [], [])
        fresh = fine_and_hours(connection, span, at)
        noted = tiers.dirty(connection, ATTEMPT, span.end, span.start)
        told = [each for cells in fresh for each in _differences(connection, cells, span, noted.wanted)]
        wanted = _hours_of(connection, fresh, span) if told else None
    if told:

        def put(writing: DuckDBPyConnection) -> None:
            with transaction(writing):
                for cells in fresh:
                    replace(writing, cells, Span(span.start, span.end, wanted))

        hands.write(put)
    day = Span(floor(span.start, DAY), following(floor(span.start, DAY), DAY))
    with hands.reading() as connection:
        sealed = tiers.read(connection, DAYS).sealed_until
        if sealed is None or day.start >= sealed:
            return _day_step(span, fresh, told)
        whole = day_cells(connection, day)
        noted = tiers.dirty(connection, ATTEMPT, day.end, day.start)
        differing = _differences(connection, whole, day, noted.wanted)
    if differing:

        def put_whole(writing: DuckDBPyConnection) -> None:
            with transaction(writing):
                put_day(writing, whole, day)

        hands.write(put_whole)
    return _day_step(span, [*fresh, whole], told + differing)


def _day_step(span: Span, cells: list[Cells], told: list[str]) -> Step:
    return _step("day", {"day": f"{span.start:%Y-%m-%d}"}, sum(each.rows.num_rows for each in cells), told)


def _step(part: str, of: Step, cells: int, told: list[str]) -> Step:
    return {"part": part, **of, "cells": cells, "differences": len(told), "first": told[:MOST_TOLD]}


def _differences(connection: DuckDBPyConnection, cells: Cells, span: Span, dirty: pa.Table) -> list[str]:
    """Which stored cells of the span are not the fresh ones, in words; those noted meanwhile are none."""
    connection.register("dirty_hours", dirty)
    return [
        *_differing(connection, TABLES[cells.width_s], cells.rows, cells.width_s, span),
        *_differing(connection, OUTCOMES, cells.outcomes, cells.width_s, span),
        *_differing(connection, ABOVE, cells.above, cells.width_s, span),
    ]


def _differing(
    connection: DuckDBPyConnection, table: str, fresh: pa.Table, width_s: int, span: Span
) -> list[str]:
    """Which rows of one table of cells of a width are not the fresh ones, in words."""
    connection.register("fresh", fresh)
    names = [name for name in fresh.column_names if name != "histogram"]
    columns = ", ".join(f"{name}::VARCHAR AS {name}" for name in names)
    packed = "histogram" in fresh.column_names and width_s != FIVE_MINUTES
    histogram = ", md5(histogram) AS histogram" if packed else ""
    which = f"AND width_s = {width_s}" if table in (OUTCOMES, ABOVE) else ""
    end, unit_s = floor(span.end, width_s), max(width_s, HOUR)
    rows = connection.execute(
        f"""
        WITH stored AS (
            SELECT {columns}{histogram} FROM {table} WHERE ts >= $start AND ts < $end {which}
        ),
        made AS (SELECT {columns}{histogram} FROM fresh),
        differing AS (
            (FROM stored EXCEPT ALL FROM made) UNION ALL (FROM made EXCEPT ALL FROM stored)
        )
        SELECT DISTINCT ts::TIMESTAMP, series_id::INTEGER FROM differing
        WHERE (series_id::INTEGER, epoch_ms(ts::TIMESTAMP) // {unit_s * 1000}) NOT IN (
            SELECT (series_id, hour // {unit_s // HOUR}) FROM dirty_hours
        )
        ORDER BY ALL
        """,
        {"start": span.start, "end": end},
    ).fetchall()
    names_of = dict(connection.execute("SELECT series_id, target || ' ' || object FROM series").fetchall())
    return [f"{table} {ts:%Y-%m-%d %H:%M} {names_of.get(series)}" for ts, series in rows]


def _hours_of(connection: DuckDBPyConnection, fresh: list[Cells], span: Span) -> pa.Table:
    """All (series_id, hour) that the span has cells of, stored or fresh."""
    connection.register("fresh", fresh[0].rows.select(["ts", "series_id"]))
    return connection.sql(
        """
        SELECT DISTINCT series_id, epoch_ms(ts) // 3600000 AS hour FROM (
            SELECT ts, series_id FROM fresh
            UNION ALL SELECT ts, series_id FROM attempt_cell_5m WHERE ts >= $start AND ts < $end
            UNION ALL SELECT ts, series_id FROM attempt_cell_1h WHERE ts >= $start AND ts < $end
        )
        """,
        params={"start": span.start, "end": span.end},
    ).to_arrow_table()
