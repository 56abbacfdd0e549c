"""SQL that the questions about load tests share: the run, its requests, their ranks and percentiles."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import StringConstraints

from warehouse.questions.asking import Asked
from warehouse.run_model import RUN_ID

CENSORED = 1 << 40
"""Added to how long a timeout was waited for (µs), so that it ranks above every answer: those fit 33 bits."""

Phase = Literal["all", "steady"]

FAILED = "outcome <> 'ok'"

LOAD = "part = 0"
"""SQL for requests of the load itself, not of tokens, setup and teardown."""

RANKS = f"""
    CASE outcome
        WHEN 'ok' THEN wait_us::UBIGINT + service_us
        WHEN 'timeout' THEN {CENSORED}::UBIGINT + wait_us + service_us
    END AS rank,
    CASE outcome
        WHEN 'ok' THEN service_us::UBIGINT
        WHEN 'timeout' THEN {CENSORED}::UBIGINT + service_us
    END AS service_rank
"""
"""SQL for what percentiles stand on: corrected times (from when a request was due) and service times."""

COUNTS = f"""
    count(*) AS requests, count(rank) AS n, count(*) FILTER ({FAILED}) AS failures,
    count(*) FILTER (outcome = 'timeout') AS timeouts,
    quantile_disc(rank, [0.50, 0.95, 0.99]) AS ranks
"""

PERCENTILES = f"""
    (ranks[1] % {CENSORED}) / 1000 AS p50_ms, coalesce(ranks[1] >= {CENSORED}, FALSE) AS p50_above,
    (ranks[2] % {CENSORED}) / 1000 AS p95_ms, coalesce(ranks[2] >= {CENSORED}, FALSE) AS p95_above,
    (ranks[3] % {CENSORED}) / 1000 AS p99_ms, coalesce(ranks[3] >= {CENSORED}, FALSE) AS p99_above
"""
"""SQL for percentiles of corrected time in ms, nearest rank; `above` where one is a timeout: it is longer."""


class OneRun(Asked):
    """One run, by its id."""

    run_id: Annotated[str, StringConstraints(pattern=RUN_ID)]

    def values(self, **more: Any) -> dict[str, Any]:
        """The values to bind."""
        return {"run_id": self.run_id, **more}


def elapsed_s(column: str = "ts") -> str:
    """SQL for the seconds since the load began."""
    return f"(epoch_us({column}) - epoch_us(began_at)) / 1e6"


def requests_of(phase: Phase, columns: str, where: str = "TRUE") -> str:
    """SQL for the requests of the chosen runs that are not read by cells: all, or those that began while the
    planned users stood still.
    """
    steady = f"""
        JOIN run_plateau USING (run_no)
        WHERE {elapsed_s()} >= from_s AND {elapsed_s()} < to_s AND
    """
    return f"""
        SELECT {columns}
        FROM load_request JOIN chosen USING (run_no) {steady if phase == "steady" else "WHERE"} {where}
            AND NOT by_cells
    """
