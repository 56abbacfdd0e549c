"""Computes cells: what the attempts of one series within 5 minutes, an hour or a day come to."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from warehouse.histogram import (
    LEVELS,
    SQL_BUCKET,
    Counts,
    Packed,
    Summary,
    pack,
    repack,
    summarise,
    tally,
)
from warehouse.objectives import ABOVE, COUNTED, COUNTS, LIMITS

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

FIVE_MINUTES, HOUR, DAY = 300, 3600, 86_400
TABLES = {FIVE_MINUTES: "attempt_cell_5m", HOUR: "attempt_cell_1h", DAY: "attempt_cell_1d"}
"""The table of cells of each width in seconds."""

CENSORED = 4_294_967_296
"""Added to a timeout's deadline (µs), so that it ranks above every measured answer, which fits 32 bits."""

UNKNOWN = 8
"""The bit of `above` that says that a cell's percentiles are not known; 1, 2 and 4 say of p50, p95 and p99
that they fall on a timeout, whose deadline they then are."""

SURELY_MAX = 100
"""Below so many durations the p99 is the longest one, and not stored a second time."""

RANK = f"""
    CASE outcome WHEN 'ok' THEN total_us::UBIGINT WHEN 'timeout' THEN {CENSORED}::UBIGINT + deadline_us END
"""
"""SQL of an attempt's rank among those of known latency, in µs; NULL for any other failure."""

LAST_OUTCOME = "epoch_ms(ts) * 32 + enum_code(outcome)"
LAST_STATUS = "epoch_ms(ts) * 2048 + coalesce(status, 0)"
"""SQL of what the last attempt is the greatest of; of two in one millisecond always the same one."""

_ANY = "TRUE"
_OF_WANTED = "(series_id, epoch_ms(ts) // 3600000) IN (SELECT (series_id, hour) FROM wanted)"


@dataclass(frozen=True)
class Cells:
    """Cells of one width, in order of time and series, how often each outcome but ok was met in them.

    `above` counts attempts against the limit of their endpoint, where it has one.
    """

    width_s: int
    rows: pa.Table
    outcomes: pa.Table
    above: pa.Table


@dataclass(frozen=True)
class Span:
    """From `start` to before `end` (UTC, naive); with `wanted` only those hours (Unix) of those series."""

    start: datetime
    end: datetime
    wanted: pa.Table | None = None


def attempt_cells(connection: DuckDBPyConnection, span: Span, width_s: int, *, packed: bool) -> Cells:
    """The cells of 5 minutes or an hour of a span that begins and ends with cells, from single attempts.

    Percentiles are exact. `packed` asks for histograms. All statements must see the same rows: the caller
    holds a transaction.
    """
    where = _ANY
    if span.wanted is not None:
        connection.register("wanted", span.wanted)
        where = _OF_WANTED
    values = {"start": span.start, "end": span.end, "width_ms": width_s * 1000}
    cell = "epoch_ms(ts) // $width_ms"
    rows = "FROM attempt WHERE ts >= $start AND ts < $end AND " + where
    cells = connection.sql(_cells_sql(cell, rows, width_s), params=values).to_arrow_table()
    outcomes = connection.sql(
        f"""
        SELECT {width_s}::INTEGER AS width_s, make_timestamp_ms({cell} * $width_ms) AS ts, series_id,
            outcome::VARCHAR AS outcome, count(*)::UINTEGER AS attempts
        {rows} AND outcome <> 'ok' GROUP BY {cell}, series_id, outcome ORDER BY 2, 3, 4
        """,
        params=values,
    ).to_arrow_table()
    above = connection.sql(
        f"""
        SELECT {width_s}::INTEGER AS width_s, make_timestamp_ms({cell} * $width_ms) AS ts, series_id,
            limit_us, {COUNTED}
        FROM attempt JOIN ({LIMITS}) USING (series_id) WHERE ts >= $start AND ts < $end AND {where}
        GROUP BY {cell}, series_id, limit_us ORDER BY 2, 3
        """,
        params=values,
    ).to_arrow_table()
    if packed:
        cells = cells.append_column("histogram", _histograms(connection, cells, cell, rows, values))
    else:
        cells = cells.append_column("histogram", pa.nulls(cells.num_rows, pa.binary()))
    return Cells(width_s, cells.drop_columns(["cell"]), outcomes, above)


