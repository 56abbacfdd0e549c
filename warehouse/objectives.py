"""The limits that endpoints should answer within, and how attempts are counted against them.

An attempt that was answered rightly is within its limit or above it. A timeout is above it where its deadline
was not shorter; one that was given up earlier is unknown. Other failures are errors, and neither.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from warehouse.tiers import ATTEMPT, of_unix, read
from warehouse.transaction import transaction

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from warehouse.settings import Settings

ABOVE = "attempt_cell_above"
"""The table of how many attempts of a cell were within and above the limit it was counted with."""

LIMITS = """
    SELECT series_id, limit_us
    FROM objective JOIN series
        ON kind = 'probe' AND series.target = objective.target AND object = objective.endpoint
"""
"""SQL for the limit of each series that has one."""

COUNTS = ("n_within", "n_above", "n_unknown")
COUNTED = """
    count(*) FILTER (outcome = 'ok' AND total_us <= limit_us)::UINTEGER AS n_within,
    count(*) FILTER (
        outcome = 'ok' AND total_us > limit_us OR outcome = 'timeout' AND deadline_us >= limit_us
    )::UINTEGER AS n_above,
    count(*) FILTER (outcome = 'timeout' AND deadline_us < limit_us)::UINTEGER AS n_unknown
"""
"""SQL that counts attempts against their `limit_us`."""


def limits_of(settings: Settings) -> dict[tuple[str, str], int]:
    """The configured limit of each endpoint that has one, in microseconds, by target and endpoint."""
    return {
        (target.name, endpoint.label): round(limit_ms * 1000)
        for target in settings.target
        for endpoint in target.endpoint
        if (limit_ms := endpoint.objective_ms or target.objective_ms) is not None
    }


def configure(connection: DuckDBPyConnection, settings: Settings) -> int:
    """Take over the configured limits; of how many endpoints one changed.

    Cells of those are counted again where their attempts are kept; older ones keep the limit they were
    counted with.
    """
    wanted = limits_of(settings)
    stored = {
        (target, endpoint): limit
        for target, endpoint, limit in connection.execute("FROM objective").fetchall()
    }
    changed = sorted(name for name in wanted.keys() | stored.keys() if wanted.get(name) != stored.get(name))
    if not changed:
        return 0
    with transaction(connection):
        for target, endpoint in changed:
            connection.execute("DELETE FROM objective WHERE target = ? AND endpoint = ?", [target, endpoint])
            if (target, endpoint) in wanted:
                row = [target, endpoint, wanted[target, endpoint]]
                connection.execute("INSERT INTO objective VALUES (?, ?, ?)", row)
            _count_again(connection, target, endpoint)
    return len(changed)


def _count_again(connection: DuckDBPyConnection, target: str, endpoint: str) -> None:
    """Note the hours of an endpoint's cells as dirty whose attempts are kept."""
    connection.execute(
        """
        INSERT INTO dirty (tier, series_id, hour)
        SELECT DISTINCT $tier, series_id, date_trunc('hour', ts)
        FROM (
            SELECT ts, series_id FROM attempt_cell_1h UNION ALL SELECT ts, series_id FROM attempt_cell_5m
        )
        WHERE ts >= $raw_from AND series_id IN (
            SELECT series_id FROM series WHERE kind = 'probe' AND target = $target AND object = $endpoint
        )
        """,
        {
            "tier": ATTEMPT,
            "raw_from": read(connection, ATTEMPT).raw_from or of_unix(0),
            "target": target,
            "endpoint": endpoint,
        },
    )
