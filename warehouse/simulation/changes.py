"""What changed when and by how much in a made-up history: the labels that a detector is judged by."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from warehouse.simulation.scene import Random, Scene

DAY_MS = 86_400_000
DAYS_PER_CHANGE = 9
FEWEST = 6
LONGEST_OUTAGE_MS = 3 * 3_600_000


@dataclass(frozen=True)
class Change:
    """From `at_ms` to before `until_ms` (None: to the end) something is `factor` times what it was.

    Kinds: `latency` (an endpoint's whole distribution; below 1 an improvement), `tail` (its slowest
    hundredth alone), `errors` (its share of failures), `query` (a query's mean), `cpu` (a host's), `outage`
    (nothing was collected at all).
    """

    at_ms: int
    until_ms: int | None
    kind: str
    target: str
    object: str
    factor: float
    text: str

    def holds(self, from_ms: int, until_ms: int) -> bool:
        """Whether any of it lies in this span."""
        return self.at_ms < until_ms and (self.until_ms is None or self.until_ms > from_ms)


def draw(seed: int, scene: Scene, from_ms: int, until_ms: int) -> tuple[Change, ...]:
    """The changes of a seed, in order of time; more in a longer history."""
    random = np.random.default_rng([seed, 2])
    amount = max(FEWEST, (until_ms - from_ms) // DAY_MS // DAYS_PER_CHANGE)
    kinds = ("latency", "errors", "tail", "query", "cpu", "outage", "latency", "improvement")
    drawn = [
        _change(random, scene, kinds[number % len(kinds)], from_ms, until_ms) for number in range(amount)
    ]
    return tuple(sorted(drawn, key=lambda change: change.at_ms))


def of_kind(changes: Sequence[Change], kind: str, from_ms: int, until_ms: int) -> list[Change]:
    """The changes of one kind that matter to a span."""
    return [change for change in changes if change.kind == kind and change.holds(from_ms, until_ms)]


def _change(random: Random, scene: Scene, kind: str, from_ms: int, until_ms: int) -> Change:
    span = until_ms - from_ms
    at = from_ms + int(span * random.uniform(0.1, 0.9))
    lasts = min(int(random.exponential(span / 10)) + span // 100, span // 2)
    endpoint = scene.endpoints[int(random.integers(len(scene.endpoints)))]
    where = (endpoint.target, endpoint.label)
    if kind == "latency":
        factor, until = float(random.uniform(1.15, 2.5)), None if random.random() < 0.5 else at + lasts
    elif kind == "improvement":
        kind, factor, until = "latency", float(random.uniform(0.5, 0.85)), None
    elif kind == "tail":
        factor, until = float(random.uniform(3, 8)), at + lasts
    elif kind == "errors":
        factor, until = float(random.uniform(10, 60)), at + min(lasts, DAY_MS // 4)
    elif kind == "query":
        query = scene.queries[int(random.integers(len(scene.queries)))]
        where = (scene.database, query.shape)
        factor, until = float(random.uniform(1.5, 4)), at + lasts
    elif kind == "cpu":
        where = (scene.hosts[int(random.integers(len(scene.hosts)))], "")
        factor, until = float(random.uniform(1.3, 2.2)), at + lasts
    else:
        where, factor = ("", ""), 0.0
        until = at + min(max(span // 200, 60_000), LONGEST_OUTAGE_MS)
    return Change(at, until, kind, *where, round(factor, 3), _words(kind, where, factor))


def _words(kind: str, where: tuple[str, str], factor: float) -> str:
    name = " ".join(filter(None, where))
    if kind == "outage":
        return "nothing was collected"
    if kind == "errors":
        return f"{name} fails {factor:.0f} times as often"
    if kind == "tail":
        return f"the slowest hundredth of {name} takes {factor:.1f} times as long"
    what = "the CPU of " if kind == "cpu" else ""
    return f"{what}{name} {'is used' if what else 'takes'} {factor:.2f} times what it was"
