"""The only file that opens DuckDB: the lock, the file, its migrations and its hardening."""

from __future__ import annotations

import fcntl
import logging
import os
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb

from warehouse import VERSION
from warehouse.errors import AlreadyRunningError, NewerVersionError, StorageError
from warehouse.model import now

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from warehouse.settings import Settings

log = logging.getLogger(__name__)

MIGRATIONS = Path(__file__).parent / "migrations"


def migrations(folder: Path = MIGRATIONS) -> list[tuple[int, str, str]]:
    """Every migration as (version, name, SQL), in order."""
    files = sorted(folder.glob("[0-9]*.sql"))
    return [(int(file.stem.partition("_")[0]), file.stem, file.read_text(encoding="utf-8")) for file in files]


class DataDirectoryLock:
    """One process per data directory, held by `flock` and so freed by the kernel even on kill -9."""

    def __init__(self, data_dir: Path) -> None:
        make_private(data_dir)
        self._path = data_dir / "warehouse.lock"
        self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = os.pread(self._descriptor, 32, 0).decode(errors="replace").strip() or "unknown"
            os.close(self._descriptor)
            raise AlreadyRunningError(
                f"the warehouse of {data_dir} is already open in process {owner}",
                "Stop that process first, or choose another data_dir.",
            ) from None
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, f"{os.getpid()}\n".encode(), 0)

    def release(self) -> None:
        """Let the next process in."""
        os.close(self._descriptor)


class Store:
    """The open DuckDB file. One per process; `cursor()` gives each thread its own connection."""

    def __init__(self, settings: Settings, folder: Path = MIGRATIONS) -> None:
        """Lock the data directory and open its file, creating or migrating it.

        Raises AlreadyRunningError, NewerVersionError (the file is left untouched) or StorageError.
        """
        os.umask(0o077)
        self._settings = settings
        self._migrations = migrations(folder)
        self._opening = threading.Lock()
        self.path = settings.database_file
        self._lock = DataDirectoryLock(settings.data_dir)
        try:
            self._refuse_newer()
            self._connection = self._open()
        except BaseException:
            self._lock.release()
            raise

    @property
    def schema_version(self) -> int:
        """The version of the tables, which is the number of the newest migration."""
        return self._migrations[-1][0]

    def cursor(self) -> DuckDBPyConnection:
        """A connection of one's own to the same file."""
        return self._connection.cursor()

    def sizes(self) -> tuple[int, int]:
        """Bytes of the database file and of its write-ahead log."""
        wal = wal_of(self.path)
        return (self.path.stat().st_size, wal.stat().st_size if wal.exists() else 0)

    def reopen(self) -> None:
        """Close and open again: the only way back after DuckDB declared the database invalidated."""
        with self._opening:
            try:
                self._connection.close()
            except duckdb.Error as error:
                log.warning("closing the warehouse file: %s", error)
            self._connection = self._open()

    def close(self) -> None:
        """Fold the write-ahead log into the file, close it and free the lock."""
        try:
            self._connection.execute("CHECKPOINT")
            self._connection.close()
        except duckdb.Error as error:
            log.warning("closing the warehouse file: %s", error)
        self._lock.release()

    def _refuse_newer(self) -> None:
        if not self.path.exists() or self.path.stat().st_size == 0:
            return
        try:
            with duckdb.connect(self.path, read_only=True) as probe:
                found, writer = _version_of(probe)
        except duckdb.Error as error:
            raise StorageError(f"{self.path}: {error}", "Restore a backup, or move the file away.") from error
        if found > self.schema_version:
            raise NewerVersionError(
                f"{self.path} is at schema {found} (written by Perfhouse {writer}); "
                f"this is Perfhouse {VERSION}, which knows schema {self.schema_version}",
                "Run the newer Perfhouse, or choose another data_dir. The file was not changed.",
            )

    def _open(self) -> DuckDBPyConnection:
        try:
            connection = duckdb.connect(self.path)
            _migrate(connection, self._migrations)
            _harden(connection, self._settings)
        except duckdb.Error as error:
            raise StorageError(
                f"{self.path}: {error}", "Look at free space and permissions, then start again."
            ) from error
        return connection


def new_file(path: Path, settings: Settings, version: int) -> DuckDBPyConnection:
    """A new warehouse file at an earlier (or the present) schema, apart from the one in use.

    Raises StorageError.
    """
    os.umask(0o077)
    steps = [step for step in migrations() if step[0] <= version]
    try:
        connection = duckdb.connect(path)
        _migrate(connection, steps)
        _harden(connection, settings)
    except duckdb.Error as error:
        raise StorageError(f"{path}: {error}", "Look at free space and permissions.") from error
    return connection


def migrate(connection: DuckDBPyConnection) -> None:
    """Bring a file that `new_file` made to the present schema, and fold its write-ahead log in."""
    _migrate(connection, migrations())
    connection.execute("CHECKPOINT")


def read_only(path: Path, settings: Settings) -> DuckDBPyConnection:
    """A warehouse file that no process has open, at whatever schema it is. Raises StorageError."""
    try:
        connection = duckdb.connect(path, read_only=True)
        _harden(connection, settings)
    except duckdb.Error as error:
        raise StorageError(f"{path}: {error}", "Restore a backup, or move the file away.") from error
    return connection


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


def make_private(directory: Path) -> None:
    """Create a directory for one's own eyes (0700), parents included."""
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    directory.chmod(0o700)


def _version_of(connection: DuckDBPyConnection) -> tuple[int, str]:
    known = connection.execute(
        "SELECT count(*) FROM information_schema.tables WHERE table_name = 'migration'"
    ).fetchall()[0][0]
    if not known:
        return (0, "nobody")
    rows = connection.execute(
        "SELECT version, perfhouse_version FROM migration ORDER BY version DESC LIMIT 1"
    ).fetchall()
    return (int(rows[0][0]), str(rows[0][1])) if rows else (0, "nobody")


def _migrate(connection: DuckDBPyConnection, steps: list[tuple[int, str, str]]) -> None:
    """Run what is missing: each step in a transaction of its own, then a checkpoint."""
    found, _ = _version_of(connection)
    if found == 0:
        connection.execute(
            "CREATE TABLE IF NOT EXISTS migration (version INTEGER PRIMARY KEY, name VARCHAR NOT NULL, "
            "perfhouse_version VARCHAR NOT NULL, applied_at TIMESTAMP_MS NOT NULL)"
        )
    for version, name, sql in steps:
        if version <= found:
            continue
        connection.execute("BEGIN")
        try:
            connection.execute(sql)
            connection.execute(
                "INSERT INTO migration VALUES (?, ?, ?, ?)",
                [version, name, VERSION, now().replace(tzinfo=None)],
            )
            connection.execute("COMMIT")
        except duckdb.Error:
            connection.execute("ROLLBACK")
            raise
        connection.execute("CHECKPOINT")
        log.info("migrated the warehouse to %s", name)


def _harden(connection: DuckDBPyConnection, settings: Settings) -> None:
    """Bound memory and threads, then shut the file system and the configuration."""
    spill = settings.data_dir / "spill"
    make_private(spill)
    connection.execute("SET temp_directory = ?", [str(spill)])
    connection.execute("SET memory_limit = ?", [f"{settings.warehouse.memory_limit_mb}MB"])
    connection.execute("SET TimeZone = 'UTC'")
    connection.execute("SET autoinstall_known_extensions = false")
    connection.execute("SET autoload_known_extensions = false")
    connection.execute("SET enable_external_access = false")
    connection.execute("SET lock_configuration = true")
