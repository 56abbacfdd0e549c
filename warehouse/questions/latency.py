"""Questions about probed endpoints: percentiles, errors, phases, and the attempts themselves."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from warehouse.model import Outcome
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

CENSORED = 4_294_967_296
"""Added to a timeout's deadline (µs), so that it ranks above every measured answer, which fits 32 bits."""

HEATMAP_BUCKETS = 120
RECENT_ATTEMPTS = 20
GONE_S = 120
BANDS_PER_DOUBLING = 2

CHOSEN = f"""
    SELECT series_id, target, object AS endpoint
    FROM series
    WHERE kind = 'probe' AND {chosen("target", "target")} AND {chosen("object", "endpoint")}
"""

PERCENTILES = f"""
    (ranks[1] % {CENSORED}) / 1000 AS p50_ms, ranks[1] >= {CENSORED} AS p50_above,
    (ranks[2] % {CENSORED}) / 1000 AS p95_ms, ranks[2] >= {CENSORED} AS p95_above,
    (ranks[3] % {CENSORED}) / 1000 AS p99_ms, ranks[3] >= {CENSORED} AS p99_above,
    max_us / 1000 AS max_ms,
    'raw' AS tier, 'probe' AS source, 0.0::DOUBLE AS error_bound
"""

AGGREGATES = """
    count(*) AS attempts, count(rank) AS n, count(*) FILTER (outcome = 'timeout') AS timeouts,
    count(*) FILTER (outcome <> 'ok') AS errors,
    quantile_disc(rank, [0.50, 0.95, 0.99]) AS ranks,
    max(total_us) FILTER (outcome = 'ok') AS max_us
"""

RANKED = f"""
    SELECT ts, series_id, outcome, status, total_us,
        CASE outcome
            WHEN 'ok' THEN total_us::UBIGINT
            WHEN 'timeout' THEN {CENSORED}::UBIGINT + deadline_us
        END AS rank
    FROM attempt
    WHERE {IN_WINDOW} AND series_id IN (SELECT series_id FROM chosen)
"""


class Endpoints(Window):
    """The chosen endpoints of the chosen targets; none named means all."""

    target: Texts = ()
    endpoint: Texts = ()


class EndpointSummary(Endpoints):
    """`merged` pools the attempts of all chosen endpoints before any percentile is taken."""

    merged: bool = False


class EndpointTrend(Trend):
    """The chosen endpoints over time."""

    target: Texts = ()
    endpoint: Texts = ()


class PercentileTrend(EndpointTrend):
    """`merged` pools the attempts of all chosen endpoints before any percentile is taken."""

    merged: bool = False


class Heatmap(EndpointTrend):
    """The chosen endpoints over time, in fewer buckets."""

    buckets: Annotated[int, Field(ge=1, le=300)] = HEATMAP_BUCKETS


class Attempts(Endpoints):
    """Single attempts, of the named outcomes or of all."""

    outcome: Annotated[tuple[Outcome, ...], Field(max_length=20)] = ()


def percentile_trend(asked: PercentileTrend) -> Statement:
    """p50, p95 and p99 of probed latency over time, per endpoint or pooled (ms, nearest rank)."""
    by = "0" if asked.merged else "series_id"
    return Statement(
        f"""
        WITH chosen AS ({CHOSEN}),
        ranked AS ({RANKED}),
        grouped AS (
            SELECT {BUCKET} AS bucket_at, {by} AS series_id, {AGGREGATES}
            FROM ranked
            GROUP BY 1, 2
        )
        SELECT bucket_at, $bucket_ms // 1000 AS bucket_s, target, endpoint, attempts, n, timeouts, errors,
            {PERCENTILES}
        FROM grouped LEFT JOIN chosen USING (series_id)
        """,
        asked.values(target=asked.target, endpoint=asked.endpoint),
        order="bucket_at, target, endpoint",
    )


