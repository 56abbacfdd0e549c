"""The audit log: who asked for which action, when, and whether it was done or refused."""

from __future__ import annotations

from typing import TYPE_CHECKING

from warehouse.model import now

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

DONE, REFUSED = "done", "refused"
LONGEST_TEXT = 2000


def note(
    connection: DuckDBPyConnection,
    who: str,
    via: str,
    action: str,
    subject: str,
    outcome: str,
    text: str = "",
) -> None:
    """Add one row, within whatever transaction is open."""
    connection.execute(
        "INSERT INTO audit VALUES (?, ?, ?, ?, ?, ?, ?)",
        [now().replace(tzinfo=None), who, via, action, subject, outcome, text[:LONGEST_TEXT]],
    )