def _cells_sql(cell: str, rows: str, width_s: int) -> str:
    phases = """
        count(dns_us) FILTER (outcome = 'ok')::UINTEGER AS dns_n,
        sum(dns_us) FILTER (outcome = 'ok')::UBIGINT AS dns_us,
        sum(connect_us) FILTER (outcome = 'ok')::UBIGINT AS connect_us,
        sum(tls_us) FILTER (outcome = 'ok')::UBIGINT AS tls_us,
        sum(first_byte_us) FILTER (outcome = 'ok')::UBIGINT AS first_byte_us,
    """
    percentiles = "".join(
        f"(ranks[{i}] % {CENSORED})::UINTEGER AS p{p}_us," for i, p in enumerate(LEVELS[:2], 1)
    )
    above = " + ".join(f"{1 << i} * coalesce(ranks[{i + 1}] >= {CENSORED}, FALSE)::INTEGER" for i in range(3))
    return f"""
        WITH grouped AS (
            SELECT {cell} AS cell, series_id, count(*)::UINTEGER AS attempts,
                count(*) FILTER (outcome = 'ok')::UINTEGER AS n_ok,
                count(*) FILTER (outcome = 'timeout')::UINTEGER AS timeouts,
                sum(total_us) FILTER (outcome = 'ok')::UBIGINT AS sum_us,
                min(total_us) FILTER (outcome = 'ok') AS min_us,
                max(total_us) FILTER (outcome = 'ok') AS max_us,
                quantile_disc({RANK}, [0.50, 0.95, 0.99]) AS ranks,
                {phases if width_s > FIVE_MINUTES else ""}
                max(ts) AS last_at, arg_max(outcome, {LAST_OUTCOME})::VARCHAR AS last_outcome,
                arg_max_null(status, {LAST_STATUS}) AS last_status
            {rows} GROUP BY 1, 2
        )
        SELECT cell, make_timestamp_ms(cell * $width_ms) AS ts, * EXCLUDE (cell, ranks), {percentiles}
            CASE WHEN n_ok + timeouts >= {SURELY_MAX} OR ranks[3] >= {CENSORED}
                THEN (ranks[3] % {CENSORED})::UINTEGER END AS p99_us,
            ({above})::UTINYINT AS above
        FROM grouped ORDER BY cell, series_id
    """


def _histograms(
    connection: DuckDBPyConnection, cells: pa.Table, cell: str, rows: str, values: dict[str, Any]
) -> pa.Array:
    """The packed histogram of each of the cells."""
    owners = _key(cells["cell"], cells["series_id"])

    def counted(key: str, outcome: str) -> Counts:
        found = connection.sql(
            f"SELECT {cell} AS cell, series_id, {key} AS key, count(*) AS n {rows} AND outcome = '{outcome}' "
            "GROUP BY 1, 2, 3",
            params=values,
        ).to_arrow_table()
        owner = np.searchsorted(owners, _key(found["cell"], found["series_id"]))
        return tally(owner, found["key"].to_numpy(), found["n"].to_numpy())

    buckets = counted(SQL_BUCKET.format("total_us"), "ok")
    return blobs_of(pack(len(owners), buckets, counted("deadline_us", "timeout")))


def _key(cell: pa.ChunkedArray, series: pa.ChunkedArray) -> Any:
    """A number for each pair of a cell and a series, in that order."""
    return cell.to_numpy().astype(np.int64) << 32 | series.to_numpy().astype(np.int64)


def day_cells(connection: DuckDBPyConnection, span: Span) -> Cells:
    """The cells of the days of a span, from cells of hours: all counts exact, percentiles within 1 %.

    With `wanted`, those of every day that one of its hours lies in.
    """
    where = _ANY
    if span.wanted is not None:
        connection.register("wanted", span.wanted)
        where = "(series_id, epoch_ms(ts) // 86400000) IN (SELECT (series_id, hour // 24) FROM wanted)"
    within = f"WHERE ts >= $start AND ts < $end AND {where}"
    values = {"start": span.start, "end": span.end}
    return combined(
        connection,
        DAY,
        f"SELECT * FROM attempt_cell_1h {within}",
        f"SELECT * FROM attempt_cell_outcome {within} AND width_s = {HOUR}",
        f"SELECT * FROM {ABOVE} {within} AND width_s = {HOUR}",
        values,
    )


