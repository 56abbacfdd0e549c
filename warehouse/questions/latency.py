"""Questions about probed endpoints: states, errors, phases, bands, and the attempts themselves."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from warehouse.model import Outcome
from warehouse.questions.asking import (
    BUCKET,
    IN_WINDOW,
    Nothing,
    Statement,
    chosen,
    newest,
)
from warehouse.questions.percentiles import CHOSEN, Endpoints, EndpointTrend

HEATMAP_BUCKETS = 120
RECENT_ATTEMPTS = 20
GONE_S = 120
BANDS_PER_DOUBLING = 2


class Heatmap(EndpointTrend):
    """The chosen endpoints over time, in fewer buckets."""

    buckets: Annotated[int, Field(ge=1, le=300)] = HEATMAP_BUCKETS


class Attempts(Endpoints):
    """Single attempts, of the named outcomes or of all."""

    outcome: Annotated[tuple[Outcome, ...], Field(max_length=20)] = ()


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
