"""Parts what a long window reads of sealed days from the rest: that is the same all day, and kept. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime

import numpy as np
import pyarrow as pa

from warehouse.cells import DAY, blobs_of, packed_of
from warehouse.histogram import repack
from warehouse.questions import joining, sources, stages
from warehouse.questions.asking import Piece, Window, stored
from warehouse.questions.joining import EVER
from warehouse.questions.sources import Source
from warehouse.stand import ENDLESS

WEEK = 7 * DAY
"""Buckets of one series must be as wide, for merging it to be less work than what it spares."""

BLOBS = ("sealed_blobs", "blobs")
"""The pieces that tell histograms: those of sealed days merged already."""


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


def _clipped(found: Iterable[Source], start: datetime, end: datetime) -> Iterator[Source]:
    for each in found:
        low, high = max(each.start, start), min(each.end, end)
        if low < high:
            yield replace(each, start=low, end=high)


def blobs(parts: Sequence[Source], by: str, series: str, edge: datetime | None) -> Iterator[Piece]:
    """The histograms of cells with the columns `by`; of sealed days one for each of what these tell apart."""
    for name, half in zip(BLOBS, halves(parts, edge), strict=True):
        if half:
            sql = sources.union(half, f"{by}, histogram", series)
            is_sealed = name == BLOBS[0]
            yield Piece(name, sql, stands=True, until=edge, made=merged) if is_sealed else Piece(name, sql)


def merged(table: pa.Table) -> pa.Table:
    """Histograms of the same bucket, and series where it is told, as one."""
    names = [name for name in table.column_names if name != "histogram"]
    keys = np.stack([table[name].to_numpy().astype(np.int64) for name in names])
    key = keys[0] if len(names) == 1 else keys[0] << 32 | keys[1]
    _, first, group = np.unique(key, return_index=True, return_inverse=True)
    packed = repack(packed_of(table["histogram"]), group, len(first))
    columns = {name: pa.array(column[first]) for name, column in zip(names, keys, strict=True)}
    return pa.table({**columns, "histogram": blobs_of(packed)})
