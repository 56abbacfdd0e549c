"""Makes cells that add up, and puts them in the place of others. Within whatever transaction is open."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

import pyarrow as pa

from warehouse import tiers
from warehouse.cells import DAY, HOUR, Span
from warehouse.sum_cells import Summed
from warehouse.tiers import floor, following

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

WITHIN = "ts >= $start AND ts < $end"


def of_wanted(kind: Summed) -> str:
    """SQL for rows or cells of the wanted hours; the list calls every key `series_id`."""
    return f"{WITHIN} AND ({kind.key}, epoch_ms(ts) // 3600000) IN (SELECT (series_id, hour) FROM wanted)"


def hours_of(connection: DuckDBPyConnection, kind: Summed, span: Span) -> pa.Table:
    """Cells of the hours of a span, or only of those wanted, from single rows."""
    where = WITHIN
    if span.wanted is not None:
        connection.register("wanted", span.wanted)
        where = of_wanted(kind)
    return told(connection, kind.grouped(kind.of_rows, f"{kind.name} WHERE {where}", HOUR), span)


def day_of(
    connection: DuckDBPyConnection, kind: Summed, day: datetime, wanted: pa.Table | None = None
) -> pa.Table:
    """The cells of a day from those of its hours, of all keys or of those in `wanted`."""
    which = ""
    if wanted is not None:
        connection.register("wanted", wanted)
        which = f" AND {kind.key} IN (SELECT series_id FROM wanted)"
    rows = f"{kind.table(HOUR)} WHERE {WITHIN}{which}"
    return told(connection, kind.grouped(kind.of_cells, rows, DAY), Span(day, following(day, DAY)))


def told(connection: DuckDBPyConnection, sql: str, span: Span) -> pa.Table:
    return connection.sql(sql, params={"start": span.start, "end": span.end}).to_arrow_table()


def insert(connection: DuckDBPyConnection, kind: Summed, width_s: int, fresh: pa.Table) -> None:
    connection.register("fresh", fresh)
    connection.execute(f"INSERT INTO {kind.table(width_s)} BY NAME SELECT * FROM fresh")
    connection.unregister("fresh")


def replace_hours(connection: DuckDBPyConnection, kind: Summed, fresh: pa.Table, span: Span) -> None:
    """Put cells in the place of those of the span's wanted hours."""
    connection.register("wanted", span.wanted)
    connection.execute(
        f"DELETE FROM {kind.table(HOUR)} WHERE {of_wanted(kind)}", {"start": span.start, "end": span.end}
    )
    insert(connection, kind, HOUR, fresh)


def replace_day(connection: DuckDBPyConnection, kind: Summed, fresh: pa.Table, span: Span) -> None:
    """Put cells in the place of those of the span's day, of the wanted keys or of all, if it is sealed."""
    day = floor(span.start, DAY)
    sealed = tiers.read(connection, kind.days).sealed_until
    if sealed is None or day >= sealed:
        return
    which = ""
    if span.wanted is not None:
        connection.register("wanted", span.wanted)
        which = f" AND {kind.key} IN (SELECT series_id FROM wanted)"
    connection.execute(f"DELETE FROM {kind.table(DAY)} WHERE ts = ?{which}", [day])
    insert(connection, kind, DAY, fresh)
