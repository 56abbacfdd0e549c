"""Single attempts of baseline periods: kept when their like are deleted, and what level they stand at."""

from __future__ import annotations

from typing import TYPE_CHECKING

from warehouse.cells import CENSORED, RANK
from warehouse.histogram import LEVELS

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from duckdb import DuckDBPyConnection

PARTS = 12
"""Parts of a period whose percentiles make its band."""

IN_BASELINE = """
    EXISTS (
        FROM baseline JOIN series USING (target)
        WHERE series.series_id = attempt.series_id AND attempt.ts >= start_ts AND attempt.ts < until_ts
    )
"""
"""SQL of an attempt that lies in the period of a baseline of its target."""

EVERY = "(FROM attempt UNION ALL FROM baseline_attempt)"
"""SQL for all single attempts there are: those kept for their age and those of baselines."""


def keep(connection: DuckDBPyConnection, where: str, values: Mapping[str, datetime] | list[datetime]) -> int:
    """Before attempts are deleted, within that transaction: store those of baselines apart; how many.

    `where` is the condition by which they are deleted, with what is bound in it.
    """
    if not connection.execute("SELECT count(*) FROM baseline WHERE kind = 'period'").fetchall()[0][0]:
        return 0
    rows = connection.execute(
        f"INSERT INTO baseline_attempt SELECT * FROM attempt WHERE {where} AND {IN_BASELINE}", values
    ).fetchall()
    return int(rows[0][0])


def drop(connection: DuckDBPyConnection) -> int:
    """Delete the kept attempts that lie in no baseline any more; how many."""
    rows = connection.execute(
        "DELETE FROM baseline_attempt AS attempt WHERE NOT " + IN_BASELINE,
    ).fetchall()
    return int(rows[0][0])


def measure(connection: DuckDBPyConnection, baseline_id: str) -> int:
    """Note the level of a baseline's period: of each endpoint p50, p95 and p99; how many endpoints.

    The level is the percentile of the whole period, the band reaches from the least to the greatest that
    one of PARTS equal parts of it has. A percentile that falls on a timeout is its deadline, marked so.
    """
    levels = ", ".join(str(percent / 100) for percent in LEVELS)
    connection.execute(
        f"""
        INSERT INTO baseline_level
        WITH chosen AS (SELECT * FROM baseline WHERE baseline_id = $baseline),
        ranked AS (
            SELECT object AS endpoint, {RANK} AS rank,
                (epoch_ms(ts) - epoch_ms(start_ts)) * {PARTS} // (epoch_ms(until_ts) - epoch_ms(start_ts))
                    AS part
            FROM {EVERY} AS attempt JOIN series USING (series_id) JOIN chosen USING (target)
            WHERE ts >= start_ts AND ts < until_ts
        ),
        whole AS (
            SELECT endpoint, count(rank) AS n, quantile_disc(rank, [{levels}]) AS ranks
            FROM ranked GROUP BY endpoint
        ),
        parts AS (
            SELECT endpoint, quantile_disc(rank, [{levels}]) AS ranks FROM ranked GROUP BY endpoint, part
        ),
        bands AS (
            SELECT endpoint, [min(ranks[1]), min(ranks[2]), min(ranks[3])] AS lows,
                [max(ranks[1]), max(ranks[2]), max(ranks[3])] AS highs
            FROM parts GROUP BY endpoint
        ),
        told AS (
            SELECT endpoint, n, unnest([{", ".join(map(str, LEVELS))}]) AS percent, unnest(ranks) AS rank,
                unnest(lows) AS low, unnest(highs) AS high
            FROM whole JOIN bands USING (endpoint) WHERE n > 0
        )
        SELECT $baseline, endpoint, percent, (rank % {CENSORED})::UINTEGER, (low % {CENSORED})::UINTEGER,
            (high % {CENSORED})::UINTEGER, rank >= {CENSORED}, n
        FROM told
        """,
        {"baseline": baseline_id},
    )
    ((endpoints,),) = connection.execute(
        "SELECT count(DISTINCT endpoint) FROM baseline_level WHERE baseline_id = ?", [baseline_id]
    ).fetchall()
    return int(endpoints)
