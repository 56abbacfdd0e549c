"""Reads DuckDB's file block by block and compares each with its checksum, apart from DuckDB.

DuckDB keeps what it read in memory and never looks again, and it reads an index only where it must. The
layout is that of DuckDB's storage: three headers of 4,096 bytes (the main one, then two of which the one
with the higher iteration holds), then blocks; each begins with the checksum of its rest
(src/storage/single_file_block_manager.cpp, src/common/checksum.cpp). Blocks on the free list may hold
anything.
"""

from __future__ import annotations

import os
import struct
import time
from collections.abc import Generator, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

HEADER_BYTES = 4096
HEADERS = 3
CHECKSUM_BYTES = 8
FACTOR = np.uint64(0xBF58476D1CE4E5B9)
SEED = 5381
PARTS_OF_BLOCK = 64
"""Pieces of a block that holds the file's own lists; the top byte of a pointer says which piece."""

END_OF_LIST = 2**64 - 1
PROGRESS_EVERY = 256
LOOKS = 5
LOOK_AGAIN_S = 0.3
"""A running warehouse may write a block while it is read."""


@dataclass(frozen=True)
class Found:
    """How many blocks there are, which of those in use are damaged, and whether a header is."""

    blocks: int
    damaged: tuple[int, ...]
    headers_sound: bool

    @property
    def sound(self) -> bool:
        """Whether nothing is damaged."""
        return self.headers_sound and not self.damaged


@dataclass(frozen=True)
class _Layout:
    sound: bool
    free_list: int = END_OF_LIST
    count: int = 0
    block_bytes: int = 262_144


def check_blocks(path: Path, *, alone: bool) -> Generator[tuple[int, int], None, Found]:
    """Read the whole file from the disk. Yields now and then how many blocks are done, and of how many.

    Unless we are `alone` with it, what seems damaged is looked at again. Raises OSError.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        _forget_cached(descriptor)
        layout = _layout(descriptor)
        suspects = []
        for block in range(layout.count):
            if not _is_sound(_read_block(descriptor, layout, block)):
                suspects.append(block)
            if block % PROGRESS_EVERY == 0:
                yield block, layout.count
        return _look_again(descriptor, suspects, looks=1 if alone else LOOKS)
    finally:
        os.close(descriptor)


def _look_again(descriptor: int, suspects: Iterable[int], looks: int) -> Found:
    """What is damaged still, in use, and not just being written."""
    layout = _layout(descriptor)
    for look in range(looks):
        if look:
            time.sleep(LOOK_AGAIN_S)
            _forget_cached(descriptor)
            layout = _layout(descriptor)
        suspects = [block for block in suspects if not _is_sound(_read_block(descriptor, layout, block))]
        if layout.sound and not set(suspects) - _free(descriptor, layout):
            return Found(layout.count, (), headers_sound=True)
    in_use = [block for block in suspects if block < layout.count and block not in _free(descriptor, layout)]
    return Found(layout.count, tuple(in_use), layout.sound)


def _forget_cached(descriptor: int) -> None:
    """Let the kernel drop what it holds of the file, so that the disk is read."""
    if hasattr(os, "posix_fadvise"):
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)


def _layout(descriptor: int) -> _Layout:
    """What the newer of the two headers says; not sound where any header is damaged."""
    headers = [os.pread(descriptor, HEADER_BYTES, number * HEADER_BYTES) for number in range(HEADERS)]
    if not all(len(header) == HEADER_BYTES and _is_sound(header) for header in headers):
        return _Layout(sound=False)
    newer = max((struct.unpack_from("<5Q", header, CHECKSUM_BYTES) for header in headers[1:]), key=_iteration)
    _, _, free_list, count, block_bytes = newer
    return _Layout(sound=True, free_list=free_list, count=count, block_bytes=block_bytes)


def _iteration(fields: tuple[int, ...]) -> int:
    return fields[0]


def _read_block(descriptor: int, layout: _Layout, block: int) -> bytes:
    start = HEADERS * HEADER_BYTES + block * layout.block_bytes
    return os.pread(descriptor, layout.block_bytes, start)


def _is_sound(data: bytes) -> bool:
    """Whether the bytes after the checksum have it; a block that is not there whole has not."""
    if len(data) < HEADER_BYTES:
        return False
    words = np.frombuffer(data, dtype="<u8", offset=CHECKSUM_BYTES)
    found = int(np.bitwise_xor.reduce(words * FACTOR)) ^ SEED
    return found == int.from_bytes(data[:CHECKSUM_BYTES], "little")


def _free(descriptor: int, layout: _Layout) -> set[int]:
    """The blocks of the free list; none where it cannot be read, so that every damage counts."""
    if layout.free_list == END_OF_LIST:
        return set()
    words = _list_words(descriptor, layout)
    if not words or len(words) <= words[0]:
        return set()
    free = set(words[1 : words[0] + 1])
    return free if all(block < layout.count for block in free) else set()


def _list_words(descriptor: int, layout: _Layout) -> list[int]:
    """The numbers of the free list: its length, its blocks, and what follows.

    It lies in pieces of blocks, each of which begins with a pointer to the next.
    """
    piece_bytes = (layout.block_bytes - CHECKSUM_BYTES) // PARTS_OF_BLOCK // 8 * 8
    words: list[int] = []
    pointer, pieces = layout.free_list, 0
    while pointer != END_OF_LIST and pieces < layout.count * PARTS_OF_BLOCK:
        block, piece = pointer & (2**56 - 1), pointer >> 56
        data = _read_block(descriptor, layout, block)
        if not _is_sound(data):
            return []
        begin = CHECKSUM_BYTES + piece * piece_bytes
        found = struct.unpack(f"<{piece_bytes // 8}Q", data[begin : begin + piece_bytes])
        pointer, pieces = found[0], pieces + 1
        words += found[1:]
        if len(words) > words[0]:
            break
    return words
