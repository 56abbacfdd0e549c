"""Makes a file with a damaged write-ahead log openable again; whatever is cut off is kept aside."""

from __future__ import annotations

import os
import re
import shutil
from datetime import datetime
from pathlib import Path

from warehouse.errors import StorageError
from warehouse.lock import make_private

_DAMAGED_LOG = re.compile(
    r"Corrupt WAL|database identifier in header|does not match (the )?database file"
    r"|Failed to decode LEB128|Invalid WAL entry type"
)
_POSITION = re.compile(r"byte position (\d+)")
_DAMAGED_FILE = re.compile(
    r"Corrupt database file|not a valid DuckDB database file|attempted to read \d+ bytes from location"
)

MEND_FILE = (
    "The file is damaged. `perfhouse verify` tells how far; restore a backup, or move the file away "
    "to begin with an empty one."
)
LOOK = "Look at the disk's free space, health and permissions."


def storage_error(error: Exception, file: Path | None = None) -> StorageError:
    """What DuckDB or the disk said, with what to do."""
    damaged = _DAMAGED_FILE.search(str(error))
    return StorageError(f"{file}: {error}" if file else str(error), MEND_FILE if damaged else LOOK)


def sound_bytes(error: Exception) -> int | None:
    """Up to which byte the log is sound, as the error of opening tells; None when it is not the log.

    A log of another DuckDB's version is none to cut: that version can read it.
    """
    text = str(error)
    if "WAL" not in text or not _DAMAGED_LOG.search(text):
        return None
    position = _POSITION.search(text)
    return int(position.group(1)) if position else 0


def set_aside(file: Path, data_dir: Path, at: datetime) -> Path:
    """Copy a file into the quarantine, on the disk when this returns. Raises StorageError."""
    folder = data_dir / "quarantine"
    target = folder / f"{at:%Y%m%dT%H%M%S.%fZ}-{file.name}"
    try:
        make_private(folder)
        shutil.copyfile(file, target)
        target.chmod(0o600)
        _sync(target)
        _sync(folder)
    except OSError as error:
        target.unlink(missing_ok=True)
        raise StorageError(
            f"{file} is damaged and cannot be copied to {folder}: {error.strerror}",
            f"Free {file.stat().st_size / 1e6:.0f} MB; then it can be opened. Nothing was changed.",
        ) from error
    return target


def cut(log_file: Path, length: int) -> None:
    """Shorten the log to its sound part. Raises StorageError."""
    try:
        os.truncate(log_file, length)
        _sync(log_file)
    except OSError as error:
        raise StorageError(f"{log_file} cannot be shortened: {error.strerror}") from error


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
