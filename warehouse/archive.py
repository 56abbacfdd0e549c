"""The backup archive: a tar of Parquet parts, then their manifest, then the digests of all of it.

Only the exact bytes that `Packer` writes are an archive: each header is compared with the one that would
have been written, so that a changed bit is found wherever it is.
"""

from __future__ import annotations

import hashlib
import json
import re
import tarfile
from collections.abc import Callable, Generator, Iterator, Mapping
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Annotated, BinaryIO

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from warehouse import VERSION
from warehouse.errors import DamagedBackupError, InvalidInputError, NewerVersionError

FORMAT = 1
MANIFEST = "manifest.json"
DIGESTS = "SHA256SUMS"
BLOCK = tarfile.BLOCKSIZE
SLICE_BYTES = 1 << 20
MOST_PART_BYTES = 256_000_000
"""What one part may hold: it is read into memory whole."""

PART_NAME = re.compile(r"[a-z][a-z0-9_]*/[0-9]{5,}-([0-9]+)\.parquet")

Name = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]*$", max_length=60)]
Digest = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
Count = Annotated[int, Field(ge=0)]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Part(_Frozen):
    """One Parquet file of a table's rows."""

    name: Annotated[str, StringConstraints(pattern=f"^{PART_NAME.pattern}$")]
    rows: Count
    size: Annotated[int, Field(gt=0, le=MOST_PART_BYTES)]
    sha256: Digest


class TableContent(_Frozen):
    """What a table held: its columns with their types, its rows, and the hash over all of them."""

    columns: Mapping[Name, str]
    rows: Count
    row_hash: Annotated[str, StringConstraints(pattern=r"^[0-9]{1,39}$")]
    parts: tuple[Part, ...]


class Manifest(_Frozen):
    """What the archive holds and where it came from. `sequences` are the last numbers given out."""

    format: int
    perfhouse_version: str
    schema_version: Annotated[int, Field(ge=1)]
    taken_at: datetime
    sequences: Mapping[Name, int]
    tables: Mapping[Name, TableContent]

    @property
    def rows(self) -> int:
        """Rows of all tables together."""
        return sum(table.rows for table in self.tables.values())

    def parts(self) -> Iterator[Part]:
        """Every part, in the archive's order."""
        for table in self.tables.values():
            yield from table.parts


def header(name: str, size: int, mtime: int) -> bytes:
    """The tar header of a file that only its owner may read."""
    entry = tarfile.TarInfo(name)
    entry.size, entry.mtime, entry.mode = size, mtime, 0o600
    return entry.tobuf(tarfile.USTAR_FORMAT)


def padding(size: int) -> bytes:
    """What fills the last block of a file."""
    return b"\0" * (-size % BLOCK)


class Packer:
    """Makes the bytes of an archive, part after part."""

    def __init__(self, taken_at: datetime) -> None:
        self._mtime = int(taken_at.timestamp())
        self._digests: list[tuple[str, str]] = []

    def add(self, name: str, content: memoryview) -> Generator[bytes, None, str]:
        """The bytes of one file, in slices; returns its SHA-256."""
        digest = hashlib.sha256(content).hexdigest()
        self._digests.append((name, digest))
        yield header(name, len(content), self._mtime)
        for start in range(0, len(content), SLICE_BYTES):
            yield bytes(content[start : start + SLICE_BYTES])
        yield padding(len(content))
        return digest

    def finish(self, manifest: Manifest) -> Iterator[bytes]:
        """The manifest, the digests and the end of the archive."""
        text = (manifest.model_dump_json(indent=1) + "\n").encode()
        yield from self.add(MANIFEST, memoryview(text))
        yield from self.add(DIGESTS, memoryview(_digest_lines(self._digests)))
        yield b"\0" * (2 * BLOCK)


def _digest_lines(digests: list[tuple[str, str]]) -> bytes:
    """As `sha256sum` writes and checks them."""
    return "".join(f"{digest}  {name}\n" for name, digest in digests).encode()


class Follower:
    """Counts the rows that have gone by in a stream of an archive's bytes, by the names of its parts."""

    def __init__(self) -> None:
        self.rows = 0
        self._skip = 0
        self._held = b""

    def feed(self, block: bytes) -> None:
        """See the next bytes. What is no archive is not told here: reading it is."""
        data = self._held + block if self._held else block
        at = min(self._skip, len(data))
        self._skip -= at
        while self._skip == 0 and len(data) - at >= BLOCK:
            try:
                entry = tarfile.TarInfo.frombuf(data[at : at + BLOCK], "utf-8", "strict")
            except (tarfile.HeaderError, ValueError):
                at += BLOCK
                continue
            named = PART_NAME.fullmatch(entry.name)
            self.rows += int(named[1]) if named else 0
            wanted = BLOCK + entry.size + len(padding(entry.size))
            self._skip = max(0, at + wanted - len(data))
            at = min(at + wanted, len(data))
        self._held = data[at:]


