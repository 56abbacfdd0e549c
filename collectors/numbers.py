"""Numbers of a database server as samples, and its counters as what they grew by."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Literal

from collectors.names import clean_name
from collectors.readings import Meter
from warehouse.model import Outcome, Sample

Metrics = Mapping[str, tuple[str, Literal["lower", "higher"] | None]]
"""The unit of each metric, and which direction is better."""


class Numbers:
    """The samples of one look at a server."""

    def __init__(self, target: str, metrics: Metrics, at: datetime) -> None:
        self._target = clean_name(target)
        self._metrics = metrics
        self._at = at
        self.samples: list[Sample] = []

    def add(self, metric: str, value: float | None, thing: str = "") -> None:
        """A number; None where the server does not tell it."""
        if value is not None:
            self._append(metric, float(value), thing, Outcome.OK)

    def missing(self, metric: str, thing: str = "", outcome: Outcome = Outcome.NOT_MEASURABLE) -> None:
        """A number that could not be had, and why."""
        self._append(metric, None, thing, outcome)

    def _append(self, metric: str, value: float | None, thing: str, outcome: Outcome) -> None:
        unit, direction = self._metrics[metric]
        self.samples.append(
            Sample(
                at=self._at,
                kind="database",
                target=self._target,
                object=clean_name(thing) if thing else "",
                metric=metric,
                unit=unit,
                value=value,
                outcome=outcome,
                direction=direction,
            )
        )


class Counters:
    """Counters that only grow, unless their server started anew or was told to forget them."""

    def __init__(self) -> None:
        self._meter = Meter()

    def forget(self) -> None:
        """The next look is a first one."""
        self._meter = Meter()

    def grow(self, counters: Mapping[str, float]) -> tuple[float, Mapping[str, float]] | None:
        """Seconds and growth since the previous look; None at the first one, or when any counter fell."""
        growth = self._meter.grow({"": counters}).get("")
        if growth is None or any(by < 0 for by in growth.by.values()):
            return None
        return growth.seconds, growth.by
