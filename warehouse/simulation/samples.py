"""Samples of hosts, of the database and of the collector, for a span of a made-up history."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from warehouse.simulation.changes import Change, of_kind
from warehouse.simulation.scene import Numbers, Random, Scene, business

SOURCE = "simulation"
"""Under which source everything that was made up is stored."""

GB = 1 << 30
STEPS_S = (5, 15, 60, 300)
MOST_SAMPLES_PER_METRIC = 250_000

Key = tuple[str, str, str, str, str]
"""kind, target, object, metric, unit."""


def step_s(length_s: float) -> int:
    """Seconds between two samples of a metric: those of a real collector where that is not too many."""
    return next((step for step in STEPS_S if length_s / step <= MOST_SAMPLES_PER_METRIC), STEPS_S[-1])


class Samples:
    """Makes the samples of all series, span by span."""

    def __init__(self, scene: Scene, changes: Sequence[Change], *, from_ms: int, until_ms: int) -> None:
        self._scene = scene
        self._changes = changes
        self._from_ms = from_ms
        self._until_ms = until_ms
        self.step_ms = step_s((until_ms - from_ms) / 1000) * 1000

    def keys(self) -> list[Key]:
        """Every series, in the order of their numbers in `table`."""
        instant = np.array([self._from_ms], np.int64)
        return list(self._values(instant, np.random.default_rng(0)))

    def instants(self, from_ms: int, until_ms: int) -> NDArray[np.int64]:
        """When samples are taken in a span: on whole steps, and not while nothing was collected."""
        first = -(-from_ms // self.step_ms) * self.step_ms
        at_ms = np.arange(first, until_ms, self.step_ms, dtype=np.int64)
        for change in of_kind(self._changes, "outage", from_ms, until_ms):
            at_ms = at_ms[(at_ms < change.at_ms) | (at_ms >= (change.until_ms or until_ms))]
        return at_ms

    def table(self, at_ms: NDArray[np.int64], random: Random) -> pa.Table:
        """Samples series by series: `series` counts the keys from 0."""
        values = list(self._values(at_ms, random).values())
        return pa.table(
            {
                "ts": pa.array(np.tile(at_ms, len(values))).cast(pa.timestamp("ms")),
                "series": np.repeat(np.arange(len(values), dtype=np.int32), len(at_ms)),
                "value": np.concatenate(values),
            }
        )

    def _values(self, at_ms: NDArray[np.int64], random: Random) -> dict[Key, Numbers]:
        values: dict[Key, Numbers] = {}
        for host in self._scene.hosts:
            values |= self._host(host, at_ms, random)
        values |= self._database(at_ms, random)
        values |= self._daemon(at_ms, random)
        return values

    def _noise(self, at_ms: NDArray[np.int64], random: Random, spread: float) -> Numbers:
        return np.asarray(random.normal(1, spread, at_ms.shape), np.float64)

    def _host(self, host: str, at_ms: NDArray[np.int64], random: Random) -> dict[Key, Numbers]:
        busy = business(at_ms)
        cpu = (0.05 + 0.5 * busy) * self._noise(at_ms, random, 0.12)
        for change in of_kind(self._changes, "cpu", self._from_ms, self._until_ms):
            if change.target == host:
                until = change.until_ms or self._until_ms
                cpu = np.where((at_ms >= change.at_ms) & (at_ms < until), cpu * change.factor, cpu)
        cpu = np.clip(cpu, 0.005, 1)
        memory = np.clip((0.4 + 0.25 * busy) * self._noise(at_ms, random, 0.02), 0, 0.99)
        grown = 0.3 + 0.5 * (at_ms - self._from_ms) / (self._until_ms - self._from_ms)
        plain = {
            ("cpu_ratio", "ratio"): cpu,
            ("cpu_user_ratio", "ratio"): cpu * 0.7,
            ("cpu_system_ratio", "ratio"): cpu * 0.25,
            ("cpu_iowait_ratio", "ratio"): cpu * 0.05,
            ("memory_used_ratio", "ratio"): memory,
            ("memory_used_bytes", "bytes"): np.round(memory * 16 * GB),
            ("memory_total_bytes", "bytes"): np.full(at_ms.shape, 16.0 * GB),
            ("load1", "1"): cpu * 4,
            ("cores", "1"): np.full(at_ms.shape, 4.0),
        }
        found: dict[Key, Numbers] = {
            ("host", host, "", metric, unit): np.round(value, 4) for (metric, unit), value in plain.items()
        }
        found["host", host, "/", "disk_used_ratio", "ratio"] = np.round(grown, 5)
        found["host", host, "/", "disk_free_bytes", "bytes"] = np.round((1 - grown) * 200 * GB)
        traffic = np.round(busy * 4e6 * self._noise(at_ms, random, 0.2))
        found["host", host, "eth0", "net_received_bytes_per_s", "bytes/s"] = traffic
        found["host", host, "eth0", "net_sent_bytes_per_s", "bytes/s"] = traffic * 3
        process = "postgres" if host.startswith("db") else "api"
        found["host", host, process, "process_cpu_ratio", "ratio"] = np.round(cpu * 3.2, 4)
        found["host", host, process, "process_memory_bytes", "bytes"] = np.round(memory * 9 * GB)
        return found

    def _database(self, at_ms: NDArray[np.int64], random: Random) -> dict[Key, Numbers]:
        busy = business(at_ms)
        used = np.round(12 + 60 * busy * self._noise(at_ms, random, 0.1))
        rate = np.round(busy * 400 * self._noise(at_ms, random, 0.1), 1)
        name = self._scene.database
        none = np.zeros(at_ms.shape)
        plain: dict[tuple[str, str, str], Numbers] = {
            ("", "connections", "1"): used,
            ("", "connections_usable", "1"): np.full(at_ms.shape, 97.0),
            ("", "connections_active", "1"): np.round(used * 0.2),
            ("", "connections_used_ratio", "ratio"): np.round(used / 97, 4),
            ("", "lock_waits", "1"): (random.random(at_ms.shape) < 0.02).astype(np.float64),
            ("", "longest_transaction_s", "s"): np.round(random.exponential(0.4, at_ms.shape), 3),
            (name, "transactions_per_s", "1/s"): rate,
            (name, "rollbacks_per_s", "1/s"): np.round(rate * 0.01, 3),
            (name, "cache_hit_ratio", "ratio"): np.round(0.995 - 0.01 * random.random(at_ms.shape), 4),
            (name, "deadlocks_total", "1"): none,
            (name, "database_bytes", "bytes"): np.round(8 * GB + (at_ms - self._from_ms) / 1000 * 150),
        }
        return {
            ("database", name, thing, metric, unit): value for (thing, metric, unit), value in plain.items()
        }

    def _daemon(self, at_ms: NDArray[np.int64], random: Random) -> dict[Key, Numbers]:
        none = np.zeros(at_ms.shape)
        plain: dict[tuple[str, str], Any] = {
            ("cpu_ratio", "ratio"): np.round(0.06 * self._noise(at_ms, random, 0.1), 4),
            ("memory_bytes", "bytes"): np.round(90e6 * self._noise(at_ms, random, 0.01)),
            ("spool_batches", "1"): none,
            ("spool_bytes", "bytes"): none,
            ("spool_dropped_total", "1"): none,
            ("loop_lag_max_ms", "ms"): np.round(random.exponential(1.5, at_ms.shape), 2),
        }
        return {
            ("collector", SOURCE, "daemon", metric, unit): value for (metric, unit), value in plain.items()
        }


def directions(keys: Sequence[Key]) -> list[str | None]:
    """Which way each series is better, where it is one or the other."""
    lower = ("cpu_ratio", "memory_used_ratio", "disk_used_ratio", "lock_waits", "deadlocks_total")
    return [
        "higher" if metric == "cache_hit_ratio" else "lower" if metric in lower else None
        for _, _, _, metric, _ in keys
    ]