def latency_summary(asked: EndpointSummary) -> Statement:
    """Percentiles, errors and the last outcome of the whole window, per endpoint or pooled.

    `skipped` counts the probes that were due and did not happen: what they would have met is not in the
    other numbers.
    """
    by = "0" if asked.merged else "series_id"
    return Statement(
        f"""
        WITH chosen AS ({CHOSEN}),
        ranked AS ({RANKED}),
        grouped AS (
            SELECT {by} AS series_id, {AGGREGATES}, max(ts) AS last_at,
                arg_max(outcome, ts) AS last_outcome, arg_max_null(status, ts) AS last_status
            FROM ranked
            GROUP BY 1
        ),
        skipped AS (
            SELECT {by} AS series_id, sum(missed)::BIGINT AS skipped
            FROM gap JOIN chosen ON job = 'probe ' || target || ' ' || endpoint
            WHERE ts < $end AND until_ts >= $start
            GROUP BY 1
        )
        SELECT target, endpoint, attempts, n, timeouts, errors, coalesce(skipped, 0) AS skipped,
            {PERCENTILES}, errors / attempts AS error_ratio, last_at, last_outcome, last_status
        FROM grouped LEFT JOIN chosen USING (series_id) LEFT JOIN skipped USING (series_id)
        """,
        asked.values(target=asked.target, endpoint=asked.endpoint),
        order="p95_above DESC, p95_ms DESC NULLS LAST, target, endpoint",
    )


def endpoint_states(asked: Endpoints) -> Statement:
    """How each endpoint does at the window's end, from its own attempts.

    `failing`: the last attempt failed; `since_at` is the first failure after the last success.
    `flaky`: the last one was ok, and a fifth or more of the recent ones failed. `gone`: no attempt for
    three times the usual pause between two; probably it is no longer configured. Otherwise `ok`.
    """
    return Statement(
        f"""
        WITH chosen AS ({CHOSEN}),
        ranked AS (
            SELECT ts, series_id, outcome, status,
                row_number() OVER (PARTITION BY series_id ORDER BY ts DESC) AS back,
                max(ts) FILTER (outcome = 'ok') OVER (PARTITION BY series_id) AS last_ok_at
            FROM attempt
            WHERE {IN_WINDOW} AND series_id IN (SELECT series_id FROM chosen)
        ),
        judged AS (
            SELECT series_id, max(ts) AS last_at, arg_max(outcome, ts) AS last_outcome,
                arg_max_null(status, ts) AS last_status,
                min(ts) FILTER (last_ok_at IS NULL OR ts > last_ok_at) AS failed_at,
                count(*) FILTER (back <= {RECENT_ATTEMPTS}) AS recent_attempts,
                count(*) FILTER (back <= {RECENT_ATTEMPTS} AND outcome <> 'ok') AS recent_errors,
                (max(ts) - min(ts)) / greatest(count(*) - 1, 1) AS usual_pause
            FROM ranked
            GROUP BY series_id
        )
        SELECT target, endpoint,
            CASE
                WHEN last_at < $end - greatest(3 * usual_pause, INTERVAL {GONE_S} SECOND) THEN 'gone'
                WHEN last_outcome <> 'ok' THEN 'failing'
                WHEN recent_attempts >= 5 AND recent_errors * 5 >= recent_attempts THEN 'flaky'
                ELSE 'ok'
            END AS state,
            CASE WHEN last_outcome <> 'ok' THEN failed_at END AS since_at,
            last_at, last_outcome, last_status, recent_attempts, recent_errors
        FROM judged JOIN chosen USING (series_id)
        """,
        asked.values(target=asked.target, endpoint=asked.endpoint),
        order="target, endpoint",
    )


def errors_by_class(asked: EndpointTrend) -> Statement:
    """Attempts over time by how they ended (`ok` among them)."""
    return Statement(
        f"""
        WITH chosen AS ({CHOSEN})
        SELECT {BUCKET} AS bucket_at, $bucket_ms // 1000 AS bucket_s, outcome, count(*) AS attempts
        FROM attempt
        WHERE {IN_WINDOW} AND series_id IN (SELECT series_id FROM chosen)
        GROUP BY ALL
        """,
        asked.values(target=asked.target, endpoint=asked.endpoint),
        order="bucket_at, outcome",
    )


