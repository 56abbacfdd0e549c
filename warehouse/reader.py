"""Answers statements: so many at once, each with a deadline and a row cap, all read-only."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import duckdb
import pyarrow as pa

from warehouse.errors import DeadlineError, InvalidInputError, StorageError, TooManyRowsError

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from warehouse.questions import Statement
    from warehouse.store import Store

EXPORTS_AT_ONCE = 2
ROWS_PER_BLOCK = 50_000
INTERRUPT_EVERY_S = 0.02


class Reader:
    """Runs questions in as many slots as there are cores, and exports in slots of their own."""

    def __init__(self, store: Store, *, deadline_s: float, row_cap: int, slots: int | None = None) -> None:
        self._store = store
        self._deadline_s = deadline_s
        self._row_cap = row_cap
        self._slots = threading.BoundedSemaphore(slots or os.cpu_count() or 1)
        self._exports = threading.BoundedSemaphore(EXPORTS_AT_ONCE)

    def answer(self, statement: Statement) -> pa.Table:
        """All rows of the answer, in order, instants in UTC.

        The deadline counts from now, waiting for a slot included. Raises DeadlineError or
        TooManyRowsError.
        """
        until = time.monotonic() + self._deadline_s
        if not self._slots.acquire(timeout=self._deadline_s):
            raise self._too_slow("waited for other questions")
        try:
            with self._interrupted_at(until) as connection:
                table = connection.sql(
                    f"SELECT * FROM ({statement.ordered}) LIMIT {self._row_cap + 1}",  # noqa: S608 - our own question
                    params=self._values(statement),
                ).to_arrow_table()
        except duckdb.InterruptException:
            raise self._too_slow("ran") from None
        except (duckdb.OutOfRangeException, duckdb.ConversionException, OverflowError) as error:
            raise InvalidInputError(f"the window cannot be read: {error}", field="start") from None
        except duckdb.Error as error:
            raise StorageError(str(error)) from error
        finally:
            self._slots.release()
        if table.num_rows > self._row_cap:
            raise TooManyRowsError(
                f"the answer has more than {self._row_cap} rows",
                "Ask for a shorter window, fewer series or larger buckets, or export it.",
                status=413,
            )
        return in_utc(table if statement.finish is None else statement.finish(table))

    def stream(self, statement: Statement) -> Iterator[pa.RecordBatch]:
        """The rows of an answer of any length, block by block; raw rows come in storage order.

        The first item is an empty batch that carries the schema. Raises StorageError when too many
        exports run already.
        """
        if statement.finish is not None:
            yield from _first_schema(self.answer(statement).to_reader())
            return
        if not self._exports.acquire(blocking=False):
            raise StorageError(f"{EXPORTS_AT_ONCE} exports run already", "Try again when one has ended.")
        try:
            connection = self._store.cursor()
            try:
                reader = connection.sql(statement.streamed, params=self._values(statement)).to_arrow_reader(
                    ROWS_PER_BLOCK
                )
                yield from _first_schema(reader)
            finally:
                connection.close()
        finally:
            self._exports.release()

    def _values(self, statement: Statement) -> dict[str, object]:
        values = dict(statement.values)
        if statement.sizes:
            values["file_bytes"], values["wal_bytes"] = self._store.sizes()
        return values

    def _too_slow(self, what: str) -> DeadlineError:
        return DeadlineError(
            f"it {what} for longer than {self._deadline_s:g} s",
            "Ask for a shorter window or fewer series, or raise warehouse.deadline_s.",
            status=504,
        )

    @contextmanager
    def _interrupted_at(self, until: float) -> Iterator[DuckDBPyConnection]:
        """A connection whose statement is interrupted when its time is over.

        An interrupt is lost on a connection that runs nothing yet, so it is repeated until the end.
        """
        connection = self._store.cursor()
        ended = threading.Event()

        def watch() -> None:
            wait_s = max(0.0, until - time.monotonic())
            while not ended.wait(wait_s):
                connection.interrupt()
                wait_s = INTERRUPT_EVERY_S

        watcher = threading.Thread(target=watch, name="deadline", daemon=True)
        watcher.start()
        try:
            yield connection
        finally:
            ended.set()
            watcher.join()
            connection.close()


def in_utc(table: pa.Table) -> pa.Table:
    """The table with its instants marked as UTC and its enums as text."""
    return table.cast(_utc_schema(table.schema))


def _utc_schema(schema: pa.Schema) -> pa.Schema:
    return pa.schema([field.with_type(_outward(field.type)) for field in schema])


def _outward(kind: pa.DataType) -> pa.DataType:
    if pa.types.is_timestamp(kind):
        return pa.timestamp("ms", "UTC")
    if pa.types.is_dictionary(kind):
        return pa.string()
    return kind


def _first_schema(reader: pa.RecordBatchReader) -> Iterator[pa.RecordBatch]:
    schema = _utc_schema(reader.schema)
    yield pa.RecordBatch.from_pylist([], schema=schema)
    for batch in reader:
        yield from in_utc(pa.Table.from_batches([batch])).to_batches()
