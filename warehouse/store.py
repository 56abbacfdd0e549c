"""The only file that opens DuckDB: for writing, for reading where that is all the disk allows, and again."""

from __future__ import annotations

import logging
import os
import threading
import weakref
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import duckdb

from warehouse import VERSION, salvage, schema
from warehouse.acks import Acks, Loss, missing
from warehouse.acks import read as read_acks
from warehouse.errors import NewerVersionError, PerfhouseError, StorageError
from warehouse.leases import PATIENCE_S, Lease
from warehouse.lock import DataDirectoryLock, make_private
from warehouse.model import now
from warehouse.room import Room
from warehouse.schema import MIGRATIONS, migrate, version_of
from warehouse.simulated import is_simulated
from warehouse.stand import Stand

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from warehouse.footprint import Footprint
    from warehouse.settings import Settings

log = logging.getLogger(__name__)

GATE_S = 5.0
"""How long a question waits while the file is being opened again."""

MOST_CUTS = 8
"""How often the log may be found damaged while it is opened once."""


APART_MB = 64
"""Memory for a file that is written apart from the one in use; twice that where one is read."""

KEY_BYTES = 150
"""Memory that one row's key takes in an index, which DuckDB cannot spill (75 measured)."""

T = TypeVar("T")


class Store:
    """The open DuckDB file. One per process.

    `lend` gives each question a connection of its own, `cursor` one that is closed under its holder
    when the file is opened again. Not for two threads that open and close it.
    """

    def __init__(self, settings: Settings, folder: Path = MIGRATIONS) -> None:
        """Lock the data directory and open its file, creating, mending or migrating it.

        Where the file can be read but not written, `writable` is False and `trouble` tells why. Raises
        AlreadyRunningError, NewerVersionError (the file is left untouched) or StorageError.
        """
        os.umask(0o077)
        self.settings = settings
        self._steps = schema.migrations(folder)
        self._gate = threading.Lock()
        self._leases: set[Lease] = set()
        self._cursors: weakref.WeakSet[DuckDBPyConnection] = weakref.WeakSet()
        self._connection: DuckDBPyConnection | None = None
        self._damage: list[str] = []
        self.path = settings.database_file
        self.losses: list[Loss] = []
        self.writable = False
        self.trouble = ""
        self.suspicion = ""
        self.simulated = False
        self.generation = 0
        """Counts how often the file was closed: what was read before may be of another file."""
        self.stand = Stand()
        """How sealed time stands in the file that is open."""
        self.footprint: Footprint | None = None
        """What the tables take, once it was measured."""
        self.heard: dict[str, datetime] = {}
        """When each source last sent a batch (UTC, naive), whether it could be stored or not."""
        self._lock = DataDirectoryLock(settings.data_dir)
        try:
            self._refuse_newer()
            with self._told():
                self.acks = Acks(acks_of(self.path))
            self._open_somehow()
        except BaseException:
            self._lock.release()
            raise

    @property
    def schema_version(self) -> int:
        """The version of the tables, which is the number of the newest migration."""
        return self._steps[-1][0]

    @property
    def wal(self) -> Path:
        """The write-ahead log: what was committed and is not yet folded into the file."""
        return wal_of(self.path)

    @property
    def readable(self) -> bool:
        """Whether questions can be answered."""
        return self._connection is not None

    def sizes(self) -> tuple[int, int]:
        """Bytes of the database file and of its write-ahead log."""
        return (_size(self.path), _size(self.wal))

    def foresight(self) -> dict[str, object]:
        """What the question `storage` binds: each table's bytes and growth, and when the disk fills."""
        known = self.footprint
        tables = known.tables if known else {}
        warehouse = self.settings.warehouse
        try:
            space = Room(self.path.parent, warehouse.reserve_mb).look()
        except StorageError:
            space = None
        fills_at = None
        if known and space:
            room = max(0, space.free - space.reserve)
            fills_at = known.fills_at(room, self.settings.retention.raw_days)
        return {
            "tables": list(tables),
            "bytes": [table.bytes for table in tables.values()],
            "bytes_per_row": [table.bytes_per_row for table in tables.values()],
            "rows_per_day": [table.rows_per_day for table in tables.values()],
            "measured_at": known.measured_at if known else None,
            "grows": known.bytes_per_day if known else None,
            "free_bytes": space.free if space else None,
            "fills_at": fills_at,
        }

    def cursor(self) -> DuckDBPyConnection:
        """A connection of one's own. Raises StorageError while the file cannot be read."""
        with self._open() as connection:
            cursor = connection.cursor()
            self._cursors.add(cursor)
            return cursor

    @contextmanager
    def lend(self) -> Iterator[Lease]:
        """A connection of one's own that can be called back. Raises StorageError as `cursor` does."""
        with self._open() as connection:
            lease = Lease(connection.cursor())
            self._leases.add(lease)
        try:
            yield lease
        finally:
            lease.end()
            self._leases.discard(lease)

    def suspect(self, error: duckdb.Error) -> None:
        """Note that a question found the database invalidated: it must be opened again."""
        self.suspicion = str(error)

    def reopen(self) -> None:
        """Close everything and open for writing, with all that is in the log folded into the file.

        That is the only way back after DuckDB declared the database invalidated, and what was found in
        the log after a failure is on the disk only then. Where it fails the file is opened for reading,
        and StorageError says why it cannot be written; `losses` tells what was not found again.
        """
        with self._gate:
            self._reopen()

    def exchange(self, place: Callable[[], T], take_back: Callable[[T], None]) -> T:
        """Close everything, let `place` put another file in the place of this one, and open that.

        Where that cannot be opened, `take_back` undoes what `place` did. Raises StorageError, with the
        file that was open before open again as far as that goes.
        """
        with self._gate:
            self._fold()
            self._close_all()
            try:
                placed = place()
            except BaseException:
                self._reopen()
                raise
            try:
                self._reopen()
            except StorageError:
                take_back(placed)
                self._reopen()
                raise
            return placed

    def _reopen(self) -> None:
        self._close_all()
        self.suspicion = ""
        try:
            self._connection = self._open_for_writing()
        except StorageError as error:
            self.trouble = error.message
            self._connection = self._open_for_reading()
            raise
        self.writable, self.trouble = True, ""

    def _open_somehow(self) -> None:
        """For writing, else for reading alone. Raises StorageError where neither works."""
        try:
            self.reopen()
        except StorageError as error:
            if self._connection is None:
                raise
            log.warning("%s; the file is read only until it can be written", error)

    def reopen_for_reading(self) -> None:
        """Close everything and open for reading alone, what is in the log included, if that can be."""
        with self._gate:
            self._close_all()
            self.suspicion = ""
            self._connection = self._open_for_reading()

    def close(self) -> None:
        """Fold the write-ahead log into the file, close it and free the lock."""
        with self._gate:
            self._fold()
            self._close_all()
        self.acks.close()
        self._lock.release()

    def _fold(self) -> None:
        """Fold the write-ahead log into the file, if that can be."""
        try:
            if self.writable and self._connection is not None:
                self._connection.execute("CHECKPOINT")
                self.acks.clear()
        except duckdb.Error as error:
            log.warning("closing the warehouse file: %s", error)

    @contextmanager
    def _open(self) -> Iterator[DuckDBPyConnection]:
        """The first connection, which is not closed meanwhile."""
        if not self._gate.acquire(timeout=GATE_S):
            raise StorageError("the warehouse opens its file again", "Ask again in a moment.")
        try:
            if self._connection is None:
                raise StorageError(f"the warehouse file cannot be read: {self.trouble}", salvage.LOOK)
            yield self._connection
        except duckdb.Error as error:
            raise StorageError(f"the warehouse file cannot be read: {error}", salvage.LOOK) from error
        finally:
            self._gate.release()

    def _close_all(self) -> None:
        """Close every connection: an invalidated database stays so while one of them lives."""
        self.generation += 1
        self.stand.move()
        self.writable = False
        for lease in list(self._leases):
            lease.end(PATIENCE_S)
        for each in [*self._cursors, self._connection]:
            try:
                if each is not None:
                    each.close()
            except duckdb.Error as error:
                log.warning("closing the warehouse file: %s", error)
        self._cursors.clear()
        self._connection = None

    def _refuse_newer(self) -> None:
        if _size(self.path) == 0:
            return
        with self._told():
            probe = self._connect(read_only=True)
            try:
                found, writer = version_of(probe)
            finally:
                probe.close()
        if found > self.schema_version:
            raise NewerVersionError(
                f"{self.path} is at schema {found} (written by Perfhouse {writer}); "
                f"this is Perfhouse {VERSION}, which knows schema {self.schema_version}",
                "Run the newer Perfhouse, or choose another data_dir. The file was not changed.",
            )

    def _open_for_writing(self) -> DuckDBPyConnection:
        with self._told():
            connection = self._connect()
            try:
                migrate(connection, self._steps)
                self._settle(connection)
                self.simulated = is_simulated(connection)
                _harden(connection, self.settings)
            except BaseException:
                _close(connection)
                raise
        return connection

    def _settle(self, connection: DuckDBPyConnection) -> None:
        """Find out what was lost, then fold the log into the file, forced to the disk."""
        lost = missing(connection, read_acks(self.acks.path))
        if lost and not self._damage:
            why = "the write-ahead log does not hold all that was acknowledged"
            aside = salvage.set_aside(self.wal, self.settings.data_dir, now()) if _size(self.wal) else None
            self._damage.append(
                f"{why} (it is kept as {aside})" if aside else f"{why}, it is missing or empty"
            )
        connection.execute("CHECKPOINT")
        if self._damage:
            loss = Loss(", ".join(self._damage), lost, known=self.acks.existed)
            log.error("%s", loss.text)
            self.losses.append(loss)
            self._damage.clear()
        self.acks.clear()

    def _open_for_reading(self) -> DuckDBPyConnection | None:
        """The file as it is, its log replayed in memory; None when it cannot even be read."""
        if _size(self.path) == 0:
            return None
        try:
            connection = self._connect(read_only=True)
            try:
                found, _ = version_of(connection)
                if found == self.schema_version:
                    self.simulated = is_simulated(connection)
                    _harden(connection, self.settings)
                    return connection
            except BaseException:
                _close(connection)
                raise
            _close(connection)
        except (duckdb.Error, PerfhouseError, OSError) as error:
            log.warning("the warehouse file cannot be read: %s", error)
        return None

    def _connect(self, *, read_only: bool = False) -> DuckDBPyConnection:
        """Open the file; what is damaged in its log is set aside and cut off."""
        for _ in range(MOST_CUTS):
            try:
                return duckdb.connect(self.path, read_only=read_only)
            except duckdb.Error as error:
                sound = salvage.sound_bytes(error)
                if sound is None:
                    raise
                aside = salvage.set_aside(self.wal, self.settings.data_dir, now())
                salvage.cut(self.wal, sound)
                told = f"the write-ahead log was damaged at byte {sound} of {_size(aside)}"
                self._damage.append(f"{told} and cut there (it is kept as {aside})")
                log.warning("%s: %s", self._damage[-1], error)
        raise StorageError(f"{self.wal} is damaged again and again", salvage.LOOK)

    @contextmanager
    def _told(self) -> Iterator[None]:
        """DuckDB's errors as ours, with what to do."""
        try:
            yield
        except (duckdb.Error, OSError) as error:
            raise salvage.storage_error(error, self.path) from error


