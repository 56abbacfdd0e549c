"""Ranks attempts that are few: planning to rank them takes a database longer than to find them. Pure."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from warehouse.cells import CENSORED, RANK
from warehouse.histogram import LEVELS
from warehouse.questions import sources
from warehouse.questions.asking import Brief
from warehouse.questions.sources import Source

MOST = 20_000
"""So many are few."""

_FAILED = 2 * CENSORED
"""A rank above that of every attempt of known latency."""


def brief(read: Sequence[Source], by: str, series: str) -> Brief:
    """Finds of single attempts what ranking them by SQL finds, for groups told apart by the columns `by`."""
    attempts = sources.either(read, f"{by}, {RANK} AS rank", series)
    return Brief(f"{attempts} LIMIT {MOST + 1}", MOST, ranked)


def ranked(attempts: pa.Table) -> pa.Table:
    """Counts, the longest answer (µs) and the nearest ranks of LEVELS of attempts told by `RANK`."""
    bucket, series = (attempts[name].to_numpy().astype(np.int64) for name in ("bucket", "series_id"))
    rank = attempts["rank"].fill_null(_FAILED).to_numpy()
    order = np.lexsort((rank, series, bucket))
    bucket, series, rank = bucket[order], series[order], rank[order]
    is_first = np.ones(len(rank), bool)
    is_first[1:] = (bucket[1:] != bucket[:-1]) | (series[1:] != series[:-1])
    first = np.flatnonzero(is_first)
    n, n_ok, n_known = (
        np.add.reduceat(which.astype(np.int64), first) if len(first) else np.zeros(0, np.int64)
        for which in (np.ones(len(rank), bool), rank < CENSORED, rank < _FAILED)
    )
    known = n_known > 0
    places = [first[known] + -(-n_known[known] * percent // 100) - 1 for percent in LEVELS]
    ranks = pa.array(rank[np.stack(places, axis=1).ravel()], pa.uint64())
    edges = np.concatenate([[0], np.cumsum(known)]) * len(LEVELS)
    longest = rank[np.maximum(first + n_ok - 1, 0)].astype(np.int64)
    return pa.table(
        {
            "bucket": bucket[first],
            "series_id": series[first],
            "attempts": n,
            "n_ok": n_ok,
            "timeouts": n_known - n_ok,
            "max_us": pa.array(longest, mask=n_ok == 0),
            "ranks": pa.ListArray.from_arrays(pa.array(edges, pa.int32()), ranks, mask=pa.array(~known)),
        }
    )
