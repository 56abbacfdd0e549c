"""A file of rows that is written through memory: what was appended outlives any death of its process."""

from __future__ import annotations

import mmap
import os
from pathlib import Path

from loadtests.spool_format import REST, ROW_BYTES, START, used

pack_rest, pack_start = REST.pack_into, START.pack_into

CHUNK_BYTES = 8192 * ROW_BYTES
"""Room is taken by so much at once: rows of zeros that readers leave out, cut off at the end."""


class RowFile:
    """Appends to one file, going on where a writer before ended. Nobody else may be writing to it.

    A row costs two stores into a page that the kernel keeps when the process dies, and not a call of the
    kernel, which took a tenth of what a request takes (`bench/results.md`). Room is allocated before it
    is written, so that a full disk is an error and not a signal.
    """

    def __init__(self, file: Path) -> None:
        """Raises OSError."""
        self._file = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._base = _end(self._file)
        self._at = self._limit = 0
        self._room = mmap.mmap(-1, mmap.PAGESIZE)

    def append(
        self,
        start_us: int,
        wait_us: int,
        service_us: int,
        length: int,
        user: int,
        status: int,
        endpoint: int,
        error: int,
        outcome: int,
        part: int,
    ) -> None:
        """Append a row, whose `start_us` is not 0. Raises OSError when there is no room for it."""
        at = self._at
        if at == self._limit:
            at = self._grow()
        room = self._room
        pack_rest(room, at + 8, wait_us, service_us, length, user, status, endpoint, error, outcome, part)
        pack_start(room, at, start_us)
        self._at = at + ROW_BYTES

    def close(self) -> None:
        """Cut off the room that was not needed; what is appended later finds none."""
        if self._file < 0:
            return
        end = self._base + self._at
        self._room.close()
        self._at = self._limit = 0
        os.ftruncate(self._file, end)
        os.close(self._file)
        self._file = -1

    def _grow(self) -> int:
        """Map the next piece of the file; where in it the next row goes."""
        end = self._base + self._at
        base = end // mmap.ALLOCATIONGRANULARITY * mmap.ALLOCATIONGRANULARITY
        os.posix_fallocate(self._file, base, CHUNK_BYTES)
        room = mmap.mmap(self._file, CHUNK_BYTES, offset=base)
        self._room.close()
        self._room, self._base, self._at, self._limit = room, base, end - base, CHUNK_BYTES
        return self._at


def _end(file: int) -> int:
    """Where the rows end that a writer before left: it may have died before it cut off its room."""
    begin = os.fstat(file).st_size // ROW_BYTES * ROW_BYTES
    length = 0
    while begin and not length:
        begin, before = max(0, begin - CHUNK_BYTES), begin
        length = used(os.pread(file, before - begin, begin))
    return begin + length