def new_file(path: Path, settings: Settings, version: int, rows: Mapping[str, int]) -> DuckDBPyConnection:
    """A new warehouse file at an earlier (or the present) schema, apart from the one in use.

    It gets little memory, but enough for the keys of so many `rows` per table. Raises StorageError.
    """
    os.umask(0o077)
    steps = [step for step in schema.migrations() if step[0] <= version]
    try:
        connection = duckdb.connect(path)
        migrate(connection, steps)
        keyed = connection.execute(
            "SELECT table_name FROM duckdb_constraints() WHERE constraint_type IN ('PRIMARY KEY', 'UNIQUE')"
        ).fetchall()
        keys = sum(rows.get(table, 0) for (table,) in keyed)
        _harden(connection, settings, APART_MB + keys * KEY_BYTES // 1_000_000)
    except duckdb.Error as error:
        raise StorageError(f"{path}: {error}", "Look at free space and permissions.") from error
    return connection


def migrate_to_present(connection: DuckDBPyConnection) -> None:
    """Bring a file that `new_file` made to the present schema, and fold its write-ahead log in."""
    migrate(connection, schema.migrations())
    connection.execute("CHECKPOINT")


def read_only(path: Path, settings: Settings) -> DuckDBPyConnection:
    """A warehouse file that no process has open, at whatever schema it is. Raises StorageError."""
    try:
        connection = duckdb.connect(path, read_only=True)
        _harden(connection, settings, 2 * APART_MB)
    except duckdb.Error as error:
        raise StorageError(f"{path}: {error}", "Restore a backup, or move the file away.") from error
    return connection


def version_of_file(path: Path, settings: Settings) -> int:
    """The schema of a warehouse file that no process has open. Raises StorageError."""
    connection = read_only(path, settings)
    try:
        return version_of(connection)[0]
    finally:
        _close(connection)


def in_memory() -> DuckDBPyConnection:
    """A database of no file, to compute in; it reaches no file either."""
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    connection.execute("SET enable_external_access = false")
    connection.execute("SET lock_configuration = true")
    return connection


def fold(path: Path) -> None:
    """Fold the write-ahead log into a warehouse file that no process has open. Raises StorageError."""
    try:
        with duckdb.connect(path) as connection:
            connection.execute("CHECKPOINT")
    except duckdb.Error as error:
        raise StorageError(f"{path}: {error}") from error


def wal_of(path: Path) -> Path:
    """The write-ahead log of a warehouse file."""
    return path.with_name(path.name + ".wal")


def acks_of(path: Path) -> Path:
    """The record of what was acknowledged and stands in that log alone."""
    return path.with_name(path.name + ".acks")


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except OSError:
        return 0


def _close(connection: DuckDBPyConnection) -> None:
    try:
        connection.close()
    except duckdb.Error as error:
        log.warning("closing the warehouse file: %s", error)


def _harden(connection: DuckDBPyConnection, settings: Settings, memory_mb: int | None = None) -> None:
    """Bound memory, to less than the setting where that is enough; shut the file system and the settings."""
    most_mb = settings.warehouse.memory_limit_mb
    spill = settings.data_dir / "spill"
    make_private(spill)
    connection.execute("SET temp_directory = ?", [str(spill)])
    connection.execute("SET memory_limit = ?", [f"{min(memory_mb or most_mb, most_mb)}MB"])
    connection.execute("SET TimeZone = 'UTC'")
    connection.execute("SET autoinstall_known_extensions = false")
    connection.execute("SET autoload_known_extensions = false")
    connection.execute("SET enable_external_access = false")
    connection.execute("SET allowed_configs = ['memory_limit']")  # what `sweep` needs
    connection.execute("SET lock_configuration = true")
