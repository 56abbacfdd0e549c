"""Attempts of a span of a made-up history: lognormal latencies with seasons, errors by class, phases."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from warehouse.model import Outcome
from warehouse.simulation.changes import Change, of_kind
from warehouse.simulation.scene import DEADLINE_US, Random, Scene, business

JITTER_MS = 40
TAIL_SHARE = np.float32(0.01)
TAIL_FACTOR = 3.0

FAILURES = (
    (0.6, "bad_status"),
    (0.15, "reset"),
    (0.1, "refused"),
    (0.05, "dns"),
    (0.05, "tls"),
    (0.05, "timeout"),
)
"""How failures are shared among their classes."""

OUTCOMES = [outcome.value for outcome in Outcome]
OK, TIMEOUT, BAD_STATUS = (OUTCOMES.index(name) for name in ("ok", "timeout", "bad_status"))


class Attempts:
    """Makes attempts span by span: `per_endpoint` of each endpoint, evenly over the history."""

    def __init__(
        self, scene: Scene, changes: Sequence[Change], *, from_ms: int, until_ms: int, per_endpoint: int
    ) -> None:
        self._scene = scene
        self._changes = changes
        self._from_ms = from_ms
        self._until_ms = until_ms
        self._per_endpoint = per_endpoint
        self.period_ms = (until_ms - from_ms) / per_endpoint

    def turns(self, from_ms: int, until_ms: int) -> tuple[int, int]:
        """Which turns of each endpoint begin in a span."""
        first, last = (
            min(int(np.ceil((instant - self._from_ms) / self.period_ms)), self._per_endpoint)
            for instant in (from_ms, until_ms)
        )
        return first, last if until_ms < self._until_ms else self._per_endpoint

    def table(self, turns: tuple[int, int], random: Random, *, phases: bool) -> pa.Table:
        """The attempts of these turns, endpoint by endpoint in order of time.

        `series` counts the endpoints from 0. Without `phases` only what an attempt must have.
        """
        at_ms = self._instants(turns, random)
        service_us, outcome = self._ended(at_ms, random)
        connect_us, tls_us = self._handshakes(at_ms.shape, random)
        total_us = service_us + (connect_us + tls_us if phases else 0)
        late = total_us >= DEADLINE_US
        outcome = np.where(late, np.int8(TIMEOUT), outcome)
        is_answered = ((outcome == OK) | (outcome == BAD_STATUS)).ravel()
        kept = self._collected(at_ms).ravel()
        count = at_ms.shape[1]
        columns: dict[str, Any] = {
            "ts": pa.array(at_ms.ravel()).cast(pa.timestamp("ms")),
            "series": pa.array(np.repeat(np.arange(len(self._scene.endpoints), dtype=np.int32), count)),
            "outcome": pa.DictionaryArray.from_arrays(pa.array(outcome.ravel()), pa.array(OUTCOMES)),
            "status": _masked(np.where(outcome == OK, 200, 503).astype(np.uint16).ravel(), is_answered),
            "total_us": _masked(np.minimum(total_us, DEADLINE_US).astype(np.uint32).ravel(), is_answered),
        }
        if phases:
            is_fresh = np.repeat([each.is_fresh for each in self._scene.endpoints], count)
            columns |= self._phases(service_us, connect_us, tls_us, is_answered, is_fresh, random)
        table = pa.table(columns)
        return table if kept.all() else table.filter(pa.array(kept))

    def _instants(self, turns: tuple[int, int], random: Random) -> NDArray[np.int64]:
        """When each attempt starts: endpoints spread over the period, each up to JITTER_MS late."""
        endpoints = len(self._scene.endpoints)
        offsets = np.arange(endpoints)[:, None] * (self.period_ms / endpoints)
        due = (np.arange(*turns)[None, :] * self.period_ms + offsets).astype(np.int64)
        jitter = random.integers(0, max(1, min(JITTER_MS, int(self.period_ms / 2))), due.shape)
        instants: NDArray[np.int64] = np.minimum(self._from_ms + due + jitter, self._until_ms - 1)
        return instants

    def _ended(
        self, at_ms: NDArray[np.int64], random: Random
    ) -> tuple[NDArray[np.float32], NDArray[np.int8]]:
        """How long the service took (µs), and how each attempt ended."""
        scene, shape = self._scene, at_ms.shape
        span = (int(at_ms.min()), int(at_ms.max()) + 1)
        deviation = random.standard_normal(shape, np.float32) * scene.column("sigma")
        season = 1 + scene.column("sensitivity") * business(at_ms).astype(np.float32)
        service_us = np.exp(deviation) * scene.column("median_us") * season
        chance = random.random(shape, np.float32)
        in_tail = chance > 1 - TAIL_SHARE
        service_us = np.where(in_tail, service_us * np.float32(TAIL_FACTOR), service_us)
        ratio = np.repeat(scene.column("error_ratio"), shape[1], axis=1)
        for kind in ("latency", "tail", "errors"):
            for change in of_kind(self._changes, kind, *span):
                place = self._place_of(change)
                holds = (at_ms[place] >= change.at_ms) & (at_ms[place] < (change.until_ms or span[1]))
                if kind == "errors":
                    ratio[place, holds] = np.minimum(ratio[place, holds] * change.factor, 0.5)
                else:
                    meant = holds & in_tail[place] if kind == "tail" else holds
                    service_us[place, meant] *= np.float32(change.factor)
        return service_us, _outcomes(chance, ratio)

    def _place_of(self, change: Change) -> int:
        names = [(each.target, each.label) for each in self._scene.endpoints]
        return names.index((change.target, change.object))

    def _handshakes(
        self, shape: tuple[int, ...], random: Random
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Connecting and TLS (µs), nothing for endpoints whose connection is kept."""
        fresh = np.array([each.is_fresh for each in self._scene.endpoints], np.float32)[:, None]
        noise = random.integers(0, 256, shape, np.uint8).astype(np.float32)
        return fresh * (180 + noise), fresh * (2200 + 8 * noise[:, ::-1])

    def _collected(self, at_ms: NDArray[np.int64]) -> NDArray[np.bool_]:
        kept = np.ones(at_ms.shape, np.bool_)
        for change in of_kind(self._changes, "outage", int(at_ms.min()), int(at_ms.max()) + 1):
            assert change.until_ms is not None
            kept &= (at_ms < change.at_ms) | (at_ms >= change.until_ms)
        return kept

    def _phases(
        self,
        service_us: NDArray[np.float32],
        connect_us: NDArray[np.float32],
        tls_us: NDArray[np.float32],
        is_answered: NDArray[np.bool_],
        is_fresh: NDArray[np.bool_],
        random: Random,
    ) -> dict[str, Any]:
        first_byte = (service_us * np.float32(0.9)).astype(np.uint32).ravel()
        sizes = np.repeat(self._scene.column("size_bytes").astype(np.int64), service_us.shape[1], axis=1)
        lag = random.integers(15, 120, service_us.size, np.uint16).astype(np.uint32)
        connected = is_answered & is_fresh
        return {
            "dns_us": _masked((connect_us * np.float32(0.8)).astype(np.uint32).ravel(), connected),
            "connect_us": _masked(connect_us.astype(np.uint32).ravel(), connected),
            "tls_us": _masked(tls_us.astype(np.uint32).ravel(), connected),
            "first_byte_us": _masked(first_byte, is_answered),
            "bytes": _masked(sizes.ravel(), is_answered),
            "loop_lag_us": pa.array(lag),
        }


def _outcomes(chance: NDArray[np.float32], ratio: NDArray[np.float32]) -> NDArray[np.int8]:
    """`ok`, or below `ratio` one of the classes of failures by their shares."""
    outcome = np.full(chance.shape, OK, np.int8)
    failed = np.nonzero(chance < ratio)
    shares = np.cumsum([share for share, _ in FAILURES])
    codes = np.array([OUTCOMES.index(name) for _, name in FAILURES], np.int8)
    within = chance[failed] / ratio[failed]
    outcome[failed] = codes[np.minimum(np.searchsorted(shares, within, side="right"), len(codes) - 1)]
    return outcome


def _masked(values: NDArray[Any], there: NDArray[np.bool_]) -> pa.Array:
    """The values, NULL where there is none."""
    return pa.array(values, mask=~there)