class Archive:
    """An archive on disk, open for reading; its frame and manifest are sound once it is made."""

    def __init__(self, path: Path) -> None:
        """Raises InvalidInputError, NewerVersionError, or DamagedBackupError when it is no whole archive."""
        self.path = path
        try:
            self._file: BinaryIO = path.open("rb")
        except OSError as error:
            raise InvalidInputError(f"cannot read {path}: {error.strerror}", field="FILE") from None
        try:
            self._places = self._walk()
            self.manifest = self._read_manifest()
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> Archive:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def read(self, part: Part) -> bytes:
        """The part's bytes. Raises DamagedBackupError when they are not what was written."""
        content = self._content(part.name)
        if len(content) != part.size or hashlib.sha256(content).hexdigest() != part.sha256:
            raise self._damaged(f"{part.name} is not what was written")
        return content

    def check_bytes(self, on_part: Callable[[Part], None] = lambda _: None) -> None:
        """Read every part. Raises DamagedBackupError naming the first that is not what was written."""
        for part in self.manifest.parts():
            self.read(part)
            on_part(part)

    def _content(self, name: str) -> bytes:
        start, size = self._places[name]
        self._file.seek(start)
        content = self._file.read(size)
        if self._file.read(len(padding(size))) != padding(size):
            raise self._damaged(f"the space after {name} is not empty")
        return content

    def _walk(self) -> dict[str, tuple[int, int]]:
        """Where each file's content starts and how long it is, by name."""
        places: dict[str, tuple[int, int]] = {}
        end = self.path.stat().st_size
        at = 0
        last = "its beginning"
        while DIGESTS not in places:
            self._file.seek(at)
            block = self._file.read(BLOCK)
            try:
                entry = tarfile.TarInfo.frombuf(block, "utf-8", "strict")
                sound = block == header(entry.name, entry.size, int(entry.mtime)) and entry.name not in places
            except (tarfile.HeaderError, ValueError):
                sound = False
            if not sound:
                raise self._damaged(f"it breaks off or is damaged after {last}")
            places[entry.name] = (at + BLOCK, entry.size)
            last = entry.name
            at += BLOCK + entry.size + len(padding(entry.size))
            if entry.size > MOST_PART_BYTES or at > end:
                raise self._damaged(f"it breaks off or is damaged in {last}")
        self._file.seek(at)
        if self._file.read(2 * BLOCK + 1) != b"\0" * (2 * BLOCK):
            raise self._damaged("it does not end where it should")
        return places

    def _read_manifest(self) -> Manifest:
        if MANIFEST not in self._places:
            raise self._damaged(f"it holds no {MANIFEST}")
        text = self._content(MANIFEST)
        told = self._content(DIGESTS)
        own = hashlib.sha256(text).hexdigest()
        if not told.endswith(_digest_lines([(MANIFEST, own)])):
            raise self._damaged(f"{MANIFEST} or {DIGESTS} is not what was written")
        self._refuse_newer(text)
        try:
            manifest = Manifest.model_validate_json(text)
        except ValidationError as error:
            where = ".".join(str(step) for step in error.errors()[0]["loc"])
            raise self._damaged(f"{MANIFEST} cannot be understood at {where}") from None
        digests = [(part.name, part.sha256) for part in manifest.parts()]
        if told != _digest_lines([*digests, (MANIFEST, own)]):
            raise self._damaged(f"{MANIFEST} and {DIGESTS} do not agree")
        if list(self._places) != [name for name, _ in digests] + [MANIFEST, DIGESTS]:
            raise self._damaged(f"it does not hold the parts that {MANIFEST} names")
        for name, table in manifest.tables.items():
            if table.rows != sum(part.rows for part in table.parts):
                raise self._damaged(f"the parts of {name} do not add up to its rows")
        return manifest

    def _refuse_newer(self, manifest: bytes) -> None:
        try:
            told = json.loads(manifest)
            form, writer = int(told["format"]), str(told["perfhouse_version"])
        except (ValueError, KeyError, TypeError):
            raise self._damaged(f"{MANIFEST} cannot be understood") from None
        if form > FORMAT:
            raise NewerVersionError(
                f"{self.path} is a backup of format {form} (written by Perfhouse {writer}); "
                f"this is Perfhouse {VERSION}, which knows format {FORMAT}",
                "Use the newer Perfhouse; nothing was changed.",
            )

    def _damaged(self, what: str) -> DamagedBackupError:
        return DamagedBackupError(f"{self.path}: {what}", "Use another backup; nothing was changed.")
