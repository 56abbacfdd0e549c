"""One process per data directory, and its folders for one's own eyes."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from warehouse.errors import AlreadyRunningError


class DataDirectoryLock:
    """Held by `flock`, and so freed by the kernel even on kill -9."""

    def __init__(self, data_dir: Path) -> None:
        """Take it. Raises AlreadyRunningError naming the process that holds it."""
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
        self._note_owner()

    def _note_owner(self) -> None:
        """Write whose it is, for the words of those who come second; a full disk does not hinder."""
        owner = f"{os.getpid()}\n".encode()
        try:
            os.pwrite(self._descriptor, owner, 0)
            os.ftruncate(self._descriptor, len(owner))
        except OSError:
            return

    def release(self) -> None:
        """Let the next process in."""
        os.close(self._descriptor)


def make_private(directory: Path) -> None:
    """Create a directory for one's own eyes (0700), parents included."""
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    directory.chmod(0o700)
