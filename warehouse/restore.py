"""Builds a warehouse file from an archive, proves it row by row, and puts it in place."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb
import pyarrow as pa
import pyarrow.parquet

from warehouse import VERSION, schema, store
from warehouse.archive import Archive, Manifest, Part
from warehouse.backup import hash_of, tables_of
from warehouse.errors import DamagedBackupError, InvalidInputError, NewerVersionError, StorageError
from warehouse.room import Room
from warehouse.rowhash import cast, is_exact, row_hash

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from warehouse.settings import Settings

DRAFT = "restore-draft.duckdb"
"""The file a backup is loaded into, beside the warehouse's own."""

READY = "restored.duckdb"
"""Its name once every row of it is proved: only such a file takes the place of another."""

UNCOUNTED = ("migration", "tier", "dirty")
"""Tables that hold no measurements."""

ROWS_PER_BLOCK = 10_000

Progress = Callable[[int], None]


def ready_file(settings: Settings) -> Path:
    """Where the restored file waits to be put in place."""
    return settings.data_dir / READY


def newest_kept(settings: Settings) -> Path | None:
    """The file that the last restore replaced."""
    return max(_kept_files(settings.database_file), default=None)


def refuse_held(rows: int | None, *, replace: bool) -> None:
    """Raises InvalidInputError when there are measurements that nobody said may be replaced.

    `rows` is None where the present file cannot be read.
    """
    if replace or rows == 0:
        return
    there = "a file that cannot be read" if rows is None else f"{rows:,} rows"
    raise InvalidInputError(
        f"the warehouse holds {there} already; nothing was changed",
        field="--replace",
        hint="Add --replace: the present file is moved aside and kept.",
        status=409,
    )


def refuse_full(archive: Archive, settings: Settings) -> None:
    """Raises StorageError where the new file would fill the disk up to the reserve.

    It is about as large as the archive.
    """
    space = Room(settings.data_dir, settings.warehouse.reserve_mb).look()
    needed = archive.path.stat().st_size
    if space.free - needed < space.reserve:
        raise StorageError(f"{needed / 1e6:,.0f} MB are needed beside: {space.text}", "Nothing was changed.")


def refuse_newer(manifest: Manifest, name: Path) -> None:
    """Raises NewerVersionError when the backup's tables are those of a later Perfhouse."""
    known = schema.migrations()[-1][0]
    if manifest.schema_version > known:
        raise NewerVersionError(
            f"{name} is at schema {manifest.schema_version} (written by Perfhouse "
            f"{manifest.perfhouse_version}); this is Perfhouse {VERSION}, which knows schema {known}",
            "Run the newer Perfhouse; nothing was changed.",
        )


def verify(archive: Archive, on_rows: Progress = lambda _: None) -> None:
    """Prove that the archive holds the rows the warehouse had, without building anything.

    `on_rows` hears of the rows read so far. Raises DamagedBackupError naming the part or table.
    """
    connection = store.in_memory()
    done = 0
    try:
        for name, table in archive.manifest.tables.items():
            unknown = [kind for kind in table.columns.values() if not is_exact(kind)]
            if unknown:
                raise _damaged(archive, f"{name} has a column of type {unknown[0]}")
            columns = ", ".join(cast(*column) for column in table.columns.items())
            found = rows = 0
            for part in table.parts:
                with _registered(connection, archive, part):
                    count, total = connection.execute(
                        f"SELECT count(*), {row_hash(table.columns)} FROM (SELECT {columns} FROM part)"
                    ).fetchall()[0]
                rows, found = rows + count, found + total
                done += part.rows
                on_rows(done)
            _compare(archive, name, (rows, found))
    except duckdb.Error as error:
        raise _damaged(archive, f"its rows cannot be read: {error}") from error
    finally:
        connection.close()


def build(archive: Archive, settings: Settings, on_rows: Progress = lambda _: None) -> None:
    """Load the archive into a new file at the backup's schema, prove it, then migrate it to the present.

    What an earlier attempt left is deleted. `on_rows` hears of the rows loaded so far. Raises
    NewerVersionError, DamagedBackupError naming the part or table, or StorageError; then no file is left.
    """
    manifest = archive.manifest
    refuse_newer(manifest, archive.path)
    counts = {name: table.rows for name, table in manifest.tables.items()}
    draft = settings.data_dir / DRAFT
    discard(draft)
    discard(ready_file(settings))
    try:
        connection = store.new_file(draft, settings, manifest.schema_version, counts)
        try:
            _load(connection, archive, on_rows)
            for name, value in manifest.sequences.items():
                connection.execute("SELECT setval(?, ?)", [name, value])
            store.migrate_to_present(connection)
        finally:
            connection.close()
        sync(draft)
        draft.replace(ready_file(settings))
    except duckdb.Error as error:
        discard(draft)
        raise StorageError(f"{draft}: {error}", "Look at free space; nothing was changed.") from error
    except BaseException:
        discard(draft)
        raise


