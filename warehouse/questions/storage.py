"""Questions about what is kept: samples as they came, and the room they take."""

from __future__ import annotations

from warehouse.questions.asking import IN_WINDOW, Nothing, Statement, Texts, Window, chosen


class Samples(Window):
    """Single samples of the chosen series; none named means all."""

    kind: Texts = ()
    target: Texts = ()
    object: Texts = ()
    metric: Texts = ()


def samples(asked: Samples) -> Statement:
    """Single samples as they were measured."""
    return Statement(
        f"""
        SELECT ts AS "at", kind, target, object, metric, unit, value, outcome
        FROM sample JOIN series USING (series_id)
        WHERE {IN_WINDOW} AND {chosen("kind", "kind")} AND {chosen("target", "target")}
            AND {chosen("object", "object")} AND {chosen("metric", "metric")}
        """,
        asked.values(kind=asked.kind, target=asked.target, object=asked.object, metric=asked.metric),
        order='"at", kind, target, object, metric',
        raw=True,
    )


def simulated_changes(_: Nothing) -> Statement:
    """What changed when and by how much in a made-up history; nothing where what is kept was measured.

    From `at` to before `until` (empty: to the end) it is `factor` times what it was.
    """
    return Statement(
        """
        SELECT ts AS "at", until_ts AS until, kind, target, object, factor, text
        FROM simulated_change
        """,
        order='"at", kind, target, object',
    )


def cold_days(_: Nothing) -> Statement:
    """Closed days whose attempts lie in Parquet files below the data directory, and how much is in each."""
    return Statement("SELECT day, file, rows, bytes, row_hash, frozen_at FROM cold_day", order="day")


def kept_since(_: Nothing) -> Statement:
    """Since when single rows are kept, of each kind whose older ones were deleted; cells tell of these."""
    return Statement(
        "SELECT name AS table_name, raw_from AS since FROM tier "
        "WHERE raw_from IS NOT NULL AND name IN ('attempt', 'sample', 'query_stat')",
        order="table_name",
    )


