"""Puts cells in place: new ones, those of dirty hours, late rows of hours whose raw rows are deleted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from warehouse import baseline_rows, tiers
from warehouse.cells import DAY, FIVE_MINUTES, HOUR, TABLES, Cells, Span, attempt_cells, combined, day_cells
from warehouse.objectives import ABOVE
from warehouse.tiers import ATTEMPT, floor, following, of_unix
from warehouse.transaction import transaction

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

OUTCOMES = "attempt_cell_outcome"

DAYS = f"{ATTEMPT}_1d"
"""The tier of the cells of days."""

_OF_HOURS = "(series_id, epoch_ms(ts) // 3600000) IN (SELECT (series_id, hour) FROM wanted)"
_OF_SERIES = "series_id IN (SELECT series_id FROM wanted)"


def fold(connection: DuckDBPyConnection, day: int) -> int:
    """Add late rows of hours whose raw rows are deleted to their cells, and delete them; hours of series.

    All on the writer's connection: there are few of them, and none may come in between. The hours of the
    day that still have raw rows stay dirty.
    """
    tier = tiers.read(connection, ATTEMPT)
    start = of_unix(day * DAY)
    if tier.raw_from is None or tier.raw_from <= start:
        return 0
    found = tiers.dirty(connection, ATTEMPT, min(tier.raw_from, following(start, DAY)))
    wanted = found.of_day(day)
    span = Span(start, min(tier.raw_from, following(start, DAY)), wanted)
    kept_from = tiers.read(connection, tiers.CELLS).raw_from
    has_hours = kept_from is None or start >= kept_from
    with transaction(connection):
        if has_hours:
            for width_s in (FIVE_MINUTES, HOUR) if tiers.has_fine_cells(connection, start) else (HOUR,):
                replace(connection, _with_late(connection, span, width_s, _OF_HOURS), span)
        if start < (tiers.read(connection, DAYS).sealed_until or start):
            if has_hours:
                replace_day(connection, span)
            else:
                put_day(connection, _with_late(connection, span, DAY, _OF_SERIES), span)
        folded = f"ts >= ? AND ts < ? AND {_OF_HOURS}"
        connection.execute(
            f"INSERT INTO attempt_late SELECT * FROM attempt WHERE {folded} "
            "AND ts::DATE IN (SELECT day FROM cold_day)",
            [span.start, span.end],
        )
        baseline_rows.keep(connection, folded, [span.start, span.end])
        connection.execute(f"DELETE FROM attempt WHERE {folded}", [span.start, span.end])
        tiers.forget(connection, ATTEMPT, found, wanted)
    return int(wanted.num_rows)


def _with_late(connection: DuckDBPyConnection, span: Span, width_s: int, where: str) -> Cells:
    """The cells of a span of so many that `where` says, and the span's attempts with them."""
    late = attempt_cells(connection, span, min(width_s, HOUR), packed=True)
    connection.register("late_cells", late.rows)
    connection.register("late_outcomes", late.outcomes)
    connection.register("late_above", late.above)
    with_late = (
        "SELECT * FROM {} WHERE ts >= $start AND ts < $end AND " + where + " {} UNION ALL BY NAME FROM {}"
    )
    return combined(
        connection,
        width_s,
        with_late.format(TABLES[width_s], "", "late_cells"),
        with_late.format(OUTCOMES, f"AND width_s = {width_s}", "late_outcomes"),
        with_late.format(ABOVE, f"AND width_s = {width_s}", "late_above"),
        {"start": span.start, "end": span.end},
    )


def insert(connection: DuckDBPyConnection, cells: Cells) -> None:
    """Put cells in place, in a transaction of the caller's."""
    tables = {TABLES[cells.width_s]: cells.rows, OUTCOMES: cells.outcomes, ABOVE: cells.above}
    for table, rows in tables.items():
        if rows.num_rows:
            connection.register("fresh", rows)
            connection.execute(f"INSERT INTO {table} BY NAME SELECT * FROM fresh")
            connection.unregister("fresh")


def replace(connection: DuckDBPyConnection, cells: Cells, span: Span) -> None:
    """Put cells in the place of those of the span's hours."""
    connection.register("wanted", span.wanted)
    for table in (TABLES[cells.width_s], OUTCOMES, ABOVE):
        which = "" if table == TABLES[cells.width_s] else f"AND width_s = {cells.width_s}"
        connection.execute(
            f"DELETE FROM {table} WHERE ts >= ? AND ts < ? {which} AND {_OF_HOURS}",
            [span.start, span.end],
        )
    insert(connection, cells)


def replace_day(connection: DuckDBPyConnection, span: Span) -> None:
    """Compute the cells of a day again for the series of its dirty hours, from cells of hours."""
    day = Span(floor(span.start, DAY), following(floor(span.start, DAY), DAY), span.wanted)
    put_day(connection, day_cells(connection, day), span)


def put_day(connection: DuckDBPyConnection, cells: Cells, span: Span) -> None:
    """Put the cells of a day in the place of those of the span's series, or of all where it names none."""
    of_series = ""
    if span.wanted is not None:
        connection.register("wanted", span.wanted)
        of_series = f"AND {_OF_SERIES}"
    for table in (TABLES[DAY], OUTCOMES, ABOVE):
        which = "" if table == TABLES[DAY] else f"AND width_s = {DAY}"
        connection.execute(
            f"DELETE FROM {table} WHERE ts = ? {which} {of_series}",
            [floor(span.start, DAY)],
        )
    insert(connection, cells)
