"""Keeps the cells of load tests: made when a run is complete, again when rows come late, added to for ever.

While a run's requests are there its cells are a cache of them: computed on a reader's connection, and put in
place by the writer only if no request came meanwhile. Requests are deleted only where cells hold them
(`retention`); what comes after that is added to the cells in the transaction of its piece.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import pyarrow as pa

from warehouse.rollups import Hands
from warehouse.run_cells import KEY, RunCells, folded, run_cells
from warehouse.run_model import RunState
from warehouse.transaction import transaction

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

CELLS, OUTCOMES = "run_cell", "run_cell_outcome"

SILENT = timedelta(minutes=10)
"""A run of which nothing was heard for so long has cells made too, whether it is complete or not."""

FRESH = """
    NOT is_stale AND run_tier.began_at = coalesce(run.started_at, run.requested_at)
    AND run_tier.ended_at IS NOT DISTINCT FROM run.ended_at
"""
"""SQL that says of `run` joined with `run_tier` that its cells are those of its requests as they are."""

_NEWS = "coalesce(run.ended_at, heartbeat_at, requested_at)"


@dataclass(frozen=True)
class Due:
    """A run whose cells are to be computed, by when its load began and ended (UTC, naive)."""

    run_no: int
    run_id: str
    began_at: datetime
    ended_at: datetime | None


def _runs(connection: DuckDBPyConnection, where: str, values: dict[str, object]) -> list[Due]:
    rows = connection.execute(
        f"""
        SELECT run.run_no, run_id, coalesce(started_at, requested_at), run.ended_at
        FROM run LEFT JOIN run_tier USING (run_no)
        WHERE raw_deleted_at IS NULL AND {where} ORDER BY run.run_no
        """,
        values,
    ).fetchall()
    return [Due(*row) for row in rows]


def keep_up(hands: Hands, at: datetime) -> int:
    """Make the cells of every run that has none, or whose cells are not those of its requests; how many."""
    with hands.reading() as connection:
        due = _runs(
            connection,
            f"(complete_at IS NOT NULL OR state <> $waits AND {_NEWS} "
            f"< $silent) AND NOT coalesce({FRESH}, FALSE)",
            {"waits": RunState.REQUESTED.value, "silent": at - SILENT},
        )
    return sum(not hands.stopped() and _make(hands, each) for each in due)


def _make(hands: Hands, due: Due) -> bool:
    with hands.reading() as connection:
        cells = run_cells(connection, due.run_no, due.began_at, due.ended_at)
    return hands.write(lambda connection: _put(connection, due, cells))


def _put(connection: DuckDBPyConnection, due: Due, cells: RunCells) -> bool:
    """Put a run's cells in place, unless its requests are others by now; whether it was done."""
    stored = connection.execute(
        "SELECT count(*) FROM load_request WHERE run_no = ?", [due.run_no]
    ).fetchall()[0][0]
    same = _runs(connection, "run.run_no = $run_no", {"run_no": due.run_no}) == [due]
    if not same or stored != cells.requests:
        return False
    with transaction(connection):
        for table in (CELLS, OUTCOMES, "run_tier"):
            connection.execute(f"DELETE FROM {table} WHERE run_no = ?", [due.run_no])
        _insert(connection, due.run_no, cells.rows, cells.outcomes)
        connection.execute(
            "INSERT INTO run_tier VALUES (?, ?, ?, ?, FALSE)",
            [due.run_no, due.began_at, due.ended_at, cells.requests],
        )
    return True


def _insert(connection: DuckDBPyConnection, run_no: int, rows: pa.Table, outcomes: pa.Table) -> None:
    for table, fresh in ((CELLS, rows), (OUTCOMES, outcomes)):
        if fresh.num_rows:
            connection.register("fresh", fresh)
            connection.execute(
                f"INSERT INTO {table} BY NAME SELECT {run_no}::INTEGER AS run_no, * FROM fresh"
            )
            connection.unregister("fresh")


