"""Questions about probed endpoints: states, errors, phases, bands, and the attempts themselves."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from warehouse.model import Outcome
from warehouse.questions.asking import (
    IN_WINDOW,
    Nothing,
    Statement,
    chosen,
    newest,
)
from warehouse.questions.stages import CHOSEN, Endpoints

RECENT_ATTEMPTS = 20
GONE_S = 120


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
