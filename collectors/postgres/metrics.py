"""What a PostgreSQL server's numbers are called, their units and directions."""

from __future__ import annotations

from collectors.numbers import Metrics

METRICS: Metrics = {
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
    "activity_gap_max_ms": ("ms", "lower"),
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
