"""A bounded queue of batches on disk: one file each, oldest first, safe against crashes and threads."""

from __future__ import annotations

import errno
import logging
import os
import re
import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from collectors.lock import Lock
from warehouse.errors import StorageError

log = logging.getLogger(__name__)

BLOCK_BYTES = 4096
"""What a file takes on disk is counted in these."""

REFUSED_SHARE = 10
"""What the warehouse refused is kept for a look, up to the bound divided by this."""

LEAST_SLACK = 8 * BLOCK_BYTES
SLACK_SHARE = 100
"""At the bound so much more is freed (the bound divided by this), that the word of the loss finds room."""

FULL = "the spool is full"

GONE = (errno.ENOENT, errno.EIO)
"""Errors after which a file will never be read."""

_NAME = re.compile(r"(\d{12,})_([0-9A-Za-z.:-]{8,100})_(\d+)_(\d+)_(\d+)_(\d+)\.batch")
_DRAFT = ".part"


OnDrop = Callable[[Sequence["Entry"], str], None]
"""Hears of batches that are dropped, and why."""


class SpoolError(StorageError):
    """The spool's directory cannot be used."""

    title = "The collectors cannot use their spool"


@dataclass(frozen=True)
class Packed:
    """A batch as the bytes that are sent, and what is lost with it.

    `rows` are the measurements in it; `missed` are these and those whose absence it tells of.
    """

    batch_id: str
    body: bytes
    rows: int
    missed: int
    first: datetime
    last: datetime


