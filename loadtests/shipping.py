"""Cuts a run's spool into blocks that arrive exactly once: their bytes are settled before they are sent."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from loadtests.folder import Folder, SpoolFile, write_whole
from loadtests.spool_format import ROW_BYTES, used

log = logging.getLogger(__name__)

BLOCK_BYTES = 16_384 * ROW_BYTES
"""The most that is sent at once; below the smallest body a warehouse may be set to take."""


class Place(BaseModel):
    """How far one file came, in bytes: what is acknowledged, and what was sent or is about to be."""

    acknowledged: int = 0
    promised: int = 0
    refused: int = 0


class Shipped(BaseModel):
    """What `shipped.json` says."""

    files: dict[str, Place] = {}
    refusal: str = ""
    complete_at: float | None = None


@dataclass(frozen=True)
class Block:
    """Whole rows or lines of one file, always the same ones from the same offset."""

    file: SpoolFile
    offset: int
    body: bytes


class Shipment:
    """What of one run the warehouse has. An answer that was lost is asked for again with the same bytes."""

    def __init__(self, folder: Folder) -> None:
        self._folder = folder
        self._file = folder.path / "shipped.json"
        known, spool = _read(self._file), folder.spool() if folder.path.exists() else []
        self.is_lost = bool(spool) and not (
            known is not None
            and all(self._is_possible(file, known.files.get(file.name, Place())) for file in spool)
        )
        """Whether it is not known here how far the files came: the warehouse must be asked."""
        self._shipped = known if known is not None and not self.is_lost else Shipped()
        if self.is_lost:
            log.warning("%s cannot be right; the warehouse is asked what it has", self._file)

    def _is_possible(self, file: SpoolFile, place: Place) -> bool:
        """Whether a file can have come so far: whole rows, and no more than there is. Raises OSError."""
        size = (self._folder.path / file.name).stat().st_size
        whole = not file.is_rows or (place.acknowledged % ROW_BYTES == 0 == place.promised % ROW_BYTES)
        return whole and 0 <= place.acknowledged <= place.promised <= size and place.refused >= 0

    def recover(self, stored: Mapping[str, Any]) -> None:
        """Go on behind what the warehouse has: of each file the last piece's `offset` and `rows`.

        Raises OSError.
        """
        for file in self._folder.spool():
            last = stored.get(file.name)
            end = 0 if last is None else last["offset"] + self._length(file, last["offset"], last["rows"])
            self._shipped.files[file.name] = Place(acknowledged=end, promised=end)
        self._save()
        self.is_lost = False

    def _length(self, file: SpoolFile, offset: int, rows: int) -> int:
        """How many bytes a stored piece had. Lines that say nothing are not among its rows."""
        if file.is_rows:
            return rows * ROW_BYTES
        length = 0
        for line in read_at(self._folder.path / file.name, offset, BLOCK_BYTES).splitlines(keepends=True):
            if not rows:
                break
            length += len(line)
            rows -= _says_something(line)
        return length

    def blocks(self) -> Iterator[Block]:
        """The next block of each file that has one, their ends written down before they are sent.

        Raises OSError.
        """
        files = self._folder.spool()
        promised = [self._promise(file) for file in files]
        if any(promised):
            self._save()
        for file in files:
            place = self._shipped.files[file.name]
            if place.promised > place.acknowledged:
                body = self._read_whole(file, place)
                if body:
                    yield Block(file, place.acknowledged, body)
                else:
                    place.acknowledged = place.promised

    def acknowledge(self, block: Block) -> None:
        """The warehouse has it."""
        self._shipped.files[block.file.name].acknowledged = block.offset + len(block.body)

    def refuse(self, block: Block, words: str) -> None:
        """The warehouse will never take it: it stays in its file, the next goes on. Raises OSError."""
        self._shipped.files[block.file.name].refused += len(block.body)
        self._shipped.refusal = words
        self.acknowledge(block)
        self._save()

    @property
    def refusal(self) -> str:
        """What the warehouse would not take and why, in words; empty where it took everything."""
        refused = sum(place.refused for place in self._shipped.files.values())
        return f"{refused} bytes were refused: {self._shipped.refusal}" if refused else ""

    @property
    def has_all(self) -> bool:
        """Whether the warehouse has every whole row and line there is now. Raises OSError."""
        if self.is_lost:
            return False
        for file in self._folder.spool():
            place = self._shipped.files.get(file.name, Place())
            end = max(place.promised, self._whole_end(file, place.acknowledged))
            if end > place.acknowledged:
                return False
        return True

    @property
    def complete_at(self) -> float | None:
        """Since when the warehouse knows that it has all, in seconds since the epoch."""
        return self._shipped.complete_at

    def complete(self, at: float) -> None:
        """Remember that the warehouse knows that it has all. Raises OSError."""
        self._shipped.complete_at = at
        self._save()

    def _promise(self, file: SpoolFile) -> bool:
        """Decide where the file's next block ends; whether that has to be written down."""
        place = self._shipped.files.setdefault(file.name, Place())
        if place.promised > place.acknowledged:
            return False
        place.promised = self._whole_end(file, place.acknowledged)
        return place.promised > place.acknowledged

    def _whole_end(self, file: SpoolFile, start: int) -> int:
        """The end of the last whole row or line of the block that begins at `start`."""
        path = self._folder.path / file.name
        found = read_at(path, start, BLOCK_BYTES)
        if file.is_rows:
            return start + used(found)
        # A line without end is sent as it is, and refused, rather than held up for ever.
        return start + (found.rfind(b"\n") + 1 or len(found) // BLOCK_BYTES * BLOCK_BYTES)

    def _read_whole(self, file: SpoolFile, place: Place) -> bytes:
        """The promised bytes; fewer only where a failure of the machine took the file's end."""
        body = read_at(self._folder.path / file.name, place.acknowledged, place.promised - place.acknowledged)
        if file.is_rows:
            return body[: used(body)]
        is_whole = len(body) == place.promised - place.acknowledged
        return body if is_whole else body[: body.rfind(b"\n") + 1]

    def _save(self) -> None:
        write_whole(self._file, self._shipped.model_dump_json())


def read_at(path: Path, offset: int, most: int) -> bytes:
    """Bytes of a file that may be growing. Raises OSError."""
    with path.open("rb") as stream:
        stream.seek(offset, os.SEEK_SET)
        return stream.read(most)


def _says_something(line: bytes) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except ValueError:
        return False


def _read(file: Path) -> Shipped | None:
    """What the file says; None where it cannot be read."""
    try:
        return Shipped.model_validate_json(file.read_bytes())
    except FileNotFoundError:
        return Shipped()
    except (OSError, ValidationError):
        return None
