"""The numbered migrations: run once each, in a transaction, recorded, forward only."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb

from warehouse import VERSION
from warehouse.model import now

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

log = logging.getLogger(__name__)

MIGRATIONS = Path(__file__).parent / "migrations"

Steps = list[tuple[int, str, str]]
"""Migrations as (version, name, SQL), in order."""


def migrations(folder: Path = MIGRATIONS) -> Steps:
    """Every migration of a folder."""
    files = sorted(folder.glob("[0-9]*.sql"))
    return [(int(file.stem.partition("_")[0]), file.stem, file.read_text(encoding="utf-8")) for file in files]


def version_of(connection: DuckDBPyConnection) -> tuple[int, str]:
    """The schema of an open file, and the version of Perfhouse that made it; 0 where there is none."""
    known = connection.execute(
        "SELECT count(*) FROM information_schema.tables WHERE table_name = 'migration'"
    ).fetchall()[0][0]
    if not known:
        return (0, "nobody")
    rows = connection.execute(
        "SELECT version, perfhouse_version FROM migration ORDER BY version DESC LIMIT 1"
    ).fetchall()
    return (int(rows[0][0]), str(rows[0][1])) if rows else (0, "nobody")


def migrate(connection: DuckDBPyConnection, steps: Steps) -> None:
    """Run what is missing: each step in a transaction of its own, then a checkpoint."""
    found, _ = version_of(connection)
    if found == 0:
        connection.execute(
            "CREATE TABLE IF NOT EXISTS migration (version INTEGER PRIMARY KEY, name VARCHAR NOT NULL, "
            "perfhouse_version VARCHAR NOT NULL, applied_at TIMESTAMP_MS NOT NULL)"
        )
    for version, name, sql in steps:
        if version <= found:
            continue
        connection.execute("BEGIN")
        try:
            connection.execute(sql)
            connection.execute(
                "INSERT INTO migration VALUES (?, ?, ?, ?)",
                [version, name, VERSION, now().replace(tzinfo=None)],
            )
            connection.execute("COMMIT")
        except duckdb.Error:
            roll_back(connection)
            raise
        connection.execute("CHECKPOINT")
        log.info("migrated the warehouse to %s", name)


def roll_back(connection: DuckDBPyConnection) -> None:
    """Undo what is open, if anything still is."""
    try:
        connection.execute("ROLLBACK")
    except duckdb.Error as error:
        log.debug("already rolled back: %s", error)
