"""Load tests made up for the search of what saturated: a queue with one bottleneck, and what was watched."""

from collections.abc import Sequence

import numpy as np

from tests.warehouse.load_runs import requests
from warehouse.analysis.degradation import Windows, windows_of
from warehouse.analysis.requests import Floats
from warehouse.analysis.resources import Queries, Resources, Track

LENGTH_S = 60
ONSET_S = 30
AT_S = np.arange(1.0, LENGTH_S + 1)


def ramp(*, low_ms: float = 10, high_ms: float = 120, seed: int = 1, failing: float = 0.0) -> Windows:
    """A user more each second, 4 requests/s of each.

    Where `high_ms` is more than `low_ms`, answers take that from ONSET_S on, and the rate stays.
    """
    random = np.random.default_rng(seed)
    rate = 4 * np.minimum(np.arange(1, LENGTH_S + 1), ONSET_S if high_ms > low_ms else LENGTH_S)
    second = np.repeat(np.arange(LENGTH_S), random.poisson(rate))
    late = second >= ONSET_S
    times = np.where(late, high_ms, low_ms) * np.exp(random.normal(0, 0.2, len(second)))
    outcomes = np.where(late & (random.uniform(size=len(second)) < failing), "bad_status", "ok")
    own = requests(second + random.uniform(0, 1, len(second)), times, outcomes)
    return windows_of(own, LENGTH_S, AT_S, AT_S)


def steps(metric: str, low: float, high: float, at_s: float = ONSET_S, **named: str) -> Track:
    """A track that is low, and high from a second on; noise of 1 %."""
    random = np.random.default_rng(len(metric))
    values = np.where(at_s < AT_S, high, low) * (1 + 0.01 * random.uniform(-1, 0, LENGTH_S))
    fields = {"kind": "host", "object": "web", **named}
    return Track(fields["kind"], fields["object"], metric, AT_S, values)


def queries(low_ms: float, high_ms: float, calls: Floats, *, text: str = "SELECT slow") -> Queries:
    """One call of each request, as so many a second, taking `low_ms`, from ONSET_S on `high_ms`."""
    each = np.where(AT_S > ONSET_S, high_ms, low_ms)
    return Queries("shop", text, AT_S - 1, AT_S, calls, calls * each)


def rates(windows: Windows) -> Floats:
    return windows.n / windows.width_s


def quiet(*more: Track) -> Sequence[Track]:
    """Resources that have nothing to do, beside others."""
    return (
        steps("cpu_ratio", 0.2, 0.5),
        steps("memory_used_ratio", 0.4, 0.4),
        steps("generator_cpu_ratio", 0.2, 0.4, kind="generator", object="process 0"),
        steps("connections_used_ratio", 0.1, 0.2, kind="database", object="shop"),
        *more,
    )


def watched(*more: Track, queries: Sequence[Queries] = ()) -> Resources:
    replaced = {(track.kind, track.object, track.metric) for track in more}
    kept = [track for track in quiet() if (track.kind, track.object, track.metric) not in replaced]
    return Resources((*kept, *more), queries)
