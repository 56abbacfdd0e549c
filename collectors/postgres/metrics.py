"""What a PostgreSQL server's numbers are called: units, directions, and the samples they become."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Literal

from collectors.names import clean_name
from warehouse.model import Outcome, Sample

METRICS: Mapping[str, tuple[str, Literal["lower", "higher"] | None]] = {
    "connections_used_ratio": ("ratio", "lower"),
    "connections": ("1", None),
    "connections_usable": ("1", None),
    "connections_active": ("1", None),
    "connections_idle": ("1", None),
    "connections_idle_in_transaction": ("1", "lower"),
    "connections_waiting": ("1", "lower"),
    "longest_transaction_s": ("s", "lower"),
    "longest_idle_in_transaction_s": ("s", "lower"),
    "longest_query_s": ("s", "lower"),
    "lock_waits": ("1", "lower"),
    "replication_lag_s": ("s", "lower"),
    "wal_bytes_per_s": ("bytes/s", None),
    "checkpoints_total": ("1", None),
    "transaction_id_age": ("1", "lower"),
    "transactions_per_s": ("1/s", None),
    "rollbacks_per_s": ("1/s", "lower"),
    "cache_hit_ratio": ("ratio", "higher"),
    "blocks_read_per_s": ("1/s", "lower"),
    "deadlocks_total": ("1", "lower"),
    "conflicts_total": ("1", "lower"),
    "temp_bytes": ("bytes", "lower"),
    "temp_files_total": ("1", "lower"),
    "database_bytes": ("bytes", None),
    "statements_shapes": ("1", None),
    "statements_evictions_total": ("1", "lower"),
    "statements_resets_total": ("1", None),
    "statements_calls_total": ("1", None),
    "statements_sample_ms": ("ms", "lower"),
    "table_bytes": ("bytes", None),
    "table_rows": ("1", None),
    "table_dead_ratio": ("ratio", "lower"),
    "table_free_ratio": ("ratio", "lower"),
    "vacuum_age_s": ("s", "lower"),
    "vacuum_never": ("1", "lower"),
    "analyze_age_s": ("s", "lower"),
    "seq_scans_per_s": ("1/s", None),
    "sequential_rows_per_s": ("1/s", "lower"),
}
"""Every metric of a PostgreSQL server: its unit, and which direction is better."""


class Numbers:
    """Gathers the numbers of one sample."""

    def __init__(self, target: str, at: datetime) -> None:
        self._target = target
        self._at = at
        self.samples: list[Sample] = []

    def add(
        self, metric: str, value: float | None, thing: str = "", *, outcome: Outcome = Outcome.OK
    ) -> None:
        """Note a number; what is None was not to be had, and is left out unless the outcome says why."""
        if value is None and outcome is Outcome.OK:
            return
        unit, direction = METRICS[metric]
        self.samples.append(
            Sample(
                at=self._at,
                kind="database",
                target=self._target,
                object=thing and clean_name(thing),
                metric=metric,
                unit=unit,
                value=None if value is None else float(value),
                outcome=outcome,
                direction=direction,
            )
        )