@dataclass(frozen=True)
class Entry:
    """A batch in the spool: everything but its body, told by the file's name and size."""

    sequence: int
    batch_id: str
    rows: int
    missed: int
    first_ms: int
    last_ms: int
    size: int

    @property
    def name(self) -> str:
        """The file's name; names sort in the order of arrival."""
        parts = (self.batch_id, self.rows, self.missed, self.first_ms, self.last_ms)
        return "_".join([f"{self.sequence:012d}", *map(str, parts)]) + ".batch"

    @property
    def disk_bytes(self) -> int:
        """Whole blocks."""
        return -(-self.size // BLOCK_BYTES) * BLOCK_BYTES

    @property
    def first(self) -> datetime:
        """The earliest instant its rows speak of."""
        return datetime.fromtimestamp(self.first_ms / 1000, UTC)

    @property
    def last(self) -> datetime:
        """The latest instant its rows speak of."""
        return datetime.fromtimestamp(self.last_ms / 1000, UTC)


class Spool:
    """Keeps what `put` took until `settle` or `set_aside`; at the bound the oldest are dropped."""

    def __init__(self, directory: Path, most_bytes: int, on_drop: OnDrop = lambda *_: None) -> None:
        """Open or create the spool. `on_drop` hears of all that is dropped.

        Raises AlreadyRunningError or SpoolError.
        """
        self.directory = directory
        self.refused_directory = directory / "refused"
        self.dropped_rows = 0
        self.refused_rows = 0
        self._most_bytes = most_bytes
        self._on_drop = on_drop
        self._slack = max(LEAST_SLACK, most_bytes // SLACK_SHARE)
        self._changed = threading.Condition(threading.RLock())
        self._claimed: Entry | None = None
        try:
            for folder in (directory, self.refused_directory):
                folder.mkdir(parents=True, exist_ok=True, mode=0o700)
                folder.chmod(0o700)
            self._lock = Lock(directory)
            for draft in directory.glob(f"*{_DRAFT}"):
                draft.unlink()
            self._entries = deque(_entries_in(directory))
            self._refused = deque(_entries_in(self.refused_directory))
        except OSError as error:
            raise SpoolError(
                f"{directory}: {error.strerror}", "Look at its owner, permissions and free space."
            ) from None
        self._bytes = sum(entry.disk_bytes for entry in self._entries)
        self._next = 1 + max((entry.sequence for entry in (*self._entries, *self._refused)), default=0)
        self._make_room(0)

    @property
    def batches(self) -> int:
        """Batches that wait."""
        return len(self._entries)

    @property
    def disk_bytes(self) -> int:
        """Disk space of the batches that wait."""
        return self._bytes

    def put(self, packed: Packed) -> None:
        """Store a batch durably as the newest. Raises OSError; then nothing of it is kept."""
        with self._changed:
            entry = Entry(
                self._next,
                packed.batch_id,
                packed.rows,
                packed.missed,
                _millis(packed.first),
                _millis(packed.last),
                len(packed.body),
            )
            self._make_room(entry.disk_bytes)
            if self._bytes + entry.disk_bytes > self._most_bytes:
                self._tell_dropped([entry], FULL)
                return
        # Written without the lock, so that shipping goes on; only one thread puts.
        _write_durably(self.directory / entry.name, packed.body)
        with self._changed:
            self._next += 1
            self._entries.append(entry)
            self._bytes += entry.disk_bytes
            self._changed.notify_all()

    def claim(self, wait_s: float = 0.0) -> Entry | None:
        """The oldest batch, which is not dropped until settled, set aside or released."""
        with self._changed:
            if not self._entries:
                self._changed.wait(wait_s)
            self._claimed = self._entries[0] if self._entries else None
            return self._claimed

    def read(self, entry: Entry) -> bytes | None:
        """The body of a claimed batch. Where it can never be read it is dropped: None."""
        try:
            return (self.directory / entry.name).read_bytes()
        except OSError as error:
            if error.errno not in GONE:
                raise
            log.warning("%s cannot be read (%s): dropped", entry.name, error.strerror)
        with self._changed:
            self._forget(entry)
            self._tell_dropped([entry], "a batch in the spool cannot be read")
        return None

    def settle(self, entry: Entry) -> None:
        """Delete a claimed batch: the warehouse has it."""
        with self._changed:
            self._forget(entry)
            _unlink(self.directory / entry.name)

    def release(self, entry: Entry) -> None:
        """Leave a claimed batch where it was."""
        with self._changed:
            if self._claimed == entry:
                self._claimed = None

    def set_aside(self, entry: Entry) -> None:
        """Move a claimed batch to refused/, where the oldest make room for the newest."""
        with self._changed:
            self._forget(entry)
            self.refused_rows += entry.rows
            try:
                (self.directory / entry.name).rename(self.refused_directory / entry.name)
            except OSError as error:
                log.warning("%s cannot be set aside (%s): deleted", entry.name, error.strerror)
                _unlink(self.directory / entry.name)
                return
            self._refused.append(entry)
            most = self._most_bytes // REFUSED_SHARE
            while sum(kept.disk_bytes for kept in self._refused) > most:
                _unlink(self.refused_directory / self._refused.popleft().name)

    def wait_empty(self, most_s: float) -> None:
        """Wait until no batch is left, or so long."""
        with self._changed:
            self._changed.wait_for(lambda: not self._entries, most_s)

    def close(self) -> None:
        """Let the next process in."""
        self._lock.release()

    def _make_room(self, wanted: int) -> None:
        """When `wanted` bytes do not fit, drop the oldest, but not the one that is on its way."""
        if self._bytes + wanted <= self._most_bytes:
            return
        dropped = []
        for entry in [entry for entry in self._entries if entry != self._claimed]:
            if self._bytes + wanted + self._slack <= self._most_bytes:
                break
            self._entries.remove(entry)
            self._bytes -= entry.disk_bytes
            _unlink(self.directory / entry.name)
            dropped.append(entry)
        if dropped:
            self._tell_dropped(dropped, FULL)

    def _forget(self, entry: Entry) -> None:
        self._entries.remove(entry)
        self._bytes -= entry.disk_bytes
        self._claimed = None
        self._changed.notify_all()

    def _tell_dropped(self, entries: Sequence[Entry], why: str) -> None:
        self.dropped_rows += sum(entry.rows for entry in entries)
        self._on_drop(entries, why)


def _millis(instant: datetime) -> int:
    return max(0, int(instant.timestamp() * 1000 // 1))


def _entries_in(folder: Path) -> list[Entry]:
    found = []
    for file in folder.iterdir():
        if match := _NAME.fullmatch(file.name):
            sequence, batch_id, *numbers = match.groups()
            rows, missed, first, last = map(int, numbers)
            found.append(Entry(int(sequence), batch_id, rows, missed, first, last, file.stat().st_size))
    return sorted(found, key=lambda entry: entry.sequence)


def _write_durably(file: Path, body: bytes) -> None:
    """Write whole or not at all, also when power fails."""
    draft = file.with_name(file.name + _DRAFT)
    try:
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(body)
            stream.flush()
            os.fsync(stream.fileno())
        draft.rename(file)
    except OSError:
        _unlink(draft)
        raise
    folder = os.open(file.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _unlink(file: Path) -> None:
    """Delete; a file that stays is only sent once more, under the same batch_id."""
    try:
        file.unlink(missing_ok=True)
    except OSError as error:
        log.warning("%s cannot be deleted: %s", file.name, error.strerror)
