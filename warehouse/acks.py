"""Remembers, outside the write-ahead log, which batches were acknowledged and stand in that log alone."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Ack:
    """A batch that was acknowledged. `first_ms` and `last_ms` are when its rows were measured (Unix time)."""

    batch_id: str
    source: str
    rows: int
    first_ms: int
    last_ms: int


class Acks:
    """A file of lines beside the database, emptied when the log was folded into the database.

    One line a batch, written before the batch is acknowledged: a kill loses none. It is forced to the
    disk by `sync`, now and then, not with each batch: a power failure may lose the newest lines, and
    what is told of a loss is then less than was lost.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.existed = path.exists()
        self._descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._dirty = False

    def note(self, ack: Ack) -> None:
        """Remember a batch. A disk that takes no more is told in the log: the batch itself is safe."""
        try:
            os.write(self._descriptor, json.dumps(asdict(ack)).encode() + b"\n")
            self._dirty = True
        except OSError as error:
            log.warning("%s: %s", self.path.name, error.strerror)

    def clear(self) -> None:
        """All of it is in the database itself now."""
        try:
            os.ftruncate(self._descriptor, 0)
            self._dirty = self.existed = True
            self.sync()
        except OSError as error:
            log.warning("%s: %s", self.path.name, error.strerror)

    def sync(self) -> None:
        """Force what was noted to the disk."""
        if self._dirty:
            self._dirty = False
            try:
                os.fdatasync(self._descriptor)
            except OSError as error:
                log.warning("%s: %s", self.path.name, error.strerror)

    def close(self) -> None:
        """Give the file back."""
        os.close(self._descriptor)


@dataclass(frozen=True)
class Loss:
    """What is no longer there though it was acknowledged, and why."""

    why: str
    acks: tuple[Ack, ...]
    known: bool = True
    """Whether there was a record of what had been acknowledged."""

    @property
    def rows(self) -> int:
        """Rows of all lost batches."""
        return sum(ack.rows for ack in self.acks)

    @property
    def text(self) -> str:
        """The loss in words: how much, of whom, of which time."""
        if self.acks:
            first = _clock(min(ack.first_ms for ack in self.acks))
            last = _clock(max(ack.last_ms for ack in self.acks))
            sources = ", ".join(sorted({ack.source for ack in self.acks}))
            batches = f"{len(self.acks)} acknowledged batch{'es' if len(self.acks) > 1 else ''}"
            lost = f"{batches} lost: {self.rows} rows of {sources}, measured {first} to {last} UTC"
            lost += f", the last batch {self.acks[-1].batch_id}"
        elif self.known:
            lost = "nothing acknowledged was lost"
        else:
            lost = "how much was lost is not known, there was no record of what had been acknowledged"
        return f"{self.why}; {lost}"


def read(path: Path) -> list[Ack]:
    """What is remembered in a file; a line cut short by a crash is none, nor is there one without a file."""
    found = []
    try:
        lines = path.read_bytes().splitlines()
    except FileNotFoundError:
        return []
    for line in lines:
        try:
            found.append(Ack(**json.loads(line)))
        except (ValueError, TypeError):
            log.warning("%s holds a line that is damaged or cut short", path.name)
    return found


def missing(connection: DuckDBPyConnection, acks: Iterable[Ack]) -> tuple[Ack, ...]:
    """Those whose batch is not stored."""
    kept = list(acks)
    found = connection.execute(
        "SELECT batch_id FROM batch WHERE batch_id IN (SELECT unnest(?))", [[ack.batch_id for ack in kept]]
    ).fetchall()
    stored = {str(row[0]) for row in found}
    return tuple(ack for ack in kept if ack.batch_id not in stored)


def _clock(unix_ms: int) -> str:
    return f"{datetime.fromtimestamp(unix_ms / 1000, UTC):%Y-%m-%d %H:%M:%S}"