def _load(connection: DuckDBPyConnection, archive: Archive, on_rows: Progress) -> None:
    manifest = archive.manifest
    if tables_of(connection) != {name: dict(table.columns) for name, table in manifest.tables.items()}:
        raise _damaged(archive, f"its tables are not those of schema {manifest.schema_version}")
    done = 0
    for name, table in manifest.tables.items():
        connection.execute(f'DELETE FROM "{name}"')
        names = ", ".join(f'"{column}"' for column in table.columns)
        columns = ", ".join(cast(*column) for column in table.columns.items())
        for part in table.parts:
            with _registered(connection, archive, part):
                connection.execute(f'INSERT INTO "{name}" ({names}) SELECT {columns} FROM part')
            done += part.rows
            on_rows(done)
        count = connection.execute(f'SELECT count(*) FROM "{name}"').fetchall()[0][0]
        _compare(archive, name, (count, hash_of(connection, name, table.columns)))


@contextmanager
def _registered(connection: DuckDBPyConnection, archive: Archive, part: Part) -> Iterator[None]:
    """The part's rows as the view `part`. Raises DamagedBackupError when they are not what was written."""
    content = archive.read(part)
    try:
        file = pyarrow.parquet.ParquetFile(pa.BufferReader(content))
        batches = file.iter_batches(ROWS_PER_BLOCK)
        connection.register("part", pa.RecordBatchReader.from_batches(file.schema_arrow, batches))
        try:
            yield
        finally:
            connection.unregister("part")
    except pa.ArrowException as error:
        raise _damaged(archive, f"{part.name} cannot be read: {error}") from error


def _compare(archive: Archive, name: str, found: tuple[int, int]) -> None:
    table = archive.manifest.tables[name]
    if found != (table.rows, int(table.row_hash)):
        raise _damaged(
            archive,
            f"table {name} holds {found[0]:,} rows with hash {found[1]}, "
            f"the warehouse held {table.rows:,} with {table.row_hash}",
        )


def _damaged(archive: Archive, what: str) -> DamagedBackupError:
    return DamagedBackupError(f"{archive.path}: {what}", "Use another backup; nothing was changed.")


def discard(file: Path) -> None:
    """Delete a warehouse file and its write-ahead log, where they are."""
    file.unlink(missing_ok=True)
    store.wal_of(file).unlink(missing_ok=True)


def held_rows(connection: DuckDBPyConnection) -> int:
    """Rows that are measurements or belong to them."""
    tables = [name for name in tables_of(connection) if name not in UNCOUNTED]
    counts = " + ".join(f'(SELECT count(*) FROM "{name}")' for name in tables)
    return int(connection.execute(f"SELECT {counts or 0}").fetchall()[0][0])


def place(settings: Settings, at: datetime, *, keep: bool) -> Path | None:
    """Make the restored file the warehouse's file, see `put_in_place`; where the one before it is kept."""
    present = settings.database_file
    kept = None
    if present.exists() and keep:
        time = f"{at:%Y%m%dT%H%M%S}.{at.microsecond // 1000:03}Z"
        kept = present.with_name(f"{present.stem}-replaced-{time}{present.suffix}")
    put_in_place(ready_file(settings), present, kept)
    return kept


def put_in_place(ready: Path, present: Path, kept: Path | None) -> None:
    """Make `ready` the warehouse's file `present`, in one step that a crash cannot halve. Both are closed.

    With `kept` the file it replaces stays under that name. It is a second link to it first, so that at every
    instant one whole file or the other is in place. A write-ahead log that nothing could fold in goes with
    the file it belongs to. Raises StorageError.
    """
    wal = store.wal_of(present)
    try:
        _forget_unfinished(present)
        if kept is not None:
            os.link(present, kept)
            if wal.exists():
                os.link(wal, store.wal_of(kept))
        wal.unlink(missing_ok=True)
        if store.acks_of(present).exists():
            os.truncate(store.acks_of(present), 0)
        ready.replace(present)
        sync(present.parent)
    except OSError as error:
        _forget_unfinished(present)
        raise StorageError(f"{present}: {error.strerror}", "Look at free space and permissions.") from error


def take_back(settings: Settings, kept: Path | None) -> None:
    """Undo `place`: the file that was kept is the warehouse's file again."""
    if kept is not None:
        if store.wal_of(kept).exists():
            store.wal_of(kept).replace(store.wal_of(settings.database_file))
        kept.replace(settings.database_file)


def _kept_files(present: Path) -> list[Path]:
    return list(present.parent.glob(f"{present.stem}-replaced-*{present.suffix}"))


def _forget_unfinished(present: Path) -> None:
    """Remove the second link that a killed restore left to the file still in use."""
    for link in _kept_files(present):
        if present.exists() and link.samefile(present):
            link.unlink()
            store.wal_of(link).unlink(missing_ok=True)


def sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
