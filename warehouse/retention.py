"""Deletes what is older than the configuration keeps, a day at a time."""

from __future__ import annotations

import logging
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from warehouse import baseline_rows, run_tiers, tiers
from warehouse.cells import DAY, FIVE_MINUTES, HOUR, TABLES
from warehouse.objectives import ABOVE
from warehouse.placing import OUTCOMES
from warehouse.sum_cells import KINDS, QUERIES
from warehouse.tiers import ATTEMPT, FINE_DAYS, floor
from warehouse.transaction import transaction

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

log = logging.getLogger(__name__)

EXTRA_BATCH_DAYS = 7
"""How much longer a `batch_id` is remembered than its rows, so that a late retry is still known."""

CELL_DAYS, FINE_CELL_DAYS = 400, 100
"""For how long cells of an hour, and of 5 minutes, are kept unless the configuration says otherwise."""

_AGED = (
    ("gap", "until_ts", 0),
    ("event", "ts", 0),
    ("query_latency", "ts", 0),
    ("lock_wait", "ts", 0),
    ("database_state", "ts", 0),
)
RAW_OF_RUN = ("load_request", "load_error")
_BATCHES = ("batch", "received_at", EXTRA_BATCH_DAYS)


_SPARED = {
    "event": "(source, job, ts) NOT IN (SELECT (source, job, max(ts)) FROM event GROUP BY source, job)",
    "database_state": "(source, target, part, ts) NOT IN (SELECT (source, target, part, max(ts)) "
    "FROM database_state GROUP BY source, target, part)",
}
"""The newest of these rows are the present state: they stay."""


def expire(
    connection: DuckDBPyConnection,
    at: datetime,
    raw_days: int,
    cell_days: int = CELL_DAYS,
    fine_cell_days: int = FINE_CELL_DAYS,
) -> dict[str, int]:
    """Delete rows older than `raw_days` before `at` (UTC, naive); returns how many per table.

    Attempts, samples and statistics of queries go only where cells hold them; cells of hours, and those of
    days of queries, after `cell_days`, those of 5 minutes after `fine_cell_days`, others of days never. The
    newest event of each job and state of each database stay: they are the present state. A query's shape goes
    with the last of its cells. Of load tests only the single requests go, and only where cells hold them;
    those of baselines stay, as do the attempts of baselines' periods, in a table of their own. Each day of
    each table, and each run, is a transaction of its own, so that batches wait for none of them long.
    """
    limit = at - timedelta(days=raw_days)
    deleted = {
        name: _expire_celled(connection, name, tiers.celled_until(connection, name, limit))
        for name in (ATTEMPT, *(kind.name for kind in KINDS))
    }
    deleted |= _expire_cells(connection, at, cell_days, fine_cell_days)
    for table, column, extra_days in (*_AGED, _BATCHES):
        limit = at - timedelta(days=raw_days + extra_days)
        if table == "query_latency":
            limit = min(limit, *_raw_from_of_all(connection, limit))
        deleted[table] = _expire_table(connection, table, column, limit)
    deleted |= _expire_runs(connection, at, at - timedelta(days=raw_days))
    if deleted[QUERIES.name] or deleted[QUERIES.table(DAY)]:
        deleted["query_shape"] = _expire_shapes(connection, at - timedelta(days=raw_days))
    if any(deleted.values()):
        log.info("retention deleted %s", ", ".join(f"{n} {table}s" for table, n in deleted.items() if n))
    return deleted


def _expire_celled(connection: DuckDBPyConnection, table: str, until: datetime | None) -> int:
    """Delete rows that cells hold, and tell from when on they are all there."""
    oldest = connection.execute(f"SELECT min(ts) FROM {table}").fetchall()[0][0]
    count = 0
    while until is not None and oldest is not None and oldest < until:
        oldest = min(floor(oldest, HOUR) + timedelta(days=1), until)
        with transaction(connection):
            if table == ATTEMPT:
                baseline_rows.keep(connection, "ts < ?", [oldest])
            rows = connection.execute(f"DELETE FROM {table} WHERE ts < ?", [oldest]).fetchall()
            tiers.move(connection, table, raw_from=oldest)
        count += int(rows[0][0])
    return count


def tell_cells(
    connection: DuckDBPyConnection,
    at: datetime,
    cell_days: int = CELL_DAYS,
    fine_cell_days: int = FINE_CELL_DAYS,
) -> None:
    """Tell since when which cells and histograms are kept; older ones are not made any more either."""
    fine_cell_days = min(fine_cell_days, cell_days)
    for name, days in (
        (tiers.CELLS, cell_days),
        *((kind.cells, cell_days) for kind in KINDS),
        (tiers.FINE, FINE_DAYS),
        (tiers.FINE_CELLS, fine_cell_days),
    ):
        limit = floor(at - timedelta(days=days), DAY)
        _tell_from(connection, name, min(limit, _single_rows_from(connection, OF_CELLS.get(name)) or limit))


