"""How the watched databases do, as `status` tells it."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from warehouse.client import Client
from warehouse.model import DatabaseCondition

FIELDS = ("target", "engine", "part", "state", "since_at", "last_at", "text")
QUIET = (DatabaseCondition.OK, DatabaseCondition.NOT_MEASURABLE)
"""States nobody has to do anything about."""


def database_states(client: Client, *, start: datetime, end: datetime) -> list[dict[str, Any]]:
    """Each part of each database's watch; what its collector no longer repeats is left out."""
    states = client.ask("database_states", start=start, end=end)
    return states.filter(~states["is_silent"]).select(FIELDS).to_dicts()


def database_problems(states: list[dict[str, Any]]) -> list[str]:
    """A sentence for each part that is not well."""
    return [
        f"{each['part']} of database {each['target']}: {str(each['state']).replace('_', ' ')}"
        f"{_since(each['since_at'])}" + (f" ({each['text']})" if each["text"] else "")
        for each in states
        if each["state"] not in QUIET
    ]


def database_lines(states: list[dict[str, Any]]) -> list[str]:
    """One line for people; none where no database is watched."""
    reached = {each["target"]: each["state"] for each in states if each["part"] == "connection"}
    if not reached:
        return []
    well = list(reached.values()).count(DatabaseCondition.OK)
    return [f"databases  {well} of {len(reached)} answer"]


def _since(since_at: datetime | None) -> str:
    return "" if since_at is None else f" since {since_at:%Y-%m-%d %H:%M:%S} UTC"
