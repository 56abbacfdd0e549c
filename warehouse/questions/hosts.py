"""Questions about hosts: their resources over time, now, and what uses them."""

from __future__ import annotations

from warehouse.questions.asking import (
    BUCKET,
    IN_WINDOW,
    Nothing,
    Statement,
    Texts,
    Trend,
    Window,
    chosen,
    newest,
)


class HostTrend(Trend):
    """The chosen metrics of the chosen hosts over time; none named means all."""

    host: Texts = ()
    metric: Texts = ()
    object: Texts = ()


class HostWindow(Window):
    """The chosen hosts over a window; none named means all."""

    host: Texts = ()


def hosts(_: Nothing) -> Statement:
    """Every host that was ever sampled, and its newest sample of the CPU."""
    steady = "SELECT series_id FROM series WHERE kind = 'host' AND metric = 'cpu_ratio'"
    return Statement(
        f"""
        WITH found AS ({newest("sample", steady)})
        SELECT target AS host, min(first_seen_at) AS first_seen_at, max(newest_at) AS newest_at
        FROM series LEFT JOIN found USING (series_id)
        WHERE kind = 'host'
        GROUP BY ALL
        """,
        order="host",
    )


def host_trend(asked: HostTrend) -> Statement:
    """Mean and maximum of each metric over time, per object. Nothing is added up over objects."""
    return Statement(
        f"""
        WITH chosen AS (
            SELECT series_id, target AS host, object, metric, unit
            FROM series
            WHERE kind = 'host' AND {chosen("target", "host")} AND {chosen("metric", "metric")}
                AND {chosen("object", "object")}
        ),
        grouped AS (
            SELECT {BUCKET} AS bucket_at, series_id, count(value) AS n,
                count(*) FILTER (outcome <> 'ok') AS failures, avg(value) AS mean, max(value) AS max
            FROM sample
            WHERE {IN_WINDOW} AND series_id IN (SELECT series_id FROM chosen)
            GROUP BY 1, 2
        )
        SELECT bucket_at, $bucket_ms // 1000 AS bucket_s, host, object, metric, unit, n, failures, mean, max
        FROM grouped JOIN chosen USING (series_id)
        """,
        asked.values(host=asked.host, metric=asked.metric, object=asked.object),
        order="bucket_at, host, metric, object",
    )


def host_now(asked: HostWindow) -> Statement:
    """The newest sample of each metric and object within the window."""
    return Statement(
        f"""
        WITH newest AS (
            SELECT series_id, max(ts) AS "at", arg_max_null(value, ts) AS value,
                arg_max(outcome, ts) AS outcome
            FROM sample
            WHERE {IN_WINDOW} AND series_id IN (
                SELECT series_id FROM series WHERE kind = 'host' AND {chosen("target", "host")}
            )
            GROUP BY series_id
        )
        SELECT target AS host, object, metric, unit, "at", value, outcome
        FROM newest JOIN series USING (series_id)
        """,
        asked.values(host=asked.host),
        order="host, metric, object",
    )


def top_processes(asked: HostWindow) -> Statement:
    """What processes used, by name: CPU as a ratio of one core, memory in bytes.

    Only the hungriest and the watched are sampled, so `n` differs: a mean stands on the samples in
    which the name was among them.
    """
    return Statement(
        f"""
        SELECT object AS process, count(value) FILTER (metric = 'process_memory_bytes') AS n,
            avg(value) FILTER (metric = 'process_cpu_ratio') AS cpu_ratio_mean,
            max(value) FILTER (metric = 'process_cpu_ratio') AS cpu_ratio_max,
            avg(value) FILTER (metric = 'process_memory_bytes') AS memory_bytes_mean,
            max(value) FILTER (metric = 'process_memory_bytes') AS memory_bytes_max,
            max(value) FILTER (metric = 'process_count') AS count_max
        FROM sample JOIN series USING (series_id)
        WHERE {IN_WINDOW} AND kind = 'host' AND starts_with(metric, 'process_')
            AND {chosen("target", "host")}
        GROUP BY ALL
        """,
        asked.values(host=asked.host),
        order="cpu_ratio_mean DESC NULLS LAST, process",
    )