def combined(
    connection: DuckDBPyConnection,
    width_s: int,
    cells_sql: str,
    outcomes_sql: str,
    above_sql: str,
    values: dict[str, Any],
) -> Cells:
    """Cells of a width from narrower ones, or from several of the same width and series.

    What stems from a single one is as it was. Percentiles of the others are those of the merged
    histograms; where one of those is missing they are not known. Counts against a limit are there only where
    all parts were counted with the same one.
    """
    cell = f"epoch_ms(ts) // {width_s * 1000}"
    start = f"make_timestamp_ms({cell} * {width_s * 1000})"
    phases = width_s > FIVE_MINUTES
    counts = ("attempts", "n_ok", "timeouts", *(("dns_n",) if phases else ()))
    of_us = ("sum_us", *(("dns_us", "connect_us", "tls_us", "first_byte_us") if phases else ()))
    cells = connection.sql(
        f"""
        SELECT {cell} AS cell, {start} AS ts, series_id,
            {", ".join(f"sum({name})::UINTEGER AS {name}" for name in counts)},
            {", ".join(f"sum({name})::UBIGINT AS {name}" for name in of_us)},
            min(min_us) AS min_us, max(max_us) AS max_us, max(last_at) AS last_at,
            arg_max(last_outcome, last_at)::VARCHAR AS last_outcome,
            arg_max_null(last_status, last_at) AS last_status,
            count(*) AS parts, count(histogram) AS packed, any_value(p50_us) AS old_p50_us,
            any_value(p95_us) AS old_p95_us, any_value(p99_us) AS old_p99_us, any_value(above) AS old_above
        FROM ({cells_sql}) GROUP BY ALL ORDER BY 1, 3
        """,
        params=values,
    ).to_arrow_table()
    parts = connection.sql(
        f"SELECT {cell} AS cell, series_id, histogram FROM ({cells_sql}) WHERE histogram IS NOT NULL",
        params=values,
    ).to_arrow_table()
    owners = np.searchsorted(_key(cells["cell"], cells["series_id"]), _key(parts["cell"], parts["series_id"]))
    packed = packed_of(parts["histogram"])
    cells = with_percentiles(cells, summarise(packed, owners, cells.num_rows))
    cells = cells.append_column("histogram", blobs_of(repack(packed, owners, cells.num_rows)))
    outcomes = connection.sql(
        f"""
        SELECT {width_s}::INTEGER AS width_s, {start} AS ts, series_id, outcome::VARCHAR AS outcome,
            sum(attempts)::UINTEGER AS attempts
        FROM ({outcomes_sql}) GROUP BY ALL ORDER BY 2, 3, 4
        """,
        params=values,
    ).to_arrow_table()
    above = connection.sql(
        f"""
        WITH parts AS (SELECT {cell} AS cell, series_id, count(*) AS n FROM ({cells_sql}) GROUP BY ALL),
        told AS (
            SELECT {cell} AS cell, series_id, any_value(limit_us) AS limit_us,
                count(DISTINCT limit_us) AS limits, count(*) AS n,
                {", ".join(f"sum({name})::UINTEGER AS {name}" for name in COUNTS)}
            FROM ({above_sql}) GROUP BY 1, 2
        )
        SELECT {width_s}::INTEGER AS width_s, make_timestamp_ms(cell * {width_s * 1000}) AS ts, series_id,
            limit_us, n_within, n_above, n_unknown
        FROM told JOIN parts USING (cell, series_id, n) WHERE limits = 1 ORDER BY 2, 3
        """,
        params=values,
    ).to_arrow_table()
    return Cells(width_s, _settled(cells), outcomes, above)


def _settled(cells: pa.Table) -> pa.Table:
    """The cells with their percentiles of old where of one part, and none where a histogram is missing."""
    whole = pc.equal(cells["parts"], cells["packed"])
    single = pc.equal(cells["parts"], 1)
    columns = {name: cells[name] for name in cells.column_names if not name.startswith("old_")}
    for percent in LEVELS:
        name = f"p{percent}_us"
        merged = pc.if_else(whole, cells[name], pa.scalar(None, pa.uint32()))
        columns[name] = pc.if_else(single, cells[f"old_{name}"], merged)
    merged = pc.if_else(whole, cells["above"], pa.scalar(UNKNOWN, pa.uint8()))
    columns["above"] = pc.if_else(single, cells["old_above"], merged)
    columns["histogram"] = pc.if_else(whole, cells["histogram"], pa.scalar(None, pa.binary()))
    return pa.table(columns).drop_columns(["cell", "parts", "packed"])


def with_percentiles(cells: pa.Table, summary: Summary) -> pa.Table:
    """The cells with their percentiles, none of them outside of what was measured."""
    n_ok, timeouts, low, high = (
        np.nan_to_num(cells[name].to_numpy()) for name in ("n_ok", "timeouts", "min_us", "max_us")
    )
    us = np.where(summary.above, summary.us, np.clip(summary.us, low, high))
    above = sum(
        (summary.above[row].astype(np.uint8) << row for row in range(3)), np.zeros(len(low), np.uint8)
    )
    for row, percent in enumerate(LEVELS):
        none = np.isnan(us[row])
        if percent == LEVELS[-1]:
            none |= (n_ok + timeouts < SURELY_MAX) & ~summary.above[row]
        column = pa.array(np.nan_to_num(us[row]).round().astype(np.uint32), mask=none)
        cells = cells.append_column(f"p{percent}_us", column)
    return cells.append_column("above", pa.array(above))


def blobs_of(packed: Packed) -> pa.Array:
    """Packed histograms as a column."""
    buffers = [None, pa.py_buffer(packed.offsets.astype(np.int32)), pa.py_buffer(packed.data)]
    return pa.Array.from_buffers(pa.binary(), len(packed), buffers)


def packed_of(column: pa.ChunkedArray) -> Packed:
    """A column of packed histograms, none of them NULL."""
    whole = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    if isinstance(whole, pa.ChunkedArray):
        whole = pa.concat_arrays(whole.chunks)
    if len(whole) == 0:
        return Packed(np.zeros(0, np.uint8), np.zeros(1, np.int64))
    _, offsets, data = whole.buffers()
    places = np.frombuffer(offsets, np.int32)[whole.offset : whole.offset + len(whole) + 1].astype(np.int64)
    return Packed(np.frombuffer(data, np.uint8)[: places[-1]], places)
