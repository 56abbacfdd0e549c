"""Log-bucket histograms of durations: made, packed, merged and read for percentiles, many at once.

Bucket b holds what lies above g^(b-1) and up to g^b microseconds, g = 1.01/0.99, and stands for
2 g^b / (g + 1): at most 1 % beside each of its values (the idea of DDSketch, Masson, Rim and Lee, 2019).
Timeouts lie in no bucket: they are counted by their deadline and rank above everything measured.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from warehouse import dense
from warehouse.dense import Runs

Ints = npt.NDArray[np.integer[Any]]
Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]

GROWTH = 1.01 / 0.99
ERROR_BOUND = 0.01
SQL_BUCKET = f"ceil(ln(greatest({{}}, 1)) / {math.log(GROWTH)!r})::USMALLINT"
"""SQL of the bucket of a duration in microseconds."""

LEVELS = (50, 95, 99)
"""The percentiles that every answer tells."""

VERSION = 1
HEADER_BYTES = 8
ALIGNED_BYTES = 4
"""Every packed histogram is a multiple of this long, so that any number of them lie aligned in a row."""

AT_ONCE = 4_000_000
"""Counts of merged histograms that are held in memory at once."""


def bucket_of(us: Ints | Floats) -> Ints:
    """The bucket of each duration in microseconds."""
    found: Ints = np.ceil(np.log(np.maximum(us, 1)) / math.log(GROWTH)).astype(np.int64)
    return found


def estimate(bucket: Ints) -> Floats:
    """The duration in microseconds that stands for each bucket."""
    us: Floats = 2 * np.power(GROWTH, bucket) / (GROWTH + 1)
    return us


@dataclass(frozen=True)
class Packed:
    """Histograms one after the other: `data` holds their bytes, the i-th from offsets[i] to offsets[i + 1].

    One is: version (1 byte), bytes to a count (1: 1, 2 or 4), deadlines (2), first bucket (2), buckets (2),
    a count for each bucket, zeros up to a multiple of 4, then deadline in µs (4) and timeouts (4) for each
    deadline. Integers are little-endian.
    """

    data: npt.NDArray[np.uint8]
    offsets: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, number: int) -> bytes:
        return self.data[self.offsets[number] : self.offsets[number + 1]].tobytes()

    @classmethod
    def of(cls, blobs: Iterable[bytes]) -> Packed:
        """Single packed histograms put in a row."""
        parts = list(blobs)
        offsets = np.cumsum([0, *map(len, parts)], dtype=np.int64)
        return cls(np.frombuffer(b"".join(parts), np.uint8), offsets)


@dataclass(frozen=True)
class Counts:
    """Entries of many histograms: so many durations in that bucket of that one, or timeouts at that deadline.

    `owner` is the histogram's number, not falling; no bucket or deadline comes twice in one.
    """

    owner: Ints
    key: Ints
    count: Ints


def pack(histograms: int, buckets: Counts, timeouts: Counts) -> Packed:
    """Pack so many histograms, empty ones among them; `key` is the bucket, or the deadline in µs."""
    first = np.full(histograms, 65_535, np.int64)
    last = np.full(histograms, -1, np.int64)
    most = np.zeros(histograms, np.int64)
    np.minimum.at(first, buckets.owner, buckets.key)
    np.maximum.at(last, buckets.owner, buckets.key)
    np.maximum.at(most, buckets.owner, buckets.count)
    length = np.maximum(last - first + 1, 0)
    first[length == 0] = 0
    wide = np.where(most < 256, 1, np.where(most < 65_536, 2, 4))
    deadlines = np.bincount(timeouts.owner, minlength=histograms)
    body = HEADER_BYTES + -(-length * wide // ALIGNED_BYTES) * ALIGNED_BYTES
    offsets = np.concatenate([[0], np.cumsum(body + 8 * deadlines)]).astype(np.int64)
    data = np.zeros(offsets[-1], np.uint8)
    starts = offsets[:-1]
    data[starts], data[starts + 1] = VERSION, wide
    for place, value in ((2, deadlines), (4, first), (6, length)):
        data[starts + place], data[starts + place + 1] = value & 255, value >> 8
    at = starts[buckets.owner] + HEADER_BYTES + (buckets.key - first[buckets.owner]) * wide[buckets.owner]
    for byte in range(4):
        held = wide[buckets.owner] > byte
        data[at[held] + byte] = buckets.count[held] >> (8 * byte) & 255
    words = data.view("<u4")
    nth = np.arange(len(timeouts.owner)) - np.searchsorted(timeouts.owner, timeouts.owner)
    at = (starts[timeouts.owner] + body[timeouts.owner]) // 4 + 2 * nth
    words[at], words[at + 1] = timeouts.key, timeouts.count
    return Packed(data, offsets)


@dataclass(frozen=True)
class Merged:
    """Histograms of groups, summed: `counts[g, i]` durations in bucket `first + i`, and all timeouts."""

    first: int
    counts: npt.NDArray[np.int64]
    timeouts: Counts

    def percentiles(self, percents: Sequence[int]) -> Iterator[tuple[Floats, Flags]]:
        """Of each group the nearest ranks in µs, and which are above: on a timeout, whose deadline it is.

        A group of nothing has no percentile: NaN.
        """
        groups, span = self.counts.shape
        so_far = np.cumsum(self.counts)  # of all groups, one behind the other
        ends = so_far[span - 1 :: span]
        ok = np.diff(ends, prepend=0)
        before = ends - ok
        late = np.bincount(self.timeouts.owner, self.timeouts.count, minlength=groups).astype(np.int64)
        for percent in percents:
            rank = np.maximum(-(-percent * (ok + late) // 100), 1)
            place = np.searchsorted(so_far, before + rank) - np.arange(groups) * span
            us = estimate(self.first + np.minimum(place, span))
            above = (rank > ok) & (late > 0)
            self._on_timeouts(us, above, rank - ok)
            us[ok + late == 0] = np.nan
            yield us, above

    def percentile(self, percent: int) -> tuple[Floats, Flags]:
        """The same of a single one."""
        return next(self.percentiles([percent]))

    def _on_timeouts(self, us: Floats, above: Flags, rank: Ints) -> None:
        """Put the deadline of the timeout of that rank for the groups that are above."""
        for group in np.nonzero(above)[0]:
            of = self.timeouts.owner == group
            order = np.argsort(self.timeouts.key[of])
            deadline = np.searchsorted(np.cumsum(self.timeouts.count[of][order]), rank[group])
            us[group] = self.timeouts.key[of][order][deadline]

    def entries(self) -> tuple[Counts, Counts]:
        """What `pack` takes: the buckets that hold anything, and the timeouts."""
        owner, place = np.nonzero(self.counts)
        return Counts(owner, place + self.first, self.counts[owner, place]), self.timeouts


def merge(packed: Packed, group: Ints, groups: int, chosen: Ints | None = None) -> Merged:
    """Sum the histograms of each group, all or the chosen ones; `group` is the number of each one's group.

    Raises ValueError for what is no histogram.
    """
    starts, sizes = packed.offsets[:-1], np.diff(packed.offsets)
    if chosen is not None:
        starts, sizes, group = starts[chosen], sizes[chosen], group[chosen]
    heads = _heads(packed.data, starts, sizes)
    held = heads.length > 0
    if not held.any():
        return Merged(0, np.zeros((groups, 1), np.int64), _timeouts(packed.data, heads, group))
    low = int(heads.first[held].min())
    span = int((heads.first + heads.length)[held].max()) - low
    counts = np.zeros((groups, span), np.int64)
    for size in (1, 2, 4):
        which = np.flatnonzero((heads.wide == size) & held)
        at, first = (starts[which] + HEADER_BYTES) // size, heads.first[which] - low
        runs = Runs(packed.data.view(f"<u{size}"), at, first, heads.length[which], group[which])
        dense.add_to(counts, runs)
    return Merged(low, counts, _timeouts(packed.data, heads, group))


def merged_parts(packed: Packed, group: Ints, groups: int) -> Iterator[tuple[int, Merged]]:
    """As `merge`, so many groups at a time that memory stays bounded: each with its first group's number."""
    step = max(1, AT_ONCE // (int(bucket_of(np.array([2**32]))[0]) + 1))
    if groups <= step:
        yield 0, merge(packed, group, groups)
        return
    order = np.argsort(group, kind="stable")
    edges = np.searchsorted(group[order], np.arange(0, groups + step, step))
    for number, first in enumerate(range(0, groups, step)):
        chosen = order[edges[number] : edges[number + 1]]
        yield first, merge(packed, group - first, min(step, groups - first), chosen)


@dataclass(frozen=True)
class Summary:
    """The percentiles of LEVELS (rows) of each group (columns), in µs, and which lie above."""

    us: Floats
    above: Flags


def summarise(packed: Packed, group: Ints, groups: int) -> Summary:
    """The percentiles of each group's histograms, merged."""
    us = np.full((len(LEVELS), groups), np.nan)
    above = np.zeros((len(LEVELS), groups), bool)
    for first, merged in merged_parts(packed, group, groups):
        place = slice(first, first + len(merged.counts))
        for row, found in enumerate(merged.percentiles(LEVELS)):
            us[row, place], above[row, place] = found
    return Summary(us, above)


def repack(packed: Packed, group: Ints, groups: int) -> Packed:
    """The histograms of each group merged into one, packed."""
    parts = []
    for _, merged in merged_parts(packed, group, groups):
        parts.append(pack(len(merged.counts), *merged.entries()))
    return joined(parts)


def joined(parts: Sequence[Packed]) -> Packed:
    """All of them in one row."""
    if len(parts) == 1:
        return parts[0]
    ends = np.cumsum([0, *(part.data.size for part in parts)])
    offsets = [part.offsets[:-1] + end for part, end in zip(parts, ends, strict=False)]
    data = np.concatenate([part.data for part in parts]) if parts else np.zeros(0, np.uint8)
    return Packed(data, np.concatenate([*offsets, ends[-1:]]).astype(np.int64))


@dataclass(frozen=True)
class _Heads:
    """Of each histogram: bytes to a count, deadlines, first bucket, buckets, where its deadlines begin."""

    wide: Ints
    deadlines: Ints
    first: Ints
    length: Ints
    late: Ints


def _heads(data: npt.NDArray[np.uint8], starts: Ints, sizes: Ints) -> _Heads:
    """Raises ValueError for what is no histogram."""
    if data.size % ALIGNED_BYTES or (starts % ALIGNED_BYTES).any() or (sizes < HEADER_BYTES).any():
        raise ValueError("a packed histogram is cut short")
    words = data.view("<u4")[(starts // 4)[:, None] + np.arange(2)].astype(np.int64)
    wide, deadlines = words[:, 0] >> 8 & 255, words[:, 0] >> 16
    first, length = words[:, 1] & 65_535, words[:, 1] >> 16
    if ((words[:, 0] & 255) != VERSION).any() or not np.isin(wide, (1, 2, 4)).all():
        raise ValueError("a packed histogram is of another version")
    body = HEADER_BYTES + -(-length * wide // ALIGNED_BYTES) * ALIGNED_BYTES
    if (body + 8 * deadlines != sizes).any():
        raise ValueError("a packed histogram is cut short")
    return _Heads(wide, deadlines, first, length, starts + body)


def _timeouts(data: npt.NDArray[np.uint8], heads: _Heads, group: Ints) -> Counts:
    """The timeouts of each group by deadline."""
    some = np.nonzero(heads.deadlines)[0]
    each = heads.deadlines[some]
    nth = np.arange(int(each.sum())) - np.repeat(np.cumsum(each) - each, each)
    at = np.repeat(heads.late[some] // 4, each) + 2 * nth
    words = data.view("<u4")
    return tally(np.repeat(group[some], each), words[at], words[at + 1])


def tally(owner: Ints, key: Ints, count: Ints) -> Counts:
    """Entries in order, those of the same owner and key as one."""
    both = owner.astype(np.int64) << 32 | key.astype(np.int64)
    kept, place = np.unique(both, return_inverse=True)
    sums = np.bincount(place, count, minlength=len(kept)).astype(np.int64)
    return Counts(kept >> 32, kept & 0xFFFF_FFFF, sums)


def encode(buckets: Ints, counts: Ints, timeouts: Mapping[int, int]) -> bytes:
    """One histogram, packed: so many durations in each bucket, so many timeouts at each deadline (µs)."""
    late = sorted(timeouts.items())
    keys, numbers = (np.array([pair[place] for pair in late], np.int64) for place in (0, 1))
    zero = tally(np.zeros(len(buckets), np.int64), np.asarray(buckets), np.asarray(counts))
    return pack(1, zero, Counts(np.zeros(len(late), np.int64), keys, numbers))[0]
