"""The audit log: who asked for which action, when, and whether it was done, refused or missed."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from warehouse.model import now
from warehouse.run_model import Missed

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

DONE, REFUSED, MISSED = "done", "refused", "missed"
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


def note_once(
    connection: DuckDBPyConnection, who: str, via: str, action: str, subject: str, text: str
) -> None:
    """Add a row for what was done, unless there is one that names the same thing: it is the same act.

    A request that is sent again does nothing anew, and so is no second act.
    """
    known = connection.execute(
        "SELECT 1 FROM audit "
        "WHERE who = ? AND via = ? AND action = ? AND subject = ? AND outcome = ? AND text = ?",
        [who, via, action, subject, DONE, text[:LONGEST_TEXT]],
    ).fetchall()
    if not known:
        note(connection, who, via, action, subject, DONE, text)


def note_missed(connection: DuckDBPyConnection, told: Missed) -> bool:
    """Add a row for a scheduled run that was never requested, once; whether it is new."""
    subject = f"{told.preset} at {told.target}"
    due = datetime.fromtimestamp(told.due_at_us / 1e6, UTC)
    text = f"due at {due:%Y-%m-%d %H:%M:%S} UTC: {told.why}"
    who = f"schedule {told.schedule}"
    known = connection.execute(
        "SELECT 1 FROM audit WHERE who = ? AND subject = ? AND outcome = ? AND starts_with(text, ?)",
        [who, subject, MISSED, text.partition(" UTC")[0]],
    ).fetchall()
    if not known:
        note(connection, who, "schedule", "launch", subject, MISSED, text)
    return not known