def _raw_from_of_all(connection: DuckDBPyConnection, otherwise: datetime) -> list[datetime]:
    """Since when there are single statistics and samples: what looks saw is held against them."""
    found = []
    for kind in KINDS:
        oldest = connection.execute(f"SELECT min(ts) FROM {kind.name}").fetchall()[0][0]
        found.append(tiers.read(connection, kind.name).raw_from or oldest or otherwise)
    return found


OF_CELLS = {tiers.CELLS: ATTEMPT, **{kind.cells: kind.name for kind in KINDS}}
"""The table whose single rows the cells of hours stand for, by the name of their tier.

A day is made of its hours, also where a row of it comes late: they stay as long as single rows of it do.
"""


def _single_rows_from(connection: DuckDBPyConnection, table: str | None) -> datetime | None:
    """The first day of which single rows are kept, if there are any."""
    if table is None:
        return None
    oldest = connection.execute(f"SELECT min(ts) FROM {table}").fetchall()[0][0]
    return None if oldest is None else floor(oldest, DAY)


def _expire_cells(
    connection: DuckDBPyConnection, at: datetime, cell_days: int, fine_cell_days: int
) -> dict[str, int]:
    """Delete old cells of 5 minutes and of hours, and the histograms of 5 minutes before that."""
    tell_cells(connection, at, cell_days, fine_cell_days)
    fine = floor(at - timedelta(days=FINE_DAYS), DAY)
    deleted = {}
    for width_s, days in ((FIVE_MINUTES, min(fine_cell_days, cell_days)), (HOUR, cell_days)):
        limit = floor(at - timedelta(days=days), DAY)
        if width_s == HOUR:
            limit = min(limit, tiers.read(connection, tiers.CELLS).raw_from or limit)
        for table in (OUTCOMES, ABOVE):
            connection.execute(f"DELETE FROM {table} WHERE ts < ? AND width_s = ?", [limit, width_s])
        deleted[TABLES[width_s]] = _expire_table(connection, TABLES[width_s], "ts", limit)
    for kind in KINDS:
        limit = tiers.read(connection, kind.cells).raw_from or floor(at - timedelta(days=cell_days), DAY)
        for table in (kind.table(width_s) for width_s in ((HOUR,) if kind.keeps_days else (HOUR, DAY))):
            deleted[table] = _expire_table(connection, table, "ts", limit)
    connection.execute(
        "UPDATE attempt_cell_5m SET histogram = NULL WHERE ts < ? AND histogram IS NOT NULL",
        [fine - timedelta(days=2)],
    )
    return deleted


def _tell_from(connection: DuckDBPyConnection, name: str, limit: datetime) -> None:
    """Tell since when something is kept, where that is later than it was."""
    known = tiers.read(connection, name).raw_from
    if known is None or known < limit:
        with transaction(connection):
            tiers.move(connection, name, raw_from=limit)


def _expire_table(connection: DuckDBPyConnection, table: str, column: str, limit: datetime) -> int:
    oldest = connection.execute(f"SELECT min({column}) FROM {table}").fetchall()[0][0]
    spared = f"AND {_SPARED[table]}" if table in _SPARED else ""
    count = 0
    while oldest is not None and oldest < limit:
        oldest = min(oldest + timedelta(days=1), limit)
        rows = connection.execute(
            f"DELETE FROM {table} WHERE {column} < ? {spared}",
            [oldest],
        ).fetchall()
        count += int(rows[0][0])
    return count


def _expire_shapes(connection: DuckDBPyConnection, limit: datetime) -> int:
    """Delete the shapes whose last cells are gone; those of which only cells are left count against no limit.

    So their source may have new ones.
    """
    connection.execute(
        "UPDATE query_shape SET is_old = NOT is_old WHERE first_seen_at < $limit "
        "AND is_old = (shape_id IN (SELECT shape_id FROM query_stat))",
        {"limit": limit},
    )
    rows = connection.execute(
        f"DELETE FROM query_shape WHERE first_seen_at < ? AND is_old "
        f"AND shape_id NOT IN (SELECT shape_id FROM {QUERIES.table(DAY)})",
        [limit],
    ).fetchall()
    return int(rows[0][0])


def _expire_runs(connection: DuckDBPyConnection, at: datetime, limit: datetime) -> dict[str, int]:
    """Delete the single requests of runs that are old, no baselines, and in cells."""
    deleted = dict.fromkeys(RAW_OF_RUN, 0)
    for run_no in run_tiers.deletable(connection, limit):
        with transaction(connection):
            for table in RAW_OF_RUN:
                rows = connection.execute(f"DELETE FROM {table} WHERE run_no = ?", [run_no]).fetchall()
                deleted[table] += int(rows[0][0])
            connection.execute("UPDATE run SET raw_deleted_at = ? WHERE run_no = ?", [at, run_no])
    return deleted
