"""Answers statements: so many at once, each with a deadline and a row cap, all read-only."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import duckdb
import pyarrow as pa

from warehouse import cold, salvage, staged
from warehouse.deadlines import Deadlines
from warehouse.errors import BusyError, DeadlineError, InvalidInputError, StorageError, TooManyRowsError
from warehouse.exports import Export
from warehouse.leases import CalledBackError, Lease
from warehouse.questions.asking import Staged, Statement
from warehouse.simulated import COLUMN
from warehouse.staged import Standing

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from warehouse.store import Store

EXPORTS_AT_ONCE = 2
ROWS_PER_BLOCK = 20_000
"""Smaller blocks make smaller memory, larger ones better compressed Parquet."""

GATE_S = 5.0
"""How long a question waits for a database that was invalidated to be opened again."""

AGAIN_S = 0.1

PARTS_PER_ROW = 10
"""How many times the row cap the cells may be that an answer is merged of."""


class Reader:
    """Runs questions in as many slots as there are cores, and exports in slots of their own."""

    def __init__(
        self,
        store: Store,
        *,
        deadline_s: float,
        row_cap: int,
        slots: int | None = None,
        standing: Standing | None = None,
    ) -> None:
        """`standing` spares what first stages found, where the writer moves the store's stand."""
        self._store = store
        self._standing = standing
        self._deadline_s = deadline_s
        self._row_cap = row_cap
        self._slots = threading.BoundedSemaphore(slots or os.cpu_count() or 1)
        self._exports = threading.BoundedSemaphore(EXPORTS_AT_ONCE)
        self._deadlines = Deadlines()

    def answer(self, statement: Statement, limit: int | None = None) -> pa.Table:
        """All rows of the answer, in order, instants in UTC; with `limit` the first an export would have.

        The deadline counts from now, waiting for a slot included. Raises DeadlineError or
        TooManyRowsError.
        """
        until = time.monotonic() + self._deadline_s
        if not self._slots.acquire(timeout=self._deadline_s):
            raise self._too_slow("waited for other questions")
        try:
            with _in_our_words():
                table = self._rows(statement, limit, until)
        except _InterruptedError:
            raise self._too_slow("ran") from None
        finally:
            self._slots.release()
        if table.num_rows > self._row_cap:
            raise TooManyRowsError(
                f"the answer has more than {self._row_cap} rows",
                "Ask for a shorter window, fewer series or larger buckets, or export it.",
                status=413,
            )
        if isinstance(statement, Staged):
            return in_utc(table.slice(0, limit))
        return in_utc(table if statement.finish is None else statement.finish(table).slice(0, limit))

    def count(self, statement: Statement) -> int:
        """How many rows the answer has. Raises DeadlineError."""
        if isinstance(statement, Staged) and statement.streams:
            return int(self.answer(statement.wrapped(_count_of))["rows"][0].as_py())
        if statement.finish is not None or isinstance(statement, Staged):
            return int(self.answer(statement).num_rows)
        counted = replace(statement, sql=_count_of(statement.sql), order="", raw=False)
        return int(self.answer(counted)["rows"][0].as_py())

    def stream(self, statement: Statement, export: Export | None = None) -> Iterator[pa.RecordBatch]:
        """The rows of an answer of any length, block by block; raw rows come in storage order.

        The first item is an empty batch that carries the schema; raw rows are counted before it, in the
        same snapshot. `export` is told how far it has come. Raises BusyError when too many exports run
        already. A simulated warehouse adds the column COLUMN.
        """
        export = export or Export()
        with export.reading():
            if statement.finish is not None or (isinstance(statement, Staged) and not statement.streams):
                table = self.answer(statement)
                batches = _first_schema(table.schema, iter(table.to_batches()))
                yield from _told(batches, export, simulated=self._store.simulated)
                return
            if not self._exports.acquire(blocking=False):
                raise BusyError(
                    f"{EXPORTS_AT_ONCE} exports run already", "Try again when one has ended.", status=429
                )
            try:
                with _in_our_words():
                    blocks = self._blocks(statement, export)
                    yield from _told(blocks, export, simulated=self._store.simulated)
            except _InterruptedError:
                raise StorageError("the export was broken off", "Ask again.") from None
            finally:
                self._exports.release()

    def _blocks(self, statement: Statement, export: Export) -> Iterator[pa.RecordBatch]:
        with self._store.lend() as lease, export.interrupted_by(lease.interrupt):
            with lease.busy() as connection:
                connection.begin()
                if isinstance(statement, Staged):
                    first = {piece.name: staged.found(connection, piece) for piece in statement.first}
                    piece = statement.last(first)
                    statement = Statement(piece.sql, piece.values)
                values = self._values(statement)
                warmed = self._warmed(connection, statement.streamed, values) if statement.cold else None
                if statement.raw:
                    counting = _count_of(statement.sql)
                    if statement.cold:
                        counting = self._warmed(connection, counting, values)
                    counted = connection.sql(counting, params=values)
                    export.total = int(counted.fetchall()[0][0])
                lease.blocks = connection.sql(warmed or statement.streamed, params=values).to_arrow_reader(
                    ROWS_PER_BLOCK
                )
                schema = lease.blocks.schema
            yield from _first_schema(schema, iter(lambda: _next_block(lease), None))

    def _values(self, statement: Statement) -> dict[str, object]:
        values = dict(statement.values)
        if statement.sizes:
            values["file_bytes"], values["wal_bytes"] = self._store.sizes()
            values |= self._store.foresight()
        if statement.heard:
            known = dict(self._store.heard)
            values["heard"], values["heard_at"] = list(known), list(known.values())
        return values

    def _too_slow(self, what: str) -> DeadlineError:
        return DeadlineError(
            f"it {what} for longer than {self._deadline_s:g} s",
            "Ask for a shorter window or fewer series, or raise warehouse.deadline_s.",
            status=504,
        )

    def _warmed(self, connection: DuckDBPyConnection, sql: str, values: dict[str, object]) -> str:
        """The statement over the attempts of cold days too, on a connection within a transaction."""
        return cold.with_cold(connection, self._store.settings.data_dir, sql, values)

    def _rows(self, statement: Statement, limit: int | None, until: float) -> pa.Table:
        """What the statement finds, at most a row more than the cap."""
        if isinstance(statement, Staged):
            most = limit or self._row_cap + 1
            asked = statement.wrapped(lambda sql: _first_of(sql, most)) if statement.streams else statement
            parts = self._row_cap * PARTS_PER_ROW
            return self._read(lambda held: staged.answer(held, asked, parts, self._standing), until)
        sql = statement.streamed if limit else statement.ordered
        most = limit if limit and statement.finish is None else self._row_cap + 1
        limited = _first_of(sql, most)
        values = self._values(statement)

        def find(connection: DuckDBPyConnection) -> pa.Table:
            asked = limited
            if statement.cold:
                connection.begin()
                asked = self._warmed(connection, limited, values)
            return connection.sql(asked, params=values).to_arrow_table()

        return self._read(find, until)

    def _read(self, work: Callable[[DuckDBPyConnection], pa.Table], until: float) -> pa.Table:
        """Do it until it ends or its time is over; again where the file was opened anew meanwhile."""
        patient_until = min(until, time.monotonic() + GATE_S)
        while True:
            try:
                with (
                    self._store.lend() as lease,
                    self._deadlines.over(lease, until),
                    lease.busy() as connection,
                ):
                    return work(connection)
            except (CalledBackError, duckdb.InterruptException):
                if time.monotonic() >= until:
                    raise
            except duckdb.FatalException as error:
                self._store.suspect(error)
                if time.monotonic() >= patient_until:
                    raise
                time.sleep(AGAIN_S)


