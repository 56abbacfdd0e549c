"""Computes the cells of a load test: what its requests of one endpoint come to, second by second.

Seconds count from the load's start. A second in which planned users begin or cease to stand still, or in
which the load ends, has a cell for each part of it, so that steady phases are counted exactly.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from warehouse.cells import blobs_of, packed_of
from warehouse.histogram import SQL_BUCKET, estimate, pack, repack, tally

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

SLICE_S = 1800
"""So many seconds of a run are computed at once, so that memory stays bounded."""

KEY = ("second", "endpoint", "part", "plateau", "is_late")
"""What tells the cells of one run apart."""

SUMS = ("requests", "n_ok", "timeouts", "bytes", "sum_us", "service_sum_us")
LEAST, MOST = ("min_us", "service_min_us"), ("max_us", "service_max_us", "waited_max_us")
LONGEST_US = 2**32 - 1
"""What a histogram can hold of a timeout; one that was waited for longer is told as this: it is above."""

PLATEAUS = """
    SELECT run_no, from_s, to_s, users,
        row_number() OVER (PARTITION BY run_no ORDER BY from_s, to_s)::USMALLINT AS plateau
    FROM run_plateau
"""
"""SQL for where planned users stood still, numbered from 1 as `run_cell.plateau` names them; 0 is nowhere."""

_PLACED = f"""
    SELECT greatest(least(floor(at_s), 100000000), -100000000)::INTEGER AS second, endpoint, part,
        coalesce(plateau, 0)::USMALLINT AS plateau, is_late, outcome, bytes, wait_us, service_us,
        wait_us::UBIGINT + service_us AS corrected_us
    FROM (
        SELECT *, (epoch_us(ts) - epoch_us($began_at::TIMESTAMP)) / 1e6 AS at_s,
            coalesce(ts >= $ended_at::TIMESTAMP, FALSE) AS is_late
        FROM load_request WHERE run_no = $run_no
    ) LEFT JOIN ({PLATEAUS}) AS still ON still.run_no = $run_no AND at_s >= from_s AND at_s < to_s
    WHERE at_s >= $from_s AND at_s < $to_s
"""

_NUMBER = """
    (((second::BIGINT + 100000000) * 65536 + endpoint) * 4 + part) * 131072 + plateau * 2 + is_late::INTEGER
