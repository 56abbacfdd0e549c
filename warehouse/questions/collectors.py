"""Questions about the collectors themselves: are they well, and what did they miss."""

from __future__ import annotations

from warehouse.questions.asking import (
    BUCKET,
    IN_WINDOW,
    RECENT,
    Nothing,
    Statement,
    Texts,
    Trend,
    Window,
    chosen,
)

OWN_EVENTS = "(source = 'warehouse' AND job IN ('storage', 'clock', 'restore'))"
"""What the warehouse tells of itself (`notes.py`), which is no collector's job."""

LATE_INTERVALS = 3
"""Intervals (of the job, or of its health reports) after which a job that said nothing is late."""

SILENT_S = 120
"""Seconds after which a collector that sent no health report is silent, unless it reports more rarely."""


class CollectorHealth(Trend):
    """The daemon's own numbers over time; none named means all."""

    source_name: Texts = ()
    metric: Texts = ()


def collector_jobs(asked: Window) -> Statement:
    """Every job with its state: failing (it said so), silent (no word for long), late, or ok.

    Waiting: no word of its collector was stored for long, but it sends: its rows wait in its spool. Counts
    are of the window; the state is that at the window's end.
    """
    return Statement(
        f"""
        WITH reported AS (
            SELECT target AS source, object AS job,
                min(ts) AS oldest_at, max(ts) AS newest_at,
                arg_max(value, ts) FILTER (metric = 'interval_s') AS interval_s,
                sum(value) FILTER (metric = 'runs_total' AND ts >= $start) AS runs,
                sum(value) FILTER (metric = 'errors_total' AND ts >= $start) AS errors,
                sum(value) FILTER (metric = 'missed_total' AND ts >= $start) AS missed,
                max(value) FILTER (metric = 'lag_max_ms' AND ts >= $start) AS lag_max_ms,
                max(value) FILTER (metric = 'run_max_ms' AND ts >= $start) AS run_max_ms,
                max(ts - to_milliseconds((value * 1000)::BIGINT)) FILTER (metric = 'last_success_age_s')
                    AS last_success_at
            FROM sample JOIN series USING (series_id)
            WHERE kind = 'collector' AND ts >= $start - INTERVAL 1 DAY AND ts < $end
            GROUP BY ALL
        ),
        told AS (
            SELECT source, job, arg_max(state, ts) AS state, max(ts) AS since_at, arg_max(text, ts) AS text,
                max(ts) < $end - INTERVAL {SILENT_S} SECOND AS is_old
            FROM event
            WHERE ts < $end AND NOT {OWN_EVENTS}
            GROUP BY ALL
        ),
        heard AS (
            SELECT *, coalesce(
                newest_at < $end - to_seconds(greatest({SILENT_S}, {LATE_INTERVALS} * report_s)::BIGINT), TRUE
            ) AS is_silent
            FROM (
                SELECT *, max(interval_s) FILTER (job = 'daemon') OVER (PARTITION BY source) AS report_s
                FROM reported
            )
        ),
        sending AS (
            SELECT source, bool_and(coalesce(is_silent, is_old, TRUE)) AS is_waiting
            FROM heard FULL JOIN told USING (source, job)
            WHERE source IN (
                SELECT source
                FROM (SELECT unnest($heard::VARCHAR[]) AS source, unnest($heard_at::TIMESTAMP[]) AS sent_at)
                WHERE sent_at BETWEEN $end - INTERVAL {SILENT_S} SECOND AND $end + INTERVAL {SILENT_S} SECOND
            )
            GROUP BY source
        )
        SELECT source, job,
            CASE
                WHEN coalesce(is_silent, is_old, TRUE)
                    THEN CASE WHEN is_waiting THEN 'waiting' ELSE 'silent' END
                WHEN told.state = 'failing' THEN 'failing'
                WHEN coalesce(last_success_at, oldest_at)
                    < newest_at - to_seconds(({LATE_INTERVALS} * interval_s)::BIGINT + 1)
                    THEN 'late'
                ELSE 'ok'
            END AS state,
            CASE WHEN is_silent THEN newest_at ELSE told.since_at END AS since_at,
            told.text, interval_s, newest_at, last_success_at,
            coalesce(runs, 0)::BIGINT AS runs, coalesce(errors, 0)::BIGINT AS errors,
            coalesce(missed, 0)::BIGINT AS missed, lag_max_ms, run_max_ms
        FROM heard FULL JOIN told USING (source, job) LEFT JOIN sending USING (source)
        """,
        asked.values(),
        order="state = 'ok', source, job",
        heard=True,
    )


def collector_health(asked: CollectorHealth) -> Statement:
    """The daemon's own numbers over time: CPU, memory, spool, loop lag."""
    return Statement(
        f"""
        WITH chosen AS (
            SELECT series_id, target AS source, metric, unit
            FROM series
            WHERE kind = 'collector' AND object = 'daemon' AND {chosen("target", "source_name")}
                AND {chosen("metric", "metric")}
        ),
        grouped AS (
            SELECT {BUCKET} AS bucket_at, series_id, count(value) AS n, avg(value) AS mean, max(value) AS max
            FROM sample
            WHERE {IN_WINDOW} AND series_id IN (SELECT series_id FROM chosen)
            GROUP BY 1, 2
        )
        SELECT bucket_at, $bucket_ms // 1000 AS bucket_s, source, metric, unit, n, mean, max
        FROM grouped JOIN chosen USING (series_id)
        """,
        asked.values(source_name=asked.source_name, metric=asked.metric),
        order="bucket_at, source, metric",
    )


def gaps(asked: Window) -> Statement:
    """Samples that were due in the window and do not exist, and why."""
    return Statement(
        """
        SELECT ts AS "at", until_ts AS until, source, job, reason, missed
        FROM gap
        WHERE ts < $end AND until_ts >= $start
        """,
        asked.values(),
        order='"at", source, job',
    )


def events(asked: Window) -> Statement:
    """Changes of state the collectors told of."""
    return Statement(
        f"""SELECT ts AS "at", source, job, state, text FROM event WHERE {IN_WINDOW}""",
        asked.values(),
        order='"at", source, job',
    )


def freshness(_: Nothing) -> Statement:
    """The newest row of each kind that each source sent."""
    return Statement(
        f"""
        WITH recent AS (
            SELECT series_id, max(ts) AS newest_at FROM attempt WHERE {RECENT} GROUP BY series_id
            UNION ALL
            SELECT series_id, max(ts) FROM sample WHERE {RECENT} GROUP BY series_id
        ),
        fresh AS (SELECT DISTINCT source, kind FROM recent JOIN series USING (series_id)),
        stale AS (SELECT series_id FROM series ANTI JOIN fresh USING (source, kind)),
        found AS (
            FROM recent
            UNION ALL
            SELECT series_id, max(ts) FROM attempt WHERE series_id IN (FROM stale) GROUP BY series_id
            UNION ALL
            SELECT series_id, max(ts) FROM sample WHERE series_id IN (FROM stale) GROUP BY series_id
        )
        SELECT source, kind, max(newest_at) AS newest_at
        FROM found JOIN series USING (series_id)
        GROUP BY ALL
        """,
        order="source, kind",
    )
