"""Gives freed room back to the disk: copies the warehouse into a new file meanwhile, then swaps them."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, TypeVar

import duckdb

from warehouse import notes, restore
from warehouse import store as stores
from warehouse.backup import sequences_of, tables_of
from warehouse.errors import RefusedError, StorageError
from warehouse.model import JobState, now
from warehouse.rowhash import cast

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from warehouse.keeper import Keeper
    from warehouse.store import Store

log = logging.getLogger(__name__)

JOB = "compact"
DRAFT = "compact-draft.duckdb"

APPENDED = (
    *("attempt", "sample", "gap", "event", "query_stat", "query_latency", "lock_wait", "database_state"),
    *("load_request", "load_beat", "load_error", "batch", "audit"),
    *("attempt_cell_5m", "attempt_cell_1h", "attempt_cell_1d", "attempt_cell_outcome"),
    "attempt_cell_above",
    *("sample_cell_1h", "sample_cell_1d", "run_cell", "run_cell_outcome"),
)
"""Tables that only grow while nothing is rolled up or deleted: most of them is copied beforehand.

All others are small, and copied whole at the end. The proof at the end knows nothing of this list.
"""

SORTED = "attempt"
"""Copied span by span, each sorted by series: alike values beside one another take less room."""

SPAN_DAYS = 7
MOST_IN_SPAN = 4_000_000
"""A span is a week where a week holds no more attempts than this, else a day: a longer one takes less room,
since an instant is kept as what lies between it and the one before of its series; a shorter one is found
faster."""

FEW_ROWS = 20_000
MOST_ROUNDS = 5
"""What came meanwhile is copied again and again, until little is left for the moment when storing waits."""

ROWS_PER_BLOCK = 100_000

Step = dict[str, Any]
T = TypeVar("T")
OnWriter = Callable[[Callable[[], T]], T]


class Compaction:
    """One copy of the warehouse's file into a smaller one, while nothing is rolled up or deleted."""

    def __init__(self, store: Store, keeper: Keeper, on_writer: OnWriter[Any]) -> None:
        """`on_writer` runs work on the writer's thread, and waits for it."""
        self._store = store
        self._keeper = keeper
        self._on_writer = on_writer
        self._copied: dict[str, int] = {}
        self._draft = store.settings.data_dir / DRAFT
        self._began = time.monotonic()

    def steps(self) -> Iterator[Step]:
        """Do it; steps are `copy` with rows done and of how many, `catching_up`, and `end` with what it gave.

        Until the exchange nothing is changed. Raises StorageError, and RefusedError where the copy is not
        what the warehouse holds.
        """
        before = sum(self._store.sizes())
        self._refuse_full(before)
        restore.discard(self._draft)
        with self._store.lend() as lease, lease.busy() as source:
            source.execute("BEGIN")
            counts = {table: _count(source, table) for table in tables_of(source)}
        settings = self._store.settings
        target = stores.new_file(self._draft, settings, self._store.schema_version, counts)
        try:
            for table in tables_of(target):
                target.execute(f'DELETE FROM "{table}"')  # noqa: S608 - from the catalogue
            yield from self._copy_most(target, sum(counts.values()))
            yield {"part": "catching_up"}
            rows, waited_s = self._on_writer(lambda: self._finish(target))
        except duckdb.Error as error:
            raise StorageError(f"{self._draft}: {error}", "Nothing was changed.") from error
        finally:
            target.close()
            restore.discard(self._draft)
        after = sum(self._store.sizes())
        self._tell(before, after)
        yield {
            "part": "end",
            "rows": rows,
            "before_bytes": before,
            "after_bytes": after,
            "waited_s": waited_s,
        }

    def _refuse_full(self, needed: int) -> None:
        space = self._keeper.space
        if space is None or space.free - needed < space.reserve:
            text = space.text if space else "the disk tells nothing"
            raise StorageError(f"{needed / 1e6:,.0f} MB are needed beside: {text}", "Nothing was changed.")

    def _copy_most(self, target: DuckDBPyConnection, total: int) -> Iterator[Step]:
        """Copy what only grows, in rounds of which each finds less to do."""
        done = 0
        for _ in range(MOST_ROUNDS):
            came = 0
            with self._store.lend() as lease:
                with lease.busy() as source:
                    source.execute("BEGIN")
                    columns = tables_of(source)
                for table in APPENDED:
                    for rows in self._slices(lease, target, table, columns[table]):
                        came += rows
                        done += rows
                        yield {"part": "copy", "rows": done, "of": max(done, total)}
            if came < FEW_ROWS:
                return

    def _slices(
        self, lease: Any, target: DuckDBPyConnection, table: str, columns: dict[str, str]
    ) -> Iterator[int]:
        """Copy the rows of a table that came since it was copied before; rows of each slice."""
        is_first = table not in self._copied
        with lease.busy() as source:
            queries = _spans(source) if table == SORTED and is_first else [_tail(source, table, self._copied)]
        for query in queries:
            with lease.busy() as source:
                rows = _copy(source, target, table, columns, query)
            yield rows
        with lease.busy() as source:
            self._copied[table] = _count(source, table)

    def _finish(self, target: DuckDBPyConnection) -> tuple[int, float]:
        """Copy the rest, prove the copy and put it in place; on the writer's thread, so that nothing changes.

        Returns the rows, and for how long batches waited (s).
        """
        began = time.monotonic()
        source = self._keeper.connection()
        tables = tables_of(source)
        for table, columns in tables.items():
            query = _tail(source, table, self._copied) if table in APPENDED else f'FROM "{table}"'
            _copy(source, target, table, columns, query)
        for name, value in sequences_of(source).items():
            target.execute("SELECT setval(?, ?)", [name, value])
        rows = 0
        for table, columns in tables.items():
            found, expected = _proof(target, table, columns), _proof(source, table, columns)
            if found != expected:
                raise RefusedError(
                    f"{table} changed while it was copied: {expected[0]:,} rows, {found[0]:,} were copied",
                    "Nothing was changed; start it again.",
                    status=409,
                )
            rows += found[0]
        target.execute("CHECKPOINT")
        target.close()
        restore.sync(self._draft)
        ready = restore.ready_file(self._store.settings)
        if ready.exists():
            raise RefusedError("a backup is being restored", "Compact again after that.", status=409)
        self._draft.replace(ready)
        try:
            self._exchange()
        finally:
            restore.discard(ready)
        return rows, round(time.monotonic() - began, 2)

    def _exchange(self) -> None:
        """The copy becomes the warehouse's file; the one before it goes once that one is open."""
        settings = self._store.settings
        self._keeper.close()
        kept = self._store.exchange(
            lambda: restore.place(settings, now(), keep=True),
            lambda kept: restore.take_back(settings, kept),
        )
        self._keeper.exchanged()
        if kept is not None:
            restore.discard(kept)

    def _tell(self, before: int, after: int) -> None:
        took_s = time.monotonic() - self._began
        text = f"compacted from {before / 1e6:,.1f} to {after / 1e6:,.1f} MB in {took_s:.0f} s"
        log.info("%s", text)
        self._keeper.tell([notes.event(JOB, JobState.OK, text)])


