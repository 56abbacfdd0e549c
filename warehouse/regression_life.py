"""What becomes of a regression: open, acknowledged, resolved, open again; by whom, and why."""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING

from pydantic import BaseModel

from warehouse.errors import RefusedError
from warehouse.model import Instant, now
from warehouse.run_model import Prose, Said

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

ITSELF = "by itself"


class State(StrEnum):
    """Where a regression is in its life. Improvements are told, and nothing else is asked of anybody."""

    OPEN = "open"
    ACKNOWLEDGED = "acknowledged"
    RESOLVED = "resolved"
    TOLD = "told"


class LifeAction(StrEnum):
    """What people do to regressions."""

    ACKNOWLEDGE = "acknowledge"
    RESOLVE = "resolve"
    REOPEN = "reopen"


class Life(Said):
    """What somebody makes of a regression; `text` says why."""

    action: LifeAction
    text: Prose = ""


LEADS = {
    LifeAction.ACKNOWLEDGE: (State.ACKNOWLEDGED, (State.OPEN,)),
    LifeAction.RESOLVE: (State.RESOLVED, (State.OPEN, State.ACKNOWLEDGED)),
    LifeAction.REOPEN: (State.OPEN, (State.ACKNOWLEDGED, State.RESOLVED)),
}
"""Which state each action leads to, and from which."""


class LifeAnswer(BaseModel):
    """A regression's state after an action."""

    regression_id: str
    state: str
    at: Instant


def live(connection: DuckDBPyConnection, regression_id: str, asked: Life, who: str) -> LifeAnswer:
    """Acknowledge, resolve or reopen a regression.

    Raises RefusedError: 404 where there is none, 409 where its state does not allow it.
    """
    rows = connection.execute(
        "SELECT state FROM regression WHERE regression_id = ?", [regression_id]
    ).fetchall()
    if not rows:
        raise RefusedError(
            f"there is no regression {regression_id}",
            "`perfhouse regressions list` tells them.",
            status=404,
            field="regression_id",
        )
    leads_to, comes_from = LEADS[asked.action]
    if rows[0][0] not in comes_from:
        raise RefusedError(
            f"{regression_id} is {rows[0][0]}",
            f"To {asked.action} it must be {' or '.join(comes_from)}.",
            status=409,
            field="action",
        )
    at = now().replace(tzinfo=None)
    change(connection, regression_id, leads_to, asked.action, who, asked.text, at)
    return LifeAnswer(regression_id=regression_id, state=leads_to, at=at.replace(tzinfo=UTC))


def change(
    connection: DuckDBPyConnection,
    regression_id: str,
    state: State,
    action: str,
    who: str,
    text: str,
    at: datetime,
) -> None:
    """Lead a regression to another state at an instant (UTC, naive), and keep that it was."""
    connection.execute(
        "UPDATE regression SET state = ?, state_at = ?, state_by = ?, note = ? WHERE regression_id = ?",
        [state, at, who, text, regression_id],
    )
    tell(connection, regression_id, action, who, text, at)


def tell(
    connection: DuckDBPyConnection, regression_id: str, action: str, who: str, text: str, at: datetime
) -> None:
    connection.execute(
        "INSERT INTO regression_event VALUES (?, ?, ?, ?, ?)", [regression_id, at, action, who, text]
    )