"""
"""SQL of a number for each cell of a run, in the order of KEY."""


@dataclass(frozen=True)
class RunCells:
    """The cells of a run in order of KEY, how often each outcome but ok was met, and of how many requests."""

    rows: pa.Table
    outcomes: pa.Table
    requests: int


def run_cells(
    connection: DuckDBPyConnection, run_no: int, began_at: datetime, ended_at: datetime | None
) -> RunCells:
    """The cells of a run from its single requests (UTC, naive). The caller holds a transaction."""
    values = {"run_no": run_no, "began_at": began_at, "ended_at": ended_at}
    slices = connection.execute(
        f"""
        SELECT floor((epoch_us(ts) - epoch_us($began_at::TIMESTAMP)) / {SLICE_S}e6)::BIGINT AS slice, count(*)
        FROM load_request WHERE run_no = $run_no GROUP BY 1 ORDER BY 1
        """,
        {"run_no": run_no, "began_at": began_at},
    ).fetchall()
    parts = [
        _slice(connection, {**values, "from_s": place * SLICE_S, "to_s": (place + 1) * SLICE_S})
        for place, _ in slices or [(0, 0)]
    ]
    rows, outcomes = (pa.concat_tables([part[side] for part in parts]) for side in (0, 1))
    return RunCells(rows, outcomes, sum(count for _, count in slices))


def _slice(connection: DuckDBPyConnection, values: dict[str, Any]) -> tuple[pa.Table, pa.Table]:
    """The cells of some seconds, and the outcomes in them."""
    cells = connection.sql(
        f"""
        SELECT {_NUMBER} AS number, second, endpoint, part, plateau, is_late,
            count(*)::UINTEGER AS requests, count(*) FILTER (outcome = 'ok')::UINTEGER AS n_ok,
            count(*) FILTER (outcome = 'timeout')::UINTEGER AS timeouts, sum(bytes)::UBIGINT AS bytes,
            sum(corrected_us) FILTER (outcome = 'ok')::UBIGINT AS sum_us,
            min(corrected_us) FILTER (outcome = 'ok') AS min_us,
            max(corrected_us) FILTER (outcome = 'ok') AS max_us,
            sum(service_us) FILTER (outcome = 'ok')::UBIGINT AS service_sum_us,
            min(service_us) FILTER (outcome = 'ok') AS service_min_us,
            max(service_us) FILTER (outcome = 'ok') AS service_max_us,
            max(corrected_us) FILTER (outcome = 'timeout') AS waited_max_us, max(wait_us) > 0 AS has_waits
        FROM ({_PLACED}) GROUP BY ALL ORDER BY number
        """,
        params=values,
    ).to_arrow_table()
    waits = cells["has_waits"].to_numpy()
    cells = cells.append_column("corrected", _histograms(connection, cells, "corrected_us", values))
    service = pa.nulls(cells.num_rows, pa.binary())
    if waits.any():
        service = pc.if_else(
            cells["has_waits"], _histograms(connection, cells, "service_us", values), service
        )
    cells = cells.append_column("service", service)
    outcomes = connection.sql(
        f"""
        SELECT second, endpoint, part, outcome::VARCHAR AS outcome, count(*)::UINTEGER AS requests
        FROM ({_PLACED}) WHERE outcome <> 'ok' GROUP BY ALL ORDER BY ALL
        """,
        params=values,
    ).to_arrow_table()
    return cells.drop_columns(["number", "has_waits"]), outcomes


def _histograms(
    connection: DuckDBPyConnection, cells: pa.Table, column: str, values: dict[str, Any]
) -> pa.Array:
    """The packed histogram of one of the two times of each of the cells.

    How long a timeout was waited for is rounded to its bucket, or each of them would be an entry.
    """
    numbers = cells["number"].to_numpy()
    found = connection.sql(
        f"""
        SELECT {_NUMBER} AS number, outcome = 'timeout' AS is_late_answer,
            {SQL_BUCKET.format(column)} AS bucket, count(*) AS n
        FROM ({_PLACED}) WHERE outcome IN ('ok', 'timeout') GROUP BY ALL
        """,
        params=values,
    ).to_arrow_table()
    owner = np.searchsorted(numbers, found["number"].to_numpy())
    late = found["is_late_answer"].to_numpy()
    bucket, n = found["bucket"].to_numpy().astype(np.int64), found["n"].to_numpy()
    waited = np.minimum(np.round(estimate(bucket)), LONGEST_US).astype(np.int64)
    return blobs_of(
        pack(
            len(numbers),
            tally(owner[~late], bucket[~late], n[~late]),
            tally(owner[late], waited[late], n[late]),
        )
    )


def folded(connection: DuckDBPyConnection, stored: pa.Table, late: pa.Table) -> pa.Table:
    """Cells of the same keys added up: counts, sums and extremes exactly, histograms merged."""
    both = pa.concat_tables([stored.select(late.column_names).cast(late.schema), late])
    connection.register("run_cells_both", both)
    kept = [f"sum({name}) AS {name}" for name in SUMS]
    kept += [f"min({name}) AS {name}" for name in LEAST] + [f"max({name}) AS {name}" for name in MOST]
    sums = connection.sql(
        f"SELECT {_NUMBER} AS number, {', '.join(KEY)}, {', '.join(kept)}, count(service) > 0 AS has_waits "
        "FROM run_cells_both GROUP BY ALL ORDER BY number"
    ).to_arrow_table()
    blobs = connection.sql(
        f"SELECT {_NUMBER} AS number, corrected, coalesce(service, corrected) AS service FROM run_cells_both"
    ).to_arrow_table()
    connection.unregister("run_cells_both")
    owner = np.searchsorted(sums["number"].to_numpy(), blobs["number"].to_numpy())
    corrected, service = (
        blobs_of(repack(packed_of(blobs[name]), owner, sums.num_rows)) for name in ("corrected", "service")
    )
    sums = sums.append_column("corrected", corrected)
    sums = sums.append_column(
        "service", pc.if_else(sums["has_waits"], service, pa.nulls(sums.num_rows, pa.binary()))
    )
    return sums.select(late.column_names)
