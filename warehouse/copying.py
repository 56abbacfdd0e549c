"""Copies tables into another file in rounds, proves each round, and notices when what was copied changed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from warehouse.backup import tables_of
from warehouse.errors import RefusedError
from warehouse.rowhash import cast

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

GROWING = (
    *("attempt", "attempt_late", "baseline_attempt", "sample", "gap", "event"),
    *("query_stat", "query_latency", "lock_wait", "database_state"),
    *("load_request", "load_beat", "load_error", "batch", "audit"),
    *("attempt_cell_5m", "attempt_cell_1h", "attempt_cell_1d", "attempt_cell_outcome"),
    *(
        "attempt_cell_above",
        "sample_cell_1h",
        "sample_cell_1d",
        "query_stat_cell_1h",
        "query_stat_cell_1d",
        "run_cell",
        "run_cell_outcome",
    ),
)
"""Tables whose rows are only added while nothing is rolled up or deleted by age, and never updated: all of
them but a tail is copied and proved beforehand. All others are small, and copied whole at the end.
"""

SORTED = "attempt"
"""Copied span by span, each sorted by series: alike values beside one another take less room."""

SPAN_DAYS = 7
MOST_IN_SPAN = 4_000_000
"""A span is a week where a week holds no more attempts than this, else a day: a longer one takes less room,
since an instant is kept as what lies between it and the one before of its series; a shorter one is found
faster."""

ROWS_PER_BLOCK = 100_000

Access = Callable[[], AbstractContextManager["DuckDBPyConnection"]]
"""Gives the connection to the file that is copied, for one statement or a few."""


@dataclass(frozen=True)
class Mark:
    """So many rows of a table were copied; the row ids of the last of them, here and in the copy."""

    rows: int = 0
    newest: int = -1
    newest_copy: int = -1


class Copying:
    """One copy of all tables into an empty file. A later round copies what came since the one before.

    Rows that were deleted meanwhile are missing below the mark, since DuckDB gives rows other ids at most
    where no transaction sees an earlier moment: that of a round must stay open until the next has begun.
    """

    def __init__(self, target: DuckDBPyConnection) -> None:
        self._target = target
        self._marks: dict[str, Mark] = {}
        self.rows = 0
        """Rows that were copied, each of them proved."""

    def grow(self, access: Access) -> Iterator[int]:
        """Copy and prove what came of the tables that only grow; rows of each slice.

        Raises RefusedError where earlier rows are gone, or the copy holds other rows than the file.
        """
        with access() as source:
            tables = tables_of(source)
        for table in GROWING:
            yield from self._grow(access, table, tables[table])

    def finish(self, source: DuckDBPyConnection) -> None:
        """Copy and prove all the rest, while nothing changes. Raises as `grow`."""
        for table, columns in tables_of(source).items():
            if table in GROWING:
                for _ in self._grow(lambda: nullcontext(source), table, columns):
                    pass
            else:
                self._slice(source, table, columns, "true", Mark())

    def _grow(self, access: Access, table: str, columns: Mapping[str, str]) -> Iterator[int]:
        known = self._marks.get(table, Mark())
        tail = f"rowid > {known.newest}"
        with access() as source:
            total = _one(source, f'SELECT count(*) FROM "{table}"')
            came = _one(source, f'SELECT count(*) FROM "{table}" WHERE {tail}')
            if total - came != known.rows:
                gone = known.rows + came - total
                raise _changed(table, f"{gone:,} of the rows that were copied are gone")
            if not came:
                return
            newest = _one(source, f'SELECT max(rowid) FROM "{table}" WHERE {tail}')
            slices = _spans(source) if table == SORTED and not known.rows else [tail]
        copied = known
        for wanted in slices:
            with access() as source:
                longer = self._slice(source, table, columns, wanted, copied)
            yield longer.rows - copied.rows
            copied = longer
        if copied.rows != total:
            raise _changed(table, f"{total:,} rows, {copied.rows:,} were copied")
        self._marks[table] = replace(copied, newest=newest)

    def _slice(
        self, source: DuckDBPyConnection, table: str, columns: Mapping[str, str], wanted: str, copied: Mark
    ) -> Mark:
        """Copy the rows `wanted` behind those that were copied, and prove them by their number and a hash."""
        names = ", ".join(f'"{name}"' for name in columns)
        order = "ORDER BY series_id, ts" if table == SORTED else ""
        blocks = source.sql(f'SELECT {names} FROM "{table}" WHERE {wanted} {order}').to_arrow_reader(
            ROWS_PER_BLOCK
        )
        self._target.register("copied_rows", blocks)
        try:
            values = ", ".join(cast(*column) for column in columns.items())
            self._target.execute(f'INSERT INTO "{table}" ({names}) SELECT {values} FROM copied_rows')
        finally:
            self._target.unregister("copied_rows")
        behind = f"rowid > {copied.newest_copy}"
        expected, found = _proof(source, table, names, wanted), _proof(self._target, table, names, behind)
        if found != expected:
            raise _changed(table, f"{expected[0]:,} rows, {found[0]:,} were copied")
        self.rows += found[0]
        newest = _one(self._target, f'SELECT max(rowid) FROM "{table}" WHERE {behind}')
        return Mark(copied.rows + found[0], copied.newest, max(newest, copied.newest_copy))


def _one(connection: DuckDBPyConnection, sql: str) -> int:
    """The number a statement finds; -1 where there is none."""
    number = connection.execute(sql).fetchall()[0][0]
    return -1 if number is None else int(number)


def _changed(table: str, how: str) -> RefusedError:
    text = f"{table} changed while it was copied: {how}"
    return RefusedError(text, "Nothing was changed; start it again.", status=409)


def _spans(connection: DuckDBPyConnection) -> list[str]:
    """Each week, or day, of the attempts, as a condition; spans begin at multiples of their length."""
    first, last, rows = connection.execute(
        "SELECT min(epoch_ms(ts)) // 86400000, max(epoch_ms(ts)) // 86400000, count(*) FROM attempt"
    ).fetchall()[0]
    days = SPAN_DAYS if rows / (last - first + 1) * SPAN_DAYS <= MOST_IN_SPAN else 1
    return [
        f"ts >= make_timestamp_ms({day * 86_400_000}) AND ts < make_timestamp_ms({(day + days) * 86_400_000})"
        for day in range(first // days * days, last + 1, days)
    ]


def _proof(connection: DuckDBPyConnection, table: str, names: str, wanted: str) -> tuple[int, int]:
    """Rows and a hash over all of them, in any order, by the same DuckDB on both sides."""
    sql = f'SELECT count(*), coalesce(sum(hash({names})), 0) FROM "{table}" WHERE {wanted}'
    rows, total = connection.execute(sql).fetchall()[0]
    return int(rows), int(total)
