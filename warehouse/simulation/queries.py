"""Statistics of a database's queries for a span of a made-up history."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from warehouse.simulation.changes import Change, of_kind
from warehouse.simulation.scene import Random, Scene, business

VARIATION2 = 0.36
"""The squared coefficient of variation of a query's durations."""


def table(
    scene: Scene, changes: Sequence[Change], at_ms: NDArray[np.int64], step_ms: int, random: Random
) -> pa.Table:
    """What each shape's calls took in the `step_ms` before each instant, shape by shape (from 0)."""
    shape = (len(scene.queries), len(at_ms))
    rate = np.array([query.calls_per_s for query in scene.queries])[:, None] * business(at_ms)
    calls = random.poisson(rate * step_ms / 1000).astype(np.int64)
    mean_us = np.array([query.mean_us for query in scene.queries])[:, None] * (1 + 0.4 * business(at_ms))
    mean_us = mean_us * random.normal(1, 0.03, shape)
    names = [query.shape for query in scene.queries]
    if len(at_ms):
        for change in of_kind(changes, "query", int(at_ms[0]), int(at_ms[-1]) + 1):
            holds = (at_ms >= change.at_ms) & (change.until_ms is None or at_ms < (change.until_ms or 0))
            mean_us[names.index(change.object), holds] *= change.factor
    total_us = calls * mean_us
    rows = calls * np.array([query.rows_per_call for query in scene.queries])[:, None]
    hit = calls * 6
    read = (hit * 0.005 * random.random(shape)).astype(np.int64)
    instants = np.tile(at_ms, len(scene.queries))
    made = pa.table(
        {
            "ts": pa.array(instants).cast(pa.timestamp("ms")),
            "since_ts": pa.array(instants - step_ms).cast(pa.timestamp("ms")),
            "query": np.repeat(np.arange(len(scene.queries), dtype=np.int32), len(at_ms)),
            "calls": calls.ravel(),
            "total_us": np.round(total_us).ravel(),
            "squares_us2": np.round(total_us * mean_us * (1 + VARIATION2)).ravel(),
            "min_us": np.round(mean_us * 0.2).ravel(),
            "max_us": np.round(mean_us * (2 + random.exponential(2, shape))).ravel(),
            "rows": rows.astype(np.int64).ravel(),
            "blocks_hit": hit.ravel(),
            "blocks_read": read.ravel(),
            "io_us": np.round(read * 90.0).ravel(),
        }
    )
    return made.filter(pa.array((calls > 0).ravel()))
