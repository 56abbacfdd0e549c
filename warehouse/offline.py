"""The warehouse's file while no warehouse runs: held for oneself, looked into, replaced."""

from __future__ import annotations

import fcntl
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from warehouse import restore, store
from warehouse.errors import AlreadyRunningError, StorageError
from warehouse.lock import DataDirectoryLock
from warehouse.model import now

if TYPE_CHECKING:
    from warehouse.settings import Settings

log = logging.getLogger(__name__)


@contextmanager
def holding(settings: Settings) -> Iterator[bool]:
    """Hold the data directory, so that no warehouse starts meanwhile; False when one runs already.

    Raises StorageError when the directory is not ours to use.
    """
    _refuse_foreign(settings.data_dir)
    try:
        lock = DataDirectoryLock(settings.data_dir)
    except AlreadyRunningError:
        yield False
        return
    except OSError as error:
        raise StorageError(f"{settings.data_dir}: {error.strerror}", "Look at its permissions.") from None
    try:
        yield True
    finally:
        lock.release()


@contextmanager
def restoring(settings: Settings) -> Iterator[None]:
    """Be the only restore into the data directory, which must exist. Raises AlreadyRunningError."""
    descriptor = os.open(settings.data_dir / "restore.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        where = settings.data_dir
        raise AlreadyRunningError(f"a restore into {where} runs already", "Wait for its end.") from None
    finally:
        os.close(descriptor)


def held_rows(settings: Settings) -> int | None:
    """Rows of measurements in the file; 0 where there is no file, None where it cannot be read."""
    file = settings.database_file
    if not file.exists() or file.stat().st_size == 0:
        return 0
    try:
        connection = store.read_only(file, settings)
    except StorageError as error:
        log.warning("%s", error)
        return None
    try:
        return restore.held_rows(connection)
    finally:
        connection.close()


def put(settings: Settings) -> Path | None:
    """Make the restored file the warehouse's; returns where the file it replaces is kept.

    Raises StorageError.
    """
    held = held_rows(settings)
    if held is not None:
        store.fold(settings.database_file)
    return restore.place(settings, now(), keep=held != 0)


def _refuse_foreign(data_dir: Path) -> None:
    """Files made by another user, root above all, are files the warehouse cannot open."""
    if data_dir.exists() and data_dir.stat().st_uid != os.geteuid():
        raise StorageError(
            f"{data_dir} belongs to user {data_dir.owner()}",
            f"Run this as that user: sudo -u {data_dir.owner()} ...",
        )