def phase_breakdown(asked: EndpointTrend) -> Statement:
    """Mean time of each phase over ok attempts (ms): means add up to the total, percentiles do not.

    A phase that an attempt skipped (a kept-alive connection has no connect) counts as no time.
    The DNS look-up comes before the total and is not part of it.
    """
    return Statement(
        f"""
        WITH chosen AS ({CHOSEN})
        SELECT {BUCKET} AS bucket_at, $bucket_ms // 1000 AS bucket_s, count(*) AS n,
            avg(dns_us) / 1000 AS dns_ms,
            avg(coalesce(connect_us, 0)) / 1000 AS connect_ms,
            avg(coalesce(tls_us, 0)) / 1000 AS tls_ms,
            avg(coalesce(first_byte_us, 0)) / 1000 AS first_byte_ms,
            avg(
                total_us::BIGINT - coalesce(connect_us, 0) - coalesce(tls_us, 0) - coalesce(first_byte_us, 0)
            ) / 1000 AS download_ms,
            avg(total_us) / 1000 AS total_ms
        FROM attempt
        WHERE {IN_WINDOW} AND outcome = 'ok' AND series_id IN (SELECT series_id FROM chosen)
        GROUP BY ALL
        """,
        asked.values(target=asked.target, endpoint=asked.endpoint),
        order="bucket_at",
    )


def latency_heatmap(asked: Heatmap) -> Statement:
    """Attempts over time by band of latency, two bands to a doubling.

    A timeout lies in a band of its own that starts at its deadline and has no end.
    """
    return Statement(
        f"""
        WITH chosen AS ({CHOSEN}),
        banded AS (
            SELECT {BUCKET} AS bucket_at,
                CASE outcome WHEN 'ok'
                    THEN floor(log2(greatest(total_us, 1)) * {BANDS_PER_DOUBLING})::INTEGER
                END AS band,
                CASE outcome WHEN 'timeout' THEN deadline_us END AS deadline_us
            FROM attempt
            WHERE {IN_WINDOW} AND outcome IN ('ok', 'timeout') AND series_id IN (SELECT series_id FROM chosen)
        )
        SELECT bucket_at, $bucket_ms // 1000 AS bucket_s,
            coalesce(pow(2, band / {BANDS_PER_DOUBLING}.0), deadline_us) / 1000 AS low_ms,
            pow(2, (band + 1) / {BANDS_PER_DOUBLING}.0) / 1000 AS high_ms,
            count(*) AS attempts
        FROM banded
        GROUP BY bucket_at, band, deadline_us
        """,
        asked.values(target=asked.target, endpoint=asked.endpoint),
        order="bucket_at, low_ms, high_ms",
    )


def attempts(asked: Attempts) -> Statement:
    """Single attempts, durations in microseconds as they were measured."""
    return Statement(
        f"""
        WITH chosen AS ({CHOSEN})
        SELECT ts AS "at", target, endpoint, outcome, status, dns_us, connect_us, tls_us, first_byte_us,
            total_us, bytes, loop_lag_us, deadline_us
        FROM attempt JOIN chosen USING (series_id)
        WHERE {IN_WINDOW} AND {chosen("outcome::VARCHAR", "outcome")}
        """,
        asked.values(
            target=asked.target, endpoint=asked.endpoint, outcome=[outcome.value for outcome in asked.outcome]
        ),
        order='"at", target, endpoint',
        raw=True,
        cold=True,
    )


def endpoints(_: Nothing) -> Statement:
    """Every endpoint that was ever probed, and its newest attempt."""
    return Statement(
        f"""
        WITH found AS ({newest("attempt", "SELECT series_id FROM series WHERE kind = 'probe'")})
        SELECT target, object AS endpoint, first_seen_at, newest_at
        FROM series LEFT JOIN found USING (series_id)
        WHERE kind = 'probe'
        """,
        order="target, endpoint",
    )
