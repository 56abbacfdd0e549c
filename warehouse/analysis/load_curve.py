"""Where throughput stops growing with users: the knee of a load curve, by the universal scalability law.

X(N) = l N / (1 + s (N - 1) + k N (N - 1)) for N users (Gunther 2007, Guerrilla Capacity Planning, ch. 4-6),
fitted by least squares in its linear form N / X = (1 + s (N - 1) + k N (N - 1)) / l, with s and k of at
least 0. The knee is where the two straight lines meet that bound throughput: l N at little load, and the most
there can be at much (Denning & Buzen 1978, The operational analysis of queueing network models, Comput.
Surv. 10). Users think, or the law does not hold of them alone: the knee is of this scenario.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from warehouse.analysis.requests import Floats

FEWEST_LEVELS = 4
"""Different numbers of users that a law of three parameters needs at least."""

SEEN_SHARE = 1.1
"""A knee farther beyond the most users that were tried has not been seen."""


@dataclass(frozen=True)
class Knee:
    """`users` at the knee and `most_rps` there can be; None and `why` where none was seen. `n` points."""

    users: float | None
    most_rps: float | None
    n: int
    why: str


def knee(users: Floats, rps: Floats) -> Knee:
    """The knee of throughput over users, from one point for each plateau of each run."""
    usable = (users > 0) & (rps > 0)
    users, rps = users[usable], rps[usable]
    levels = len(np.unique(users))
    if levels < FEWEST_LEVELS:
        return Knee(None, None, len(users), f"different numbers of users: {levels}, needed: {FEWEST_LEVELS}")
    least, contention, coherency = _fit(users, users / rps)
    rate = 1 / least
    if coherency > 0:
        peak = max(1.0, math.sqrt(max(0.0, 1 - contention) / coherency))
        most = rate * peak / (1 + contention * (peak - 1) + coherency * peak * (peak - 1))
    elif contention > 0:
        most = rate / contention
    else:
        return Knee(None, None, len(users), f"no knee up to {users.max():.0f} users")
    found = most / rate
    if found > users.max() * SEEN_SHARE:
        return Knee(None, None, len(users), f"no knee up to {users.max():.0f} users")
    return Knee(found, most, len(users), "")


def _fit(users: Floats, seconds: Floats) -> tuple[float, float, float]:
    """1 / l, s and k of the least squares without negative ones: the best of those with some left out."""
    columns = np.stack([np.ones(len(users)), users - 1, users * (users - 1)], axis=1)
    best: tuple[float, Floats] = (math.inf, np.zeros(3))
    for kept in ([0, 1, 2], [0, 1], [0, 2], [0]):
        part, *_ = np.linalg.lstsq(columns[:, kept], seconds, rcond=None)
        if (part < 0).any() or part[0] <= 0:
            continue
        values = np.zeros(3)
        values[kept] = part
        error = float(((columns @ values - seconds) ** 2).sum())
        if error < best[0]:
            best = (error, values)
    least, slope, curve = best[1]
    return float(least), float(slope / least), float(curve / least)
