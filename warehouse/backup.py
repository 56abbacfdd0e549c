"""Reads the whole warehouse, as it was at one instant, into an archive."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import duckdb
import pyarrow as pa
import pyarrow.parquet

from warehouse import VERSION
from warehouse.archive import FORMAT, Manifest, Packer, Part, TableContent
from warehouse.errors import StorageError
from warehouse.model import now
from warehouse.rowhash import is_exact, row_hash

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from warehouse.leases import Lease

ROWS_PER_PART = 1_000_000
BYTES_PER_PART = 8_000_000
ROWS_PER_BLOCK = 10_000


class Snapshot:
    """The warehouse as it is when this is made, whatever is stored afterwards.

    One transaction on a connection of its own holds it; whoever lent the connection ends it.
    """

    def __init__(self, lease: Lease) -> None:
        """Raises StorageError, also for a table that Parquet could not hold exactly."""
        self._lease = lease
        try:
            with lease.busy() as connection:
                connection.execute("BEGIN")
                self.schema_version = int(_one(connection, "SELECT max(version) FROM migration"))
                self.taken_at = now().replace(microsecond=0)
                self.tables = tables_of(connection)
                self.counts = {
                    name: int(_one(connection, f'SELECT count(*) FROM "{name}"')) for name in self.tables
                }
        except duckdb.Error as error:
            raise StorageError(str(error)) from error
        for table, columns in self.tables.items():
            for column, kind in columns.items():
                if not is_exact(kind):
                    raise StorageError(f"{table}.{column} is {kind}, which a backup cannot hold exactly")

    @property
    def rows(self) -> int:
        """Rows of all tables together."""
        return sum(self.counts.values())

    def archive(self) -> Iterator[bytes]:
        """The archive's bytes; one part at most is held in memory. Raises StorageError."""
        packer = Packer(self.taken_at)
        contents = {}
        try:
            for table in self.tables:
                contents[table] = yield from self._table(packer, table)
            with self._lease.busy() as connection:
                sequences = sequences_of(connection)
        except duckdb.Error as error:
            raise StorageError(str(error)) from error
        manifest = Manifest(
            format=FORMAT,
            perfhouse_version=VERSION,
            schema_version=self.schema_version,
            taken_at=self.taken_at,
            sequences=sequences,
            tables=contents,
        )
        yield from packer.finish(manifest)

    def _table(self, packer: Packer, table: str) -> Generator[bytes, None, TableContent]:
        columns = self.tables[table]
        parts: list[Part] = []
        for content, rows in self._parquet(table):
            name = f"{table}/{len(parts) + 1:05}-{rows}.parquet"
            digest = yield from packer.add(name, memoryview(content))
            parts.append(Part(name=name, rows=rows, size=content.size, sha256=digest))
        with self._lease.busy() as connection:
            total = hash_of(connection, table, columns)
        return TableContent(columns=columns, rows=self.counts[table], row_hash=str(total), parts=tuple(parts))

    def _parquet(self, table: str) -> Iterator[tuple[pa.Buffer, int]]:
        """The table's rows in storage order as Parquet files, each with its number of rows."""
        names = ", ".join(f'"{name}"' for name in self.tables[table])
        with self._lease.busy() as connection:
            blocks = connection.sql(f'SELECT {names} FROM "{table}"').to_arrow_reader(ROWS_PER_BLOCK)
            self._lease.blocks = blocks
        schema = pa.schema([_undictionaried(field) for field in blocks.schema])
        part: _OpenPart | None = None
        while (block := self._next_block()) is not None:
            if not block.num_rows:
                continue
            part = part or _OpenPart(schema)
            part.write(block)
            if part.is_full:
                yield part.finish()
                part = None
        if part:
            yield part.finish()

    def _next_block(self) -> pa.RecordBatch | None:
        """The next rows of the table that is read; None at its end."""
        with self._lease.busy():
            blocks = self._lease.blocks
            assert blocks is not None
            try:
                return blocks.read_next_batch()
            except StopIteration:
                self._lease.blocks = None
                return None


def tables_of(connection: DuckDBPyConnection) -> dict[str, dict[str, str]]:
    """Every table with its columns and their types, as the catalogue has them."""
    tables: dict[str, dict[str, str]] = {}
    for table, column, kind in connection.execute(
        """
        SELECT table_name, column_name, data_type
        FROM duckdb_columns() JOIN duckdb_tables() USING (database_name, schema_name, table_name)
        WHERE database_name = current_database() AND schema_name = 'main' AND NOT duckdb_tables.temporary
        ORDER BY table_name, column_index
        """
    ).fetchall():
        tables.setdefault(table, {})[column] = kind
    return tables


def sequences_of(connection: DuckDBPyConnection) -> dict[str, int]:
    """The last number that each sequence has given out, at least; those that gave none are absent.

    Sequences stand outside of transactions: read after the tables, they are at or past every number there.
    """
    rows = connection.execute(
        "SELECT sequence_name, last_value FROM duckdb_sequences() "
        "WHERE database_name = current_database() AND last_value IS NOT NULL ORDER BY 1"
    ).fetchall()
    return {name: int(value) for name, value in rows}


def hash_of(connection: DuckDBPyConnection, table: str, columns: Mapping[str, str]) -> int:
    """The hash over all rows of a table."""
    return int(_one(connection, f'SELECT {row_hash(columns)} FROM "{table}"'))


class _OpenPart:
    def __init__(self, schema: pa.Schema) -> None:
        self._rows = 0
        self._schema = schema
        self._sink = pa.BufferOutputStream()
        self._writer = pyarrow.parquet.ParquetWriter(self._sink, schema, compression="zstd")

    @property
    def is_full(self) -> bool:
        return self._rows >= ROWS_PER_PART or self._sink.tell() >= BYTES_PER_PART

    def write(self, batch: pa.RecordBatch) -> None:
        self._writer.write_batch(batch.cast(self._schema))
        self._rows += batch.num_rows

    def finish(self) -> tuple[pa.Buffer, int]:
        self._writer.close()
        return self._sink.getvalue(), self._rows


def _undictionaried(field: pa.Field) -> pa.Field:
    return field.with_type(pa.string()) if pa.types.is_dictionary(field.type) else field


def _one(connection: DuckDBPyConnection, sql: str) -> Any:
    return connection.execute(sql).fetchall()[0][0]
