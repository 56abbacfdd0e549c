"""One daemon per spool directory."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from warehouse.errors import AlreadyRunningError


class Lock:
    """One process per spool, held by `flock` and so freed by the kernel even on kill -9."""

    def __init__(self, directory: Path) -> None:
        """Raises AlreadyRunningError naming the process that holds it."""
        self._descriptor = os.open(directory / "daemon.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = os.pread(self._descriptor, 32, 0).decode(errors="replace").strip() or "unknown"
            os.close(self._descriptor)
            raise AlreadyRunningError(
                f"the collectors of {directory} already run in process {owner}",
                "Stop that process first, or choose another data_dir.",
            ) from None
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, f"{os.getpid()}\n".encode(), 0)

    def release(self) -> None:
        """Let the next process in."""
        os.close(self._descriptor)
