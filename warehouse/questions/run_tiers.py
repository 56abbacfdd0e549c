"""SQL and arithmetic by which questions about load tests read cells where single requests are not read."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa

from warehouse.cells import packed_of
from warehouse.histogram import ERROR_BOUND, merge
from warehouse.questions.run_parts import CENSORED
from warehouse.run_cells import PLATEAUS
from warehouse.run_tiers import FRESH

LONG_REQUESTS = 1_000_000
"""A run of so many requests is drawn over time from its cells, whether its requests are there or not."""

DELETED = "(run.raw_deleted_at IS NOT NULL AND run_tier.run_no IS NOT NULL)"
"""SQL that says of `run` joined with `run_tier` that only its cells are left."""

LONG = f"({DELETED} OR ({FRESH} AND run_tier.requests >= {LONG_REQUESTS}))"
"""As DELETED, or that there are so many requests that its cells are quicker."""

FROM_RUNS = "run LEFT JOIN run_tier ON run_tier.run_no = run.run_no"


def chosen(where: str, *, by_cells: str = DELETED, more: str = "") -> str:
    """SQL for the runs that are asked about: number, when the load began, until when it is known, its end.

    `by_cells` says whether its cells are read instead of its requests; seconds then count from where the
    cells' do.
    """
    return f"""
        SELECT run.run_no, coalesce({by_cells}, FALSE) AS by_cells,
            CASE WHEN coalesce({by_cells}, FALSE) THEN run_tier.began_at
                ELSE coalesce(started_at, requested_at) END AS began_at,
            coalesce(run.ended_at, heartbeat_at) AS until_at, run.ended_at, raw_deleted_at {more}
        FROM {FROM_RUNS} WHERE {where}
    """


CHOSEN = chosen("run_id = $run_id")
"""The one run that is asked about, by its requests where they are kept."""

CELL_COUNTS = f"""
    sum(requests)::BIGINT AS requests, sum(n_ok + timeouts)::BIGINT AS n,
    sum(requests - n_ok)::BIGINT AS failures, sum(timeouts)::BIGINT AS timeouts, sum(bytes)::BIGINT AS bytes,
    CASE WHEN sum(timeouts) > 0 THEN {CENSORED}::UBIGINT + max(waited_max_us) ELSE max(max_us) END AS longest,
    list(corrected) AS cells, min(min_us) AS cells_low_us, max(max_us) AS cells_high_us,
    list(coalesce(service, corrected)) AS service_cells, min(service_min_us) AS service_cells_low_us,
    max(service_max_us) AS service_cells_high_us
"""
"""SQL of what COUNTS tells of requests, of cells: percentiles are for `merged` to find."""

CELLS = ("cells", "cells_low_us", "cells_high_us")
SERVICE_CELLS = tuple(f"service_{name}" for name in CELLS)

TIER = f"""
    CASE WHEN by_cells THEN '1s' ELSE 'raw' END AS tier,
    CASE WHEN by_cells THEN {ERROR_BOUND} ELSE 0.0 END AS error_bound
"""
"""SQL of what was read, and how far percentiles may be off."""

__all__ = ["CELLS", "CELL_COUNTS", "CHOSEN", "LONG", "PLATEAUS", "SERVICE_CELLS", "TIER", "chosen", "merged"]


def merged(names: Mapping[str, int], then: Callable[[pa.Table], pa.Table] = lambda table: table) -> Any:
    """What finishes an answer whose rows have CELLS: fills in percentiles by the names of their columns.

    `names` tells which percentile each is, in ms; what begins with `service_` is of service time. Rows that
    stem from single requests stay as they are; columns of CELLS and SERVICE_CELLS go.
    """
    return partial(_merged, names=names, then=then)


def _merged(table: pa.Table, *, names: Mapping[str, int], then: Callable[[pa.Table], pa.Table]) -> pa.Table:
    for columns in (CELLS, SERVICE_CELLS):
        if columns[0] in table.column_names:
            wanted = {
                name: percent
                for name, percent in names.items()
                if name.startswith("service_") == (columns is SERVICE_CELLS)
            }
            table = _filled(table, columns, wanted).drop_columns(list(columns))
    return then(table)


def _filled(table: pa.Table, columns: Sequence[str], wanted: Mapping[str, int]) -> pa.Table:
    lists = table[columns[0]].combine_chunks()
    rows = np.nonzero(lists.is_valid().to_numpy(zero_copy_only=False))[0]
    if not len(rows):
        return table
    lengths = lists.value_lengths().to_numpy(zero_copy_only=False)[rows].astype(np.int64)
    blobs = lists.flatten().cast(pa.binary())
    found = merge(packed_of(blobs), np.repeat(np.arange(len(rows)), lengths), len(rows))
    low, high = (table[name].to_numpy().astype(np.float64)[rows] for name in columns[1:])
    for name, percent in wanted.items():
        us, above = found.percentile(percent)
        ms = np.where(above, us, np.fmin(np.fmax(us, low), high)) / 1000
        ms[np.isnan(us)] = np.nan
        table = _with(table, name, rows, ms, pa.float64())
        mark = name.replace("_ms", "_above")
        if mark != name and mark in table.column_names:
            table = _with(table, mark, rows, above, pa.bool_())
    return table


def _with(table: pa.Table, name: str, rows: Any, values: Any, kind: pa.DataType) -> pa.Table:
    """The table with other values of a column in some rows; NaN is none."""
    column = table[name].to_pylist()
    for row, value in zip(rows.tolist(), values.tolist(), strict=True):
        column[row] = None if value != value else value  # noqa: PLR0124 - NaN
    return table.set_column(table.column_names.index(name), name, pa.array(column, kind))
