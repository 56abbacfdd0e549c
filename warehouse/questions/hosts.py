"""Questions about hosts: their resources over time, now, and what uses them."""

from __future__ import annotations

from warehouse.questions.asking import (
    Nothing,
    Staged,
    Statement,
    Texts,
    Trend,
    Window,
    chosen,
    newest,
)
from warehouse.questions.sums import summed
from warehouse.sum_cells import SAMPLES


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
        WITH found AS ({newest("sample", steady)}),
        kept AS (
            SELECT series_id, max(last_at) AS kept_at FROM sample_cell_1d
            WHERE series_id IN ({steady}) GROUP BY series_id
        )
        SELECT target AS host, min(first_seen_at) AS first_seen_at,
            max(coalesce(newest_at, kept_at)) AS newest_at
        FROM series LEFT JOIN found USING (series_id) LEFT JOIN kept USING (series_id)
        WHERE kind = 'host'
        GROUP BY ALL
        """,
        order="host",
    )


def host_trend(asked: HostTrend) -> Staged:
    """Mean and maximum of each metric over time, per object. Nothing is added up over objects."""
    return summed(
        asked,
        SAMPLES,
        {"host": list(asked.host), "metric": list(asked.metric), "object": list(asked.object)},
        which=f"kind = 'host' AND {chosen('target', 'host')} AND {chosen('metric', 'metric')} "
        f"AND {chosen('object', 'object')}",
        told="SELECT bucket_at, bucket_s, target AS host, object, metric, unit, n::BIGINT AS n, "
        "failures::BIGINT AS failures, sum / nullif(n, 0) AS mean, max, tags "
        "FROM summed JOIN series USING (series_id)",
        order="bucket_at, host, metric, object",
    )


def host_now(asked: HostWindow) -> Staged:
    """The newest sample of each metric and object within the window."""
    return summed(
        asked,
        SAMPLES,
        {"host": list(asked.host)},
        which=f"kind = 'host' AND {chosen('target', 'host')}",
        told='SELECT target AS host, object, metric, unit, last_at AS "at", last_value AS value, '
        "last_outcome AS outcome, tags FROM summed JOIN series USING (series_id)",
        order="host, metric, object",
    )


def top_processes(asked: HostWindow) -> Staged:
    """What processes used, by name: CPU as a ratio of one core, memory in bytes.

    Only the hungriest and the watched are sampled, so `n` differs: a mean stands on the samples in
    which the name was among them.
    """
    return summed(
        asked,
        SAMPLES,
        {"host": list(asked.host)},
        which=f"kind = 'host' AND starts_with(metric, 'process_') AND {chosen('target', 'host')}",
        told=f"""
            SELECT object AS process,
                coalesce(sum(n) FILTER (metric = 'process_memory_bytes'), 0)::BIGINT AS n,
                {_mean("process_cpu_ratio")} AS cpu_ratio_mean,
                max(max) FILTER (metric = 'process_cpu_ratio') AS cpu_ratio_max,
                {_mean("process_memory_bytes")} AS memory_bytes_mean,
                max(max) FILTER (metric = 'process_memory_bytes') AS memory_bytes_max,
                max(max) FILTER (metric = 'process_count') AS count_max, bit_or(tags) AS tags
            FROM summed JOIN series USING (series_id)
            GROUP BY process
        """,
        order="cpu_ratio_mean DESC NULLS LAST, process",
    )


def _mean(metric: str) -> str:
    of = f"FILTER (metric = '{metric}')"
    return f"sum(sum) {of} / nullif(sum(n) {of}, 0)"
