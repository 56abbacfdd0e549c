"""What may be asked of the warehouse: one function per question, each a pure text-and-values maker."""

from collections.abc import Callable, Mapping
from typing import Any

from warehouse.questions import (
    collectors,
    databases,
    distribution,
    endpoint_states,
    hosts,
    latency,
    load_curve,
    marks,
    percentiles,
    queries,
    query_changes,
    query_latency,
    run_compare,
    run_saturation,
    run_series,
    runs,
    storage,
)
from warehouse.questions.asking import Statement

QUESTIONS: Mapping[str, Callable[[Any], Statement]] = {
    question.__name__: question
    for question in (
        percentiles.percentile_trend,
        percentiles.latency_summary,
        endpoint_states.endpoint_states,
        distribution.errors_by_class,
        distribution.phase_breakdown,
        distribution.latency_heatmap,
        latency.attempts,
        latency.endpoints,
        hosts.hosts,
        hosts.host_trend,
        hosts.host_now,
        hosts.top_processes,
        databases.databases,
        databases.database_states,
        databases.database_trend,
        databases.database_now,
        databases.lock_waits,
        databases.blockers,
        queries.slow_queries,
        queries.query_trend,
        queries.query_load,
        queries.query_patterns,
        query_changes.query_suspects,
        query_changes.query_changes,
        queries.query_stats,
        queries.query_shapes,
        query_latency.query_latency,
        query_latency.query_latency_trend,
        collectors.collector_jobs,
        collectors.collector_health,
        collectors.gaps,
        collectors.events,
        collectors.freshness,
        runs.runs,
        runs.run,
        runs.run_spans,
        run_series.run_seconds,
        run_series.run_endpoints,
        run_series.run_failures,
        run_series.run_requests,
        run_compare.run_compare,
        run_compare.run_compare_curves,
        run_saturation.run_saturation,
        run_saturation.run_resources,
        load_curve.load_curve,
        runs.load_agents,
        runs.audit_log,
        marks.marks,
        storage.samples,
        storage.kept_since,
        storage.storage,
        storage.cold_days,
        storage.simulated_changes,
    )
}
"""Every question by its name."""

__all__ = ["QUESTIONS", "Statement"]
