"""Parts what a long window reads of sealed days and buckets from the rest: that stays, and is kept. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import numpy as np
import pyarrow as pa

from warehouse.cells import DAY, HOUR, blobs_of, packed_of
from warehouse.histogram import repack
from warehouse.questions import joining, sources, stages
from warehouse.questions.asking import Piece, Tables, Window, stored
from warehouse.questions.joining import EVER, RAW, Holdings, Interval
from warehouse.questions.sources import Source
from warehouse.stand import ENDLESS

BLOCK = 91 * DAY
"""Sealed days are read in blocks so long, told from the epoch: a window that moves reads two of them anew."""

BUCKETS = 100
"""Whole buckets of sealed time are read so many together, told from the epoch."""

MOST_SERIES = 500
"""Blocks of so many series are kept: they have as many rows as a piece may have (`staged.MOST_ROWS`)."""

SEALED, REST = "sealed_blobs_", "blobs"
"""The pieces that tell histograms: those of blocks of sealed days, merged already, and of the rest."""


def until(asked: Window, sealed: datetime | None) -> datetime | None:
    """Until when the days of the window are sealed; None where it is short, or none of them is."""
    if sealed is None or asked.end - asked.start <= stages.SMALL_WINDOW:
        return None
    edge = joining.floor(min(sealed, stored(asked.end)), DAY)
    return edge if edge > stored(asked.start) else None


def halves(found: Iterable[Source], edge: datetime | None) -> tuple[list[Source], list[Source]]:
    """What is read before the edge of two days, and after it; all after it where there is none."""
    if edge is None:
        return [], list(found)
    return [*_clipped(found, EVER, edge)], [*_clipped(found, edge, ENDLESS)]


@dataclass(frozen=True)
class Block:
    """Whole buckets of sealed time, of which a window holds those numbered from `first` to before `last`."""

    read: Source
    first: int
    last: int


def blocks_of(
    window: Interval, width_s: int, held: Holdings, series: Collection[int], *, merged: bool
) -> Iterator[Block]:
    """The blocks a trend of these series can be made of, in order; none with a dirty hour of them.

    A block is read whole, whatever part of it the window holds: the next window finds it there. Of more than
    MOST_SERIES, whose blocks are too large to be kept, it is that part alone. `merged`: whether its buckets
    are made of histograms, and not cells as they are.
    """
    widest = joining.largest(width_s)
    cells = None if widest == RAW else held.cells(widest, merged=merged)
    if cells is None:
        return
    low, high = joining.numbers_within(cells, width_s)
    first, last = joining.numbers_within(window, width_s)
    dirty = {
        number
        for each, hour in held.dirty
        if each in series
        for number in range(hour * HOUR // width_s, -(-(hour + 1) * HOUR // width_s))
    }
    for start in range(first // BUCKETS * BUCKETS, last, BUCKETS):
        own = range(max(start, first, low), min(start + BUCKETS, last, high))
        if own and dirty.isdisjoint(own):
            since, until = own.start, own.stop
            if len(series) <= MOST_SERIES:
                since, until = max(start, low), min(start + BUCKETS, high)
            read = Source(widest, joining.start_of(since, width_s), joining.start_of(until, width_s))
            yield Block(read, own.start, own.stop)


def _clipped(found: Iterable[Source], start: datetime, end: datetime) -> Iterator[Source]:
    for each in found:
        low, high = max(each.start, start), min(each.end, end)
        if low < high:
            yield replace(each, start=low, end=high)


def blobs(parts: Sequence[Source], by: str, series: str, edge: datetime | None) -> Iterator[Piece]:
    """The histograms of cells with the columns `by`; of sealed days one for each of what these tell apart."""
    columns = f"{by}, histogram"
    before, after = halves(parts, edge)
    for number, block in enumerate(_blocks(before, BLOCK)):
        end = max(each.end for each in block)
        sql = sources.union(block, columns, series)
        yield Piece(f"{SEALED}{number}", sql, stands=True, until=end, made=merged)
    if after:
        yield Piece(REST, sources.union(after, columns, series))


def _blocks(found: Sequence[Source], length_s: int) -> Iterator[list[Source]]:
    """What is read, parted where blocks begin."""
    last = max((each.end for each in found), default=EVER)
    start = joining.floor(min((each.start for each in found), default=EVER), length_s)
    while start < last:
        end = start + timedelta(seconds=length_s)
        block = [*_clipped(found, start, end)]
        if block:
            yield block
        start = end


def told(tables: Tables) -> list[pa.Table]:
    """What the pieces of `blobs` found."""
    return [table for name, table in tables.items() if name == REST or name.startswith(SEALED)]


def merged(table: pa.Table) -> pa.Table:
    """Histograms of the same bucket, and series where it is told, as one."""
    names = [name for name in table.column_names if name != "histogram"]
    keys = np.stack([table[name].to_numpy().astype(np.int64) for name in names])
    key = keys[0] if len(names) == 1 else keys[0] << 32 | keys[1]
    _, first, group = np.unique(key, return_index=True, return_inverse=True)
    packed = repack(packed_of(table["histogram"]), group, len(first))
    columns = {name: pa.array(column[first]) for name, column in zip(names, keys, strict=True)}
    return pa.table({**columns, "histogram": blobs_of(packed)})
