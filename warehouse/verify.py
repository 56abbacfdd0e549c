"""Proves that the warehouse is sound: every block of its file by its checksum, every row by reading it."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb

from warehouse import acks, cold
from warehouse.backup import tables_of
from warehouse.blocks import Found, check_blocks
from warehouse.errors import StorageError
from warehouse.store import acks_of

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from warehouse.leases import Lease

Step = dict[str, Any]
"""One line of the report: `part` says which."""

NO_DAMAGE = (duckdb.InterruptException, duckdb.ConnectionException, duckdb.OutOfMemoryException)
"""Errors that say nothing of the file."""


def verify(lease: Lease, path: Path, *, alone: bool) -> Iterator[Step]:
    """Read the whole file, every column of every table, and the files of cold days.

    Steps are `file` (blocks done, and of how many), `table` for each with its rows and hash or the error
    that reading it raised, `cold` for each cold day with its file, rows and what is wrong with it, and
    `end`. The hash is the XOR of DuckDB's hash of each row: equal for equal
    rows in any order. `alone` says that no warehouse writes meanwhile. Raises StorageError when the file
    cannot be read at all, or is closed meanwhile.
    """
    found = yield from check_file(path, alone=alone)
    damaged: list[str] = []
    of_tables: set[int] = set()
    for table in _tables(lease):
        step = _read(lease, table)
        hit = set(found.damaged) & _blocks_of(lease, table) if found.damaged else set()
        of_tables |= hit
        if hit and not step["error"]:
            step["error"] = f"{len(hit)} of its blocks damaged on the disk, still whole in memory"
        if step["error"]:
            damaged.append(table)
        yield step
    files: list[str] = []
    for step in _cold(lease, path.parent):
        if step["error"]:
            files.append(step["file"])
        yield step
    yield ending(found, damaged, sorted(set(found.damaged) - of_tables), _lost(lease, path), files)


def check_file(path: Path, *, alone: bool) -> Generator[Step, None, Found]:
    """Read every block; steps of progress on the way. Raises StorageError."""
    checking = check_blocks(path, alone=alone)
    while True:
        try:
            done, of = next(checking)
        except StopIteration as end:
            found: Found = end.value
            return found
        except OSError as error:
            raise StorageError(f"{path} cannot be read: {error.strerror}") from error
        yield {"part": "file", "blocks_done": done, "blocks": of}


def _cold(lease: Lease, data_dir: Path) -> Iterator[Step]:
    """Each cold day's file; none where even their list cannot be read, which is told of its table."""
    try:
        with lease.busy() as connection:
            days, columns = cold.noted(connection), tables_of(connection)["attempt"]
    except NO_DAMAGE as error:
        raise StorageError(f"the cold days could not be read to their end: {error}") from error
    except duckdb.Error:
        return
    for day in days:
        flaw = cold.flaw(data_dir, day, columns)
        if flaw and not _is_still_cold(lease, day):
            continue
        yield {"part": "cold", "day": f"{day.day}", "file": day.file, "rows": day.rows, "error": flaw}


def _is_still_cold(lease: Lease, day: cold.ColdDay) -> bool:
    """Whether a day was not forgotten meanwhile, with its file."""
    with lease.busy() as connection:
        return any(each.file == day.file for each in cold.noted(connection))


def ending(
    found: Found,
    damaged_tables: list[str],
    other_blocks: list[int],
    error: str = "",
    damaged_files: Sequence[str] = (),
) -> Step:
    """The last step. `other_blocks` are damaged blocks of no table: of an index or the file's own lists."""
    return {
        "part": "end",
        "sound": found.sound and not damaged_tables and not damaged_files and not error,
        "blocks": found.blocks,
        "damaged_blocks": list(found.damaged),
        "other_blocks": other_blocks,
        "headers_sound": found.headers_sound,
        "damaged_tables": damaged_tables,
        "damaged_files": list(damaged_files),
        "error": error,
    }


def _tables(lease: Lease) -> list[str]:
    with lease.busy() as connection:
        return [str(row[0]) for row in _ask(connection, "SELECT table_name FROM duckdb_tables() ORDER BY 1")]


def _read(lease: Lease, table: str) -> Step:
    step: Step = {"part": "table", "table": table, "rows": None, "hash": None, "error": ""}
    try:
        with lease.busy() as connection:
            sql = f'SELECT count(*), bit_xor(hash(t)) FROM "{table}" AS t'  # noqa: S608 - our own tables
            rows, total = connection.execute(sql).fetchall()[0]
    except NO_DAMAGE as error:
        raise StorageError(f"{table} could not be read to its end: {error}") from error
    except duckdb.Error as error:
        return {**step, "error": str(error).splitlines()[0]}
    return {**step, "rows": rows, "hash": f"{total or 0:016x}"}


def _lost(lease: Lease, path: Path) -> str:
    """What was acknowledged and is not there, in words; what cannot be asked is told of its table."""
    noted = acks.read(acks_of(path))
    try:
        with lease.busy() as connection:
            lost = acks.missing(connection, noted)
    except NO_DAMAGE as error:
        raise StorageError(f"the batches could not be read to their end: {error}") from error
    except duckdb.Error:
        return ""
    return acks.Loss("the write-ahead log does not hold all that was acknowledged", lost).text if lost else ""


def _blocks_of(lease: Lease, table: str) -> set[int]:
    """The blocks that hold the table's columns; none where even that cannot be read."""
    sql = f"SELECT block_id, additional_block_ids FROM pragma_storage_info('{table}')"  # noqa: S608 - our own tables
    try:
        with lease.busy() as connection:
            rows = connection.execute(sql).fetchall()
    except NO_DAMAGE as error:
        raise StorageError(f"{table} could not be read to its end: {error}") from error
    except duckdb.Error:
        return set()
    return {block for first, others in rows for block in (first, *(others or ())) if block is not None}


def _ask(connection: DuckDBPyConnection, sql: str) -> list[tuple[Any, ...]]:
    try:
        return connection.execute(sql).fetchall()
    except duckdb.Error as error:
        raise StorageError(str(error)) from error
