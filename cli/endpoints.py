"""How the watched endpoints do, as `status` tells it."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from warehouse.client import Client

FIELDS = (
    "target",
    "endpoint",
    "state",
    "since_at",
    "last_at",
    "last_outcome",
    "last_status",
    "recent_attempts",
    "recent_errors",
)
EDGE = timedelta(minutes=2)
"""What failed so close to the window's start has probably failed since before it."""


def endpoint_states(client: Client, *, start: datetime, end: datetime) -> list[dict[str, Any]]:
    """Each endpoint with an attempt in the window."""
    return client.ask("endpoint_states", start=start, end=end).select(FIELDS).to_dicts()


def endpoint_problems(endpoints: list[dict[str, Any]], start: datetime) -> list[str]:
    """A sentence for each endpoint that fails, or did too often lately."""
    problems = []
    for each in endpoints:
        name = f"{each['endpoint']} of {each['target']}"
        if each["state"] == "failing":
            problems.append(f"{name} fails {_since(each['since_at'], start)} ({_why(each)})")
        elif each["state"] == "flaky":
            errors, attempts = each["recent_errors"], each["recent_attempts"]
            problems.append(f"{name} is flaky: {errors} of {attempts} recent attempts failed")
    return problems


def endpoint_lines(endpoints: list[dict[str, Any]]) -> list[str]:
    """One line for people; none where nothing was probed."""
    states = [each["state"] for each in endpoints]
    probed = [state for state in states if state != "gone"]
    gone = len(states) - len(probed)
    told = [f"{probed.count('ok')} of {len(probed)} answer as expected"] if probed else []
    told += [f"{gone} no longer probed"] if gone else []
    return [f"endpoints  {', '.join(told)}"] if told else []


def _since(since_at: datetime, start: datetime) -> str:
    return "for an hour or longer" if since_at - start < EDGE else f"since {since_at:%H:%M:%S} UTC"


def _why(each: dict[str, Any]) -> str:
    if each["last_outcome"] == "bad_status":
        return f"status {each['last_status']}"
    return str(each["last_outcome"]).replace("_", " ")