def storage(_: Nothing) -> Statement:
    """Rows, age and room of each table; the file, its log, its growth a day and when the disk will be full.

    `bytes` counts whole blocks of the disk, some of which tables share; what was deleted is among them until
    it is used again. It is measured every ten minutes (`measured_at`). `fills_at` is empty where that is not
    foreseen: what is deleted by age uses its own room again.
    """
    return Statement(
        """
        WITH known AS (
            SELECT unnest($tables::VARCHAR[]) AS table_name, unnest($bytes::BIGINT[]) AS bytes,
                unnest($bytes_per_row::DOUBLE[]) AS bytes_per_row,
                unnest($rows_per_day::DOUBLE[]) AS rows_per_day
        ),
        counted AS (
            SELECT 'attempt' AS table_name, count(*) AS rows, min(ts) AS oldest_at, max(ts) AS newest_at
            FROM attempt
            UNION ALL
            SELECT 'sample', count(*), min(ts), max(ts) FROM sample
            UNION ALL
            SELECT 'gap', count(*), min(ts), max(ts) FROM gap
            UNION ALL
            SELECT 'event', count(*), min(ts), max(ts) FROM event
            UNION ALL
            SELECT 'query_stat', count(*), min(ts), max(ts) FROM query_stat
            UNION ALL
            SELECT 'query_latency', count(*), min(ts), max(ts) FROM query_latency
            UNION ALL
            SELECT 'lock_wait', count(*), min(ts), max(ts) FROM lock_wait
            UNION ALL
            SELECT 'database_state', count(*), min(ts), max(ts) FROM database_state
            UNION ALL
            SELECT 'query_shape', count(*), min(first_seen_at), max(first_seen_at) FROM query_shape
            UNION ALL
            SELECT 'batch', count(*), min(received_at), max(received_at) FROM batch
            UNION ALL
            SELECT 'series', count(*), min(first_seen_at), max(first_seen_at) FROM series
            UNION ALL
            SELECT 'run', count(*), min(requested_at), max(requested_at) FROM run
            UNION ALL
            SELECT 'run_endpoint', count(*), NULL, NULL FROM run_endpoint
            UNION ALL
            SELECT 'run_plateau', count(*), NULL, NULL FROM run_plateau
            UNION ALL
            SELECT 'run_seat', count(*), NULL, NULL FROM run_seat
            UNION ALL
            SELECT 'load_request', count(*), min(ts)::TIMESTAMP_MS, max(ts)::TIMESTAMP_MS FROM load_request
            UNION ALL
            SELECT 'load_beat', count(*), min(ts), max(ts) FROM load_beat
            UNION ALL
            SELECT 'load_error', count(*), NULL, NULL FROM load_error
            UNION ALL
            SELECT 'run_tier', count(*), min(began_at), max(began_at) FROM run_tier
            UNION ALL
            SELECT 'run_cell', count(*), NULL, NULL FROM run_cell
            UNION ALL
            SELECT 'run_cell_outcome', count(*), NULL, NULL FROM run_cell_outcome
            UNION ALL
            SELECT 'load_agent', count(*), min(seen_at), max(seen_at) FROM load_agent
            UNION ALL
            SELECT 'mark', count(*), min(ts), max(ts) FROM mark
            UNION ALL
            SELECT 'version_told', count(*), min(ts), max(ts) FROM version_told
            UNION ALL
            SELECT 'baseline', count(*), min(pinned_at), max(pinned_at) FROM baseline
            UNION ALL
            SELECT 'baseline_run', count(*), NULL, NULL FROM baseline_run
            UNION ALL
            SELECT 'baseline_level', count(*), NULL, NULL FROM baseline_level
            UNION ALL
            SELECT 'baseline_attempt', count(*), min(ts), max(ts) FROM baseline_attempt
            UNION ALL
            SELECT 'regression', count(*), min(changed_at), max(changed_at) FROM regression
            UNION ALL
            SELECT 'change_point', count(*), min(ts), max(ts) FROM change_point
            UNION ALL
            SELECT 'regression_event', count(*), min(ts), max(ts) FROM regression_event
            UNION ALL
            SELECT 'co_movement', count(*), NULL, NULL FROM co_movement
            UNION ALL
            SELECT 'judged', count(*), min(until_ts), max(until_ts) FROM judged
            UNION ALL
            SELECT 'audit', count(*), min(ts), max(ts) FROM audit
            UNION ALL
            SELECT 'attempt_cell_5m', count(*), min(ts), max(ts) FROM attempt_cell_5m
            UNION ALL
            SELECT 'attempt_cell_1h', count(*), min(ts), max(ts) FROM attempt_cell_1h
            UNION ALL
            SELECT 'attempt_cell_1d', count(*), min(ts), max(ts) FROM attempt_cell_1d
            UNION ALL
            SELECT 'attempt_cell_outcome', count(*), min(ts), max(ts) FROM attempt_cell_outcome
            UNION ALL
            SELECT 'attempt_cell_above', count(*), min(ts), max(ts) FROM attempt_cell_above
            UNION ALL
            SELECT 'objective', count(*), NULL, NULL FROM objective
            UNION ALL
            SELECT 'sample_cell_1h', count(*), min(ts), max(ts) FROM sample_cell_1h
            UNION ALL
            SELECT 'sample_cell_1d', count(*), min(ts), max(ts) FROM sample_cell_1d
            UNION ALL
            SELECT 'query_stat_cell_1h', count(*), min(ts), max(ts) FROM query_stat_cell_1h
            UNION ALL
            SELECT 'query_stat_cell_1d', count(*), min(ts), max(ts) FROM query_stat_cell_1d
            UNION ALL
            SELECT 'tier', count(*), min(raw_from), max(sealed_until) FROM tier
            UNION ALL
            SELECT 'dirty', count(*), min(hour), max(hour) FROM dirty
            UNION ALL
            SELECT 'cold_day', count(*), min(day)::TIMESTAMP_MS, max(day)::TIMESTAMP_MS FROM cold_day
            UNION ALL
            SELECT 'attempt_late', count(*), min(ts), max(ts) FROM attempt_late
            UNION ALL
            SELECT 'simulation', count(*), min(from_ts), max(until_ts) FROM simulation
            UNION ALL
            SELECT 'simulated_change', count(*), min(ts), max(ts) FROM simulated_change
        )
        SELECT table_name, rows, oldest_at, newest_at, $file_bytes::BIGINT AS file_bytes,
            $wal_bytes::BIGINT AS wal_bytes, bytes, bytes_per_row, rows_per_day,
            $measured_at::TIMESTAMP_MS AS measured_at, $grows::DOUBLE AS file_bytes_per_day,
            $free_bytes::BIGINT AS free_bytes, $fills_at::TIMESTAMP_MS AS fills_at
        FROM counted LEFT JOIN known USING (table_name)
        """,
        order="table_name",
        sizes=True,
    )