class _InterruptedError(Exception):
    """Somebody interrupted the statement."""


@contextmanager
def _in_our_words() -> Iterator[None]:
    """Turn the database's errors into ours."""
    try:
        yield
    except duckdb.InterruptException:
        raise _InterruptedError from None
    except (duckdb.OutOfRangeException, duckdb.ConversionException, OverflowError) as error:
        raise InvalidInputError(f"the window cannot be read: {error}", field="start") from None
    except duckdb.Error as error:
        raise salvage.storage_error(error) from error
    except (pa.ArrowException, OSError) as error:  # what a block of a stream says instead
        if "interrupt" in str(error).lower():
            raise _InterruptedError from None
        raise salvage.storage_error(error) from error


def _marked(batch: pa.RecordBatch) -> pa.RecordBatch:
    """The batch with a column that says that all of it was made up."""
    return batch.append_column(COLUMN, pa.array([True] * batch.num_rows, pa.bool_()))


def _count_of(sql: str) -> str:
    return f"SELECT count(*) AS rows FROM ({sql})"  # noqa: S608 - our own question


def _first_of(sql: str, rows: int) -> str:
    return f"SELECT * FROM ({sql}) LIMIT {rows}"  # noqa: S608 - our own question


def _told(batches: Iterator[pa.RecordBatch], export: Export, *, simulated: bool) -> Iterator[pa.RecordBatch]:
    """The batches, each counted before it is given on; of a made-up history each row says so."""
    for batch in batches:
        export.rows += batch.num_rows
        yield _marked(batch) if simulated else batch
    export.state = "done"


def in_utc(table: pa.Table) -> pa.Table:
    """The table with its instants marked as UTC and its enums, whose numbers are unsigned, as text."""
    return table.cast(_utc_schema(table.schema))


def _utc_schema(schema: pa.Schema) -> pa.Schema:
    return pa.schema([field.with_type(_outward(field.type)) for field in schema])


def _outward(kind: pa.DataType) -> pa.DataType:
    if pa.types.is_timestamp(kind):
        return pa.timestamp("ms", "UTC")
    if pa.types.is_dictionary(kind) and pa.types.is_unsigned_integer(kind.index_type):
        return pa.string()  # an enum; names that a question gave numbers stay numbers with their names
    return kind


def _next_block(lease: Lease) -> pa.RecordBatch | None:
    """The next block of what the lease streams; None at its end."""
    with lease.busy():
        try:
            return lease.blocks.read_next_batch() if lease.blocks is not None else None
        except StopIteration:
            return None


def _first_schema(schema: pa.Schema, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    yield pa.RecordBatch.from_pylist([], schema=_utc_schema(schema))
    for batch in batches:
        yield from in_utc(pa.Table.from_batches([batch])).to_batches()
