"""How much room the disk has, and how much of it is kept in reserve."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from warehouse.errors import StorageError

MB = 1_000_000

MOST_OF_DISK = 10
"""The reserve is at most one such part of the disk: a small disk must not be all reserve."""

AGAIN = 1.05
"""Writing goes on at so many times the reserve, so that it does not stop and go at the limit."""

PROBE_BYTES = 65_536


@dataclass(frozen=True)
class Space:
    """What the disk has at one moment, in bytes."""

    free: int
    reserve: int

    def suffices(self, *, stopped: bool = False) -> bool:
        """Whether there is room to write; to begin again there must be a little more."""
        return self.free >= self.reserve * (AGAIN if stopped else 1)

    @property
    def text(self) -> str:
        """`120 MB free, 512 MB are kept in reserve`."""
        return f"{_size(self.free)} free, {_size(self.reserve)} are kept in reserve"


class Room:
    """The disk of one directory."""

    def __init__(self, directory: Path, reserve_mb: int) -> None:
        """`reserve_mb` is what shall stay free, as long as the disk is ten times as large."""
        self._directory = directory
        self._reserve = reserve_mb * MB

    def look(self) -> Space:
        """How much is free now for who runs this, and how much shall stay free. Raises StorageError."""
        try:
            disk = shutil.disk_usage(self._directory)
        except OSError as error:
            raise StorageError(f"{self._directory} cannot be looked at: {error.strerror}") from error
        return Space(disk.free, min(self._reserve, disk.total // MOST_OF_DISK))

    def probe(self) -> None:
        """Raises StorageError unless there is room and a little can be written and forced to the disk."""
        space = self.look()
        if not space.suffices(stopped=True):
            raise StorageError(space.text)
        file = self._directory / "write.probe"
        try:
            descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
            try:
                os.write(descriptor, bytes(PROBE_BYTES))
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
                file.unlink()
        except OSError as error:
            raise StorageError(f"{self._directory} cannot be written: {error.strerror}") from error


def _size(count: int) -> str:
    """Whole MB, or tenths where there are less than 10."""
    return f"{count / MB:.0f} MB" if count >= 10 * MB else f"{count / MB:.1f} MB"
