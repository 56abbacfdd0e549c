"""Sums runs of counts that begin at different columns, group by group; pure NumPy."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.integer[Any]]
Counts = npt.NDArray[np.int64]

AT_ONCE = 1_000_000
"""Columns of runs that are laid side by side at once: they stay in the processor's cache."""

FEW = 8
"""Groups of fewer runs are not worth laying them side by side."""


@dataclass(frozen=True)
class Runs:
    """Runs of `length` counts in `words` from `at` on; the first stands for the column `first`."""

    words: Ints
    at: Ints
    first: Ints
    length: Ints
    group: Ints


def add_to(sums: Counts, runs: Runs) -> None:
    """Add each run to the row of its group. No run reaches beyond the columns of `sums`, at most 65,535."""
    if len(runs.at) < FEW * len(sums):
        _add_each(sums, runs)
        return
    order = np.argsort(runs.group, kind="stable")
    group = runs.group[order]
    for part, rows in _side_by_side(runs, order, sums.shape[1]):
        own = group[part]
        edges = np.flatnonzero(np.r_[True, own[1:] != own[:-1]])
        sums[own[edges]] += _of_groups(rows, edges)


def _add_each(sums: Counts, runs: Runs) -> None:
    flat, words = sums.reshape(-1), runs.words
    into = runs.group.astype(np.int64) * sums.shape[1] + runs.first
    ends = (into + runs.length, runs.at + runs.length)
    places = (each.tolist() for each in (into, ends[0], runs.at, ends[1]))
    for start, end, first, last in zip(*places, strict=True):
        flat[start:end] += words[first:last]


def _side_by_side(runs: Runs, order: Ints, columns: int) -> Iterator[tuple[slice, Ints]]:
    """The runs in this order, so many at a time as rows of all columns: 0 where one has no count."""
    low, high = int(runs.at.min()), int((runs.at + runs.length).max())
    margin = np.zeros(columns, runs.words.dtype)
    padded = np.concatenate([margin, runs.words[low:high], margin])
    windows = np.lib.stride_tricks.sliding_window_view(padded, columns)
    first, length = (values[order].astype(np.uint16)[:, None] for values in (runs.first, runs.length))
    at = (runs.at + columns - low - runs.first)[order]
    column = np.arange(columns, dtype=np.uint16)
    step = max(1, AT_ONCE // columns)
    for start in range(0, len(order), step):
        part = slice(start, start + step)
        rows = windows[at[part]]
        rows *= column - first[part] < length[part]  # what lies before the first wraps around to above
        yield part, rows


def _of_groups(rows: Ints, edges: Ints) -> Counts:
    """The sums of rows that follow one another, from each edge to the next. Exact."""
    sizes = np.diff(np.r_[edges, len(rows)])
    # Fractions are added several at a time; so few bytes, or any 32 bits, stay whole numbers in them.
    wide = rows.astype(np.float32 if rows.itemsize == 1 and len(rows) < 65_536 else np.float64)
    whole = np.empty((len(edges), rows.shape[1]), wide.dtype)
    for place, (start, size) in enumerate(zip(edges.tolist(), sizes.tolist(), strict=True)):
        np.add.reduce(wide[start : start + size], axis=0, out=whole[place])
    return whole.astype(np.int64)
