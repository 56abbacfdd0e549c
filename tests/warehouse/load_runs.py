"""Load tests made up for the statistics: requests as arrays, and the plan they might have had."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from warehouse.analysis.comparable import Side
from warehouse.analysis.phases import Plateau
from warehouse.analysis.requests import Requests

PLAN: Mapping[str, Any] = {
    "order": "weighted",
    "think_s": [0.0, 0.0],
    "pacing_s": None,
    "arrivals": "users",
    "rate_per_s": None,
    "token": None,
    "requests": [{"label": "GET /a", "endpoint": 0, "method": "GET", "path": "/a", "weight": 1}],
}


def requests(
    at_s: Any, ms: Any, outcomes: Any = None, endpoint: Any = None, *, default: str = "ok"
) -> Requests:
    """Requests with corrected times in ms; one endpoint and all ok unless told."""
    n = len(at_s)
    return Requests.of_columns(
        at_s,
        np.round(np.asarray(ms) * 1000),
        np.full(n, default) if outcomes is None else outcomes,
        np.zeros(n) if endpoint is None else endpoint,
    )


def side(own: Requests, run_id: str = "a", **changed: Any) -> Side:
    """A run of 2 s ramp and a plateau at 10 users until its last second."""
    length_s = float(np.ceil(own.at_s.max(initial=1)))
    fields = {
        "run_id": run_id,
        "state": "finished",
        "scenario_hash": "one",
        "plan": PLAN,
        "plateaus": [Plateau(2, length_s, 10)],
        "length_s": length_s,
        "requests": own,
        "labels": {0: "GET /a"},
    }
    return Side(**{**fields, **changed})


def autocorrelated(
    random: np.random.Generator, *, seconds: int, rate: float, median_ms: float, correlation: float
) -> Requests:
    """Lognormal times whose level wanders from second to second as an AR(1) process.

    The logarithm has deviation 0.3 between seconds and 0.4 within, 0.5 in all.
    """
    level: NDArray[np.float64] = random.normal(0, 0.3 * np.sqrt(1 - correlation**2), seconds)
    level[0] = random.normal(0, 0.3)
    for at in range(1, seconds):
        level[at] += correlation * level[at - 1]
    count = random.poisson(rate, seconds)
    second = np.repeat(np.arange(seconds), count)
    times = median_ms * np.exp(level[second] + random.normal(0, 0.4, len(second)))
    return requests(second + random.uniform(0, 1, len(second)), times)
