"""Questions about probed endpoints: which there are, and the attempts themselves."""

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


class Attempts(Endpoints):
    """Single attempts, of the named outcomes or of all."""

    outcome: Annotated[tuple[Outcome, ...], Field(max_length=20)] = ()


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