def _count(connection: DuckDBPyConnection, table: str) -> int:
    return int(connection.execute(f'SELECT count(*) FROM "{table}"').fetchall()[0][0])  # noqa: S608 - from the catalogue


def _spans(connection: DuckDBPyConnection) -> list[str]:
    """Each week, or day, of the attempts, sorted by series; spans begin at multiples of their length."""
    first, last, rows = connection.execute(
        "SELECT min(epoch_ms(ts)) // 86400000, max(epoch_ms(ts)) // 86400000, count(*) FROM attempt"
    ).fetchall()[0]
    if first is None:
        return []
    days = SPAN_DAYS if rows / (last - first + 1) * SPAN_DAYS <= MOST_IN_SPAN else 1
    return [
        f"FROM attempt WHERE ts >= make_timestamp_ms({day * 86_400_000}) "
        f"AND ts < make_timestamp_ms({(day + days) * 86_400_000}) ORDER BY series_id, ts"
        for day in range(first // days * days, last + 1, days)
    ]


def _tail(connection: DuckDBPyConnection, table: str, copied: dict[str, int]) -> str:
    """The rows after those that were copied: tables that only grow keep their order, if not their row ids."""
    known = copied.get(table, 0)
    if known == 0:
        return f'FROM "{table}"'
    wanted = _count(connection, table) - known
    newest = connection.execute(f'SELECT max(rowid) FROM "{table}"').fetchall()[0][0]  # noqa: S608 - from the catalogue
    if wanted <= 0 or newest is None:
        return f'FROM "{table}" WHERE false'
    return f'FROM "{table}" WHERE rowid > {newest - wanted}'


def _copy(
    source: DuckDBPyConnection, target: DuckDBPyConnection, table: str, columns: dict[str, str], query: str
) -> int:
    """Copy what `query` finds; how many rows."""
    names = ", ".join(f'"{name}"' for name in columns)
    blocks = source.sql(f"SELECT {names} {query}").to_arrow_reader(ROWS_PER_BLOCK)
    target.register("copied_rows", blocks)
    try:
        values = ", ".join(cast(*column) for column in columns.items())
        rows = target.execute(
            f'INSERT INTO "{table}" ({names}) SELECT {values} FROM copied_rows'  # noqa: S608 - from the catalogue
        ).fetchall()
    finally:
        target.unregister("copied_rows")
    return int(rows[0][0])


def _proof(connection: DuckDBPyConnection, table: str, columns: dict[str, str]) -> tuple[int, int]:
    """Rows and a hash over all of them, in any order, by the same DuckDB on both sides."""
    names = ", ".join(f'"{name}"' for name in columns)
    row = connection.execute(f'SELECT count(*), coalesce(sum(hash({names})), 0) FROM "{table}"').fetchall()[0]  # noqa: S608 - from the catalogue
    return int(row[0]), int(row[1])
