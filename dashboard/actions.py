"""What these pages can do to the warehouse: ask for a load test, stop it, keep it, describe it, delete it;
acknowledge, resolve and reopen a regression; pin, activate and remove a baseline.

Each says who asks; the warehouse checks that again and keeps every request, done or refused, in its audit
log.
Each raises PerfhouseError where it is refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from dashboard import access, data
from warehouse.client import Client
from warehouse.errors import NotAllowedError

CONFIRM_FROM = 100
"""So many users, and the preset's name must be typed."""


def _who() -> dict[str, Any]:
    """The person as the warehouse is told; raises NotAllowedError where the reader may not act."""
    mine = access.mine()
    if not mine.allowed:
        raise NotAllowedError(mine.why, status=403)
    return {"local": True} if mine.is_local else {"person": mine.person}


def _client() -> Client:
    return data.contact().client


def request_run(target: str, preset: str, scenario: str | None, *, waits: bool, confirm: str | None) -> str:
    """Ask for a run; its id. `waits`: behind the run that is on, if one is, instead of being refused."""
    told = _client().request_run(
        target, preset, scenario, waits=waits, confirm=confirm, via="dashboard", **_who()
    )
    data.forget()
    return str(told["run_id"])


def cancel_run(run_id: str) -> None:
    """Stop a run gracefully, or take it out of the queue."""
    _client().cancel_run(run_id, **_who())
    data.forget()


def pin_run(run_id: str, *, pinned: bool) -> None:
    """Make a run a baseline, which is kept for ever, or an ordinary one again."""
    _client().pin_run(run_id, pinned=pinned, **_who())
    data.forget()


def note_run(run_id: str, text: str) -> None:
    """Write a run's note anew."""
    _client().note_run(run_id, text, **_who())
    data.forget()


def delete_run(run_id: str) -> None:
    """Delete a run with everything measured in it."""
    _client().delete_run(run_id, **_who())
    data.forget()


def pin_baseline(target: str, name: str, start: datetime, end: datetime) -> None:
    """Pin a period of a target; it is the one compared with from then on."""
    _client().pin_baseline(target, name, start=start, end=end, **_who())
    data.forget()


def pin_runs(target: str, name: str, runs: Sequence[str]) -> None:
    """Pin load tests of a target; they are what later ones are compared with from then on."""
    _client().pin_baseline(target, name, runs=runs, **_who())
    data.forget()


def activate_baseline(baseline_id: str) -> None:
    """Compare with this one of its target's."""
    _client().activate_baseline(baseline_id, **_who())
    data.forget()


def remove_baseline(baseline_id: str) -> None:
    """Remove a baseline."""
    _client().remove_baseline(baseline_id, **_who())
    data.forget()


def judge_regression(regression_id: str, action: str, text: str) -> None:
    """Acknowledge, resolve or reopen a regression, with a few words why."""
    _client().judge_regression(regression_id, action, text, **_who())
    data.forget()
