"""Whether a load test tells of its target or of its generator."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

BUSY_RATIO = 0.9
"""Of one core: from here on a load-generating process waits for its own CPU."""

BUSY_S = 5.0
"""In a row."""

BUSY_SHARE = 0.1
"""Of the run."""

BEAT_S = 1.0
"""A beat tells of the second before it."""

STARTING_S = 1.0
"""The first beat tells of the process's own start."""

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def is_generator_bound(
    worker: Ints, at_s: Floats, users: Ints, cpu_ratio: Floats, dropped: Ints
) -> bool | None:
    """Whether arrivals were dropped, or a process was busy for 5 s in a row or a tenth of the run.

    One element a beat, each worker's in order, `at_s` since the load's start, `cpu_ratio` NaN where it is
    not known. Before and after its users a process starts and ends, which costs CPU and bends nothing; one
    that never has users leads the others. None: nothing is known.
    """
    if (dropped > 0).any():
        return True
    leads = ~np.isin(worker, worker[users > 0])
    during = (at_s >= STARTING_S) & ((users > 0) | leads) & ~np.isnan(cpu_ratio)
    if not during.any():
        return None
    return any(
        _is_busy(at_s[during & (worker == each)], cpu_ratio[during & (worker == each)])
        for each in np.unique(worker[during])
    )


def _is_busy(at_s: Floats, cpu_ratio: Floats) -> bool:
    """Whether one process was busy for too long."""
    busy = cpu_ratio >= BUSY_RATIO
    if busy.mean() >= BUSY_SHARE:
        return True
    edges = np.flatnonzero(np.diff(np.concatenate(([False], busy, [False])).astype(np.int8)))
    stretches = edges.reshape(-1, 2)
    return any(at_s[last - 1] - at_s[first] + BEAT_S >= BUSY_S for first, last in stretches)
