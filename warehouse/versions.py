"""Versions that targets tell of themselves: what ran from when on, and each change marked as a deploy."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from warehouse.model import now

if TYPE_CHECKING:
    import pyarrow as pa
    from duckdb import DuckDBPyConnection

TOLD = "told by its answers"
MARKED_BEFORE = timedelta(hours=1)
MARKED_AFTER = timedelta(minutes=15)
"""A deploy of the same version that somebody marked so long before it was seen, or after, is this one."""

MOST_A_DAY = 100
"""Changes of one target that are kept within a day; beyond, what it tells is no version."""


def note(connection: DuckDBPyConnection, told: pa.Table, source: str) -> None:
    """Keep what a batch's versions tell that is not known, in its transaction.

    The first version a target ever tells is where it starts from, and no deploy. A version that was known to
    run at that instant, or is known from the next one on, says nothing new.
    """
    for row in told.sort_by("at").to_pylist():
        at = row["at"].astimezone(UTC).replace(tzinfo=None)
        _note(connection, source, at, row["target"], row["version"])


def _note(connection: DuckDBPyConnection, source: str, at: datetime, target: str, version: str) -> None:
    before, after, that_day = connection.execute(
        """
        SELECT max_by(version, ts) FILTER (ts <= $at), min_by(version, ts) FILTER (ts > $at),
            count(*) FILTER (ts > $day AND ts <= $at)
        FROM version_told WHERE target = $target
        """,
        {"target": target, "at": at, "day": at - timedelta(days=1)},
    ).fetchall()[0]
    if version in (before, after) or that_day >= MOST_A_DAY:
        return
    connection.execute("INSERT INTO version_told VALUES (?, ?, ?, ?)", [target, at, version, source])
    if before is not None and not _is_marked(connection, at, target, version):
        _mark(connection, source, at, target, version)


def _is_marked(connection: DuckDBPyConnection, at: datetime, target: str, version: str) -> bool:
    marked = connection.execute(
        "SELECT count(*) FROM mark WHERE kind = 'deploy' AND version = ? AND (target IS NULL OR target = ?) "
        "AND ts BETWEEN ? AND ?",
        [version, target, at - MARKED_BEFORE, at + MARKED_AFTER],
    ).fetchall()
    return bool(marked[0][0])


def _mark(connection: DuckDBPyConnection, source: str, at: datetime, target: str, version: str) -> None:
    digest = hashlib.sha256(f"{target}\0{version}\0{at.isoformat()}".encode()).hexdigest()
    connection.execute(
        "INSERT INTO mark VALUES (?, ?, 'deploy', ?, ?, ?, ?, ?, ?)",
        [
            *(f"m{at:%Y%m%d%H%M%S}-{digest[:6]}", at, target, version, TOLD, source),
            *(f"version-{digest[:32]}", now().replace(tzinfo=None)),
        ],
    )