def note_late(connection: DuckDBPyConnection, run_no: int) -> None:
    """Within the transaction of a piece of a spool: its run's cells, if there are any, lack it.

    Where the run's other requests are deleted it is added to the cells, and deleted as they were.
    """
    found = connection.execute(
        "SELECT raw_deleted_at IS NOT NULL, run_tier.began_at, run_tier.ended_at, is_stale "
        "FROM run_tier JOIN run USING (run_no) WHERE run_no = ?",
        [run_no],
    ).fetchall()
    if not found:
        return
    is_deleted, began_at, ended_at, is_stale = found[0]
    if is_deleted:
        _fold(connection, run_no, began_at, ended_at)
    elif not is_stale:
        connection.execute("UPDATE run_tier SET is_stale = TRUE WHERE run_no = ?", [run_no])


def _fold(connection: DuckDBPyConnection, run_no: int, began_at: datetime, ended_at: datetime | None) -> None:
    late = run_cells(connection, run_no, began_at, ended_at)
    keys = ", ".join(KEY)
    connection.register("late_keys", late.rows.select(list(KEY)))
    of_late = f"run_no = {run_no} AND ({keys}) IN (SELECT ({keys}) FROM late_keys)"
    stored = connection.sql(f"FROM {CELLS} WHERE {of_late}").to_arrow_table()
    connection.execute(f"DELETE FROM {CELLS} WHERE {of_late}")
    connection.unregister("late_keys")
    _insert(connection, run_no, folded(connection, stored, late.rows), late.outcomes)
    connection.execute(
        "UPDATE run_tier SET requests = requests + ? WHERE run_no = ?", [late.requests, run_no]
    )
    connection.execute("DELETE FROM load_request WHERE run_no = ?", [run_no])


def deletable(connection: DuckDBPyConnection, limit: datetime) -> list[int]:
    """The runs, older than `limit` and no baselines, whose requests are all in cells."""
    found = _runs(
        connection,
        f"NOT is_baseline AND {_NEWS} < $limit AND {FRESH}",
        {"limit": limit},
    )
    return [each.run_no for each in found]


def proved(hands: Hands) -> Iterator[tuple[str, int, list[str]]]:
    """Compute the cells of every run anew whose requests are there: its id, its cells, which of them differ.

    Those that differ are replaced. A run to which requests came meanwhile is left to `keep_up`.
    """
    with hands.reading() as connection:
        due = _runs(connection, FRESH, {})
    for each in due:
        if hands.stopped():
            return
        with hands.reading() as connection:
            if _runs(connection, f"run.run_no = $run_no AND {FRESH}", {"run_no": each.run_no}) != [each]:
                continue
            cells = run_cells(connection, each.run_no, each.began_at, each.ended_at)
            differing = _differences(connection, each, cells)
        if differing:
            hands.write(lambda connection, each=each, cells=cells: _put(connection, each, cells))  # type: ignore[misc]
        yield each.run_id, cells.rows.num_rows, differing


def _differences(connection: DuckDBPyConnection, due: Due, cells: RunCells) -> list[str]:
    """Which stored cells of a run are not the fresh ones, in words."""
    told = []
    for table, fresh in ((CELLS, cells.rows), (OUTCOMES, cells.outcomes)):
        connection.register("fresh", fresh)
        names = ", ".join(
            f"md5({name}) AS {name}" if name in ("corrected", "service") else f"{name}::VARCHAR AS {name}"
            for name in fresh.column_names
        )
        rows = connection.execute(
            f"""
            WITH stored AS (SELECT {names} FROM {table} WHERE run_no = ?),
            made AS (SELECT {names} FROM fresh),
            differing AS ((FROM stored EXCEPT ALL FROM made) UNION ALL (FROM made EXCEPT ALL FROM stored))
            SELECT DISTINCT second::INTEGER, endpoint::INTEGER FROM differing ORDER BY ALL
            """,
            [due.run_no],
        ).fetchall()
        connection.unregister("fresh")
        told += [f"{table} {due.run_id} second {second} endpoint {endpoint}" for second, endpoint in rows]
    return told
