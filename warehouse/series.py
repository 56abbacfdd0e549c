"""Gives the attempts and samples of a batch their series, as far as its source may have more."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

import pyarrow as pa

from warehouse.errors import InvalidInputError
from warehouse.model import SERIES_PER_SOURCE

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

KEYS = """
    SELECT DISTINCT 'probe' AS kind, target, endpoint AS object, 'latency' AS metric, 'us' AS unit,
        'lower' AS direction
    FROM incoming_attempts
    UNION ALL
    SELECT kind, target, object, metric, unit, max(direction)
    FROM incoming_samples
    GROUP BY kind, target, object, metric, unit
"""

ATTEMPT_SERIES = """
    ON series.kind = 'probe' AND series.target = incoming.target
    AND series.object = incoming.endpoint AND series.metric = 'latency'
"""
SAMPLE_SERIES = "USING (kind, target, object, metric)"

OVERFLOW = ("overflow", "other", "other", "overflow_total")
"""The series under which rows of series past the limit are counted."""


def add_series(connection: DuckDBPyConnection, source: str, received_at: datetime) -> int:
    """Make the batch's new series, as far as the source may; refuse a unit that changed.

    Returns how many rows belong to series that found no place; they are counted, not kept.
    """
    keys = connection.execute(
        f"""
        SELECT keys.*, series.unit
        FROM ({KEYS}) AS keys LEFT JOIN series USING (kind, target, object, metric)
        WHERE series.unit IS DISTINCT FROM keys.unit
        """  # noqa: S608 - a constant
    ).fetchall()
    units = {tuple(key[:4]): key[6] for key in keys if key[6] is not None}
    for *name, given, _, _ in keys:
        known = units.setdefault(tuple(name), given)
        if known != given:
            raise InvalidInputError(f"{name[3]} is kept in {known!r}, given {given!r}", field="samples.unit")
    if not keys:
        return 0
    held = connection.execute("SELECT count(*) FROM series WHERE source = ?", [source]).fetchall()[0][0]
    room = max(0, SERIES_PER_SOURCE - held)
    new = pa.Table.from_pylist(
        [
            dict(zip(("kind", "target", "object", "metric", "unit", "direction"), key, strict=False))
            for key in keys
        ],
    ).slice(0, room)
    connection.register("new_series", new)
    connection.execute(
        "INSERT INTO series (kind, target, object, metric, unit, direction, source, first_seen_at) "
        "SELECT kind, target, object, metric, unit, direction, ?, ? FROM new_series",
        [source, received_at],
    )
    return _count_overflow(connection, source, received_at) if len(keys) > room else 0


def _count_overflow(connection: DuckDBPyConnection, source: str, received_at: datetime) -> int:
    """Count the rows whose series found no place, in one series for all of them."""
    overflowed = connection.execute(
        f"SELECT (SELECT count(*) FROM incoming_samples ANTI JOIN series {SAMPLE_SERIES}) "  # noqa: S608 - constants
        f"+ (SELECT count(*) FROM incoming_attempts AS incoming ANTI JOIN series {ATTEMPT_SERIES})"
    ).fetchall()[0][0]
    connection.execute(
        "INSERT INTO series (kind, target, object, metric, unit, direction, source, first_seen_at) "
        "VALUES (?, ?, ?, ?, '1', 'lower', ?, ?) ON CONFLICT DO NOTHING",
        [*OVERFLOW, source, received_at],
    )
    connection.execute(
        "INSERT INTO sample SELECT ?, series_id, ?, 'ok' FROM series "
        "WHERE (kind, target, object, metric) = (?, ?, ?, ?)",
        [received_at, overflowed, *OVERFLOW],
    )
    return int(overflowed)
