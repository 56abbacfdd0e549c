"""Attempts with lognormal latencies, written straight into a warehouse's file for other measurements."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from warehouse.settings import Settings
from warehouse.store import Store

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

ATTEMPTS = 10_000_000
ENDPOINTS = 50
DAYS = 20


def fill(settings: Settings, end: datetime) -> None:
    """Ten million attempts of twenty days, in time order, 0.5 % of them timeouts."""
    store = Store(settings)
    connection = store.cursor()
    naive = end.replace(tzinfo=None)
    add_series(connection, naive)
    connection.execute("SELECT setseed(0.42)")
    add_attempts(connection, naive, ATTEMPTS, DAYS * 86_400)
    connection.execute("CHECKPOINT")
    connection.close()
    store.close()


def add_series(connection: DuckDBPyConnection, at: datetime) -> None:
    """The endpoints (`at`: UTC, naive)."""
    connection.execute(
        "INSERT INTO series (kind, target, object, metric, unit, direction, source, first_seen_at) "
        "SELECT 'probe', 'bench', 'GET /' || i, 'latency', 'us', 'lower', 'local', ? FROM range(?) AS t(i)",
        [at, ENDPOINTS],
    )


def add_attempts(connection: DuckDBPyConnection, end: datetime, rows: int, length_s: int) -> None:
    """So many attempts of the endpoints in turn in the seconds before `end` (UTC, naive)."""
    connection.execute(
        """
        INSERT INTO attempt
        SELECT $end - to_milliseconds(($rows - i) * $length_ms // $rows), 1 + i % $endpoints,
            CASE WHEN late THEN 'timeout' ELSE 'ok' END, CASE WHEN late THEN NULL ELSE 200 END,
            NULL, 150, NULL, CASE WHEN late THEN NULL ELSE us * 0.9 END, CASE WHEN late THEN NULL ELSE us END,
            512, 20, 3000000
        FROM (
            SELECT i, random() < 0.005 AS late,
                least(2999999, exp(9.5 + 0.5 * sqrt(-2 * ln(random() + 1e-12)) * cos(6.2831853 * random())))
                    ::UINTEGER AS us
            FROM range($rows) AS t(i)
        )
        """,
        {"end": end, "rows": rows, "length_ms": length_s * 1000, "endpoints": ENDPOINTS},
    )
