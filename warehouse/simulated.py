"""Whether a warehouse holds a made-up history: every answer, page and export then says so."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

COLUMN = "is_simulated"
"""The column that every export of a simulated warehouse has, true in each row."""

HEADER = "x-perfhouse-simulated"
"""The header of every answer and export of a simulated warehouse."""


def is_simulated(connection: DuckDBPyConnection) -> bool:
    """Whether `perfhouse simulate` made what is in this file, however it came here.

    Its tables are those of the present schema.
    """
    rows = connection.execute("SELECT count(*) FROM simulation").fetchall()
    return bool(rows[0][0])
