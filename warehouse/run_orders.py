"""What load agents are told to do, and what they tell of it. On the writer's thread."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from warehouse.errors import RefusedError
from warehouse.model import now
from warehouse.run_model import (
    ENDED,
    Cancel,
    Claim,
    Orders,
    Report,
    RunAnswer,
    RunState,
    Seat,
    Work,
)
from warehouse.runs import change, find

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

SEEN_EVERY_S = 5.0
"""How often an agent that looks for work is noted as seen."""

MOST_IDLE = 1000
"""Claims that are remembered as idle; past that all are forgotten."""

UNDER = "('starting', 'running', 'stopping')"
NEVER_BEGUN = """
    state = 'starting' AND agent = $agent AND heartbeat_at IS NULL
    AND NOT list_contains($busy::VARCHAR[], run_id)
"""
"""SQL for runs that were given to this agent and did not reach it."""

HAND_OUT = f"""
    SELECT run_id, plan FROM run
    WHERE state = 'requested' AND target NOT IN (SELECT target FROM run WHERE state IN {UNDER})
        OR {NEVER_BEGUN}
    ORDER BY state = 'requested', run_no
    LIMIT 1
"""  # noqa: S608 - a constant
"""The oldest run whose target is free; before it one whose claim was lost on the way back."""

DROP_CANCELLED = f"""
    UPDATE run SET state = 'cancelled', verdict = 'no_data', ended_at = cancel_at,
        reason = 'cancelled by ' || cancel_by || ' before it began'
    WHERE cancel_at IS NOT NULL AND {NEVER_BEGUN}
"""  # noqa: S608 - a constant

TO_CANCEL = f"""
    SELECT run_id, cancel_by FROM run
    WHERE cancel_at IS NOT NULL AND state IN {UNDER}
        AND (agent = $agent OR run_no IN (SELECT run_no FROM run_seat WHERE agent = $agent))
    ORDER BY run_no
"""  # noqa: S608 - a constant

TO_JOIN = f"""
    SELECT run_no, run_id, plan, master_host, master_port,
        (SELECT count(*) FROM run_seat WHERE run_seat.run_no = run.run_no) AS taken,
        (SELECT first_worker FROM run_seat WHERE run_seat.run_no = run.run_no AND agent = $agent) AS own
    FROM run
    WHERE state IN {UNDER} AND cancel_at IS NULL AND master_port IS NOT NULL AND agent <> $agent
        AND NOT list_contains($busy::VARCHAR[], run_id)
    ORDER BY run_no
"""  # noqa: S608 - a constant


class Agents:
    """When each load agent was last noted as seen, and whether there was anything to do for it.

    An agent asks twice a second, mostly for nothing: that is answered from memory as long as nothing was
    changed that orders stand on.
    """

    def __init__(self) -> None:
        self._noted: dict[Claim, float] = {}
        self._idle: dict[Claim, int] = {}

    def is_idle(self, asked: Claim, changes: int) -> bool:
        """Whether there is nothing to do for this claim and nothing to note, as of so many changes."""
        return self._idle.get(asked) == changes and not self._is_due(asked)

    def note_idle(self, asked: Claim, changes: int) -> None:
        """There was nothing to do for this claim, as of so many changes."""
        if len(self._idle) >= MOST_IDLE:
            self._idle.clear()
        self._idle[asked] = changes

    def claim(self, connection: DuckDBPyConnection, asked: Claim) -> Orders:
        """Give an agent the oldest run that can start, what to cancel, and what to help with."""
        self._see(connection, asked)
        given = {"agent": asked.agent, "busy": list(asked.busy)}
        connection.execute(DROP_CANCELLED, given)
        orders = Orders(
            cancel=[
                Cancel(run_id=run_id, by=by)
                for run_id, by in connection.execute(TO_CANCEL, {"agent": asked.agent}).fetchall()
            ],
            seats=_seats(connection, given),
        )
        found = connection.execute(HAND_OUT, given).fetchall()
        if found:
            run_id, plan = found[0]
            claimed = {"agent": asked.agent, "claimed_at": now().replace(tzinfo=None)}
            change(connection, run_id, {"state": RunState.STARTING.value, **claimed})
            orders.run = Work(run_id=run_id, plan=json.loads(plan))
        return orders

    def _see(self, connection: DuckDBPyConnection, asked: Claim) -> None:
        """Note that an agent is there: not each time, that would be a write each half second."""
        if not self._is_due(asked):
            return
        connection.execute(
            "INSERT INTO load_agent VALUES (?, ?, ?, ?) ON CONFLICT (name) DO UPDATE SET "
            "seen_at = excluded.seen_at, version = excluded.version, advertise = excluded.advertise",
            [asked.agent, now().replace(tzinfo=None), asked.version, asked.advertise],
        )
        self._noted[_who(asked)] = time.monotonic()

    def _is_due(self, asked: Claim) -> bool:
        return time.monotonic() - self._noted.get(_who(asked), -math.inf) >= SEEN_EVERY_S


def _who(asked: Claim) -> Claim:
    return asked.model_copy(update={"busy": ()})


def _seats(connection: DuckDBPyConnection, given: dict[str, Any]) -> list[Seat]:
    """The runs of other agents that this one is to help with; its place in each is kept."""
    seats = []
    for run_no, run_id, text, host, port, taken, own in connection.execute(TO_JOIN, given).fetchall():
        plan = json.loads(text)
        if own is None and taken >= plan["agents"] - 1:
            continue
        first = own
        if first is None:
            first = 1 + (taken + 1) * max(1, plan["workers"])
            connection.execute("INSERT INTO run_seat VALUES (?, ?, ?)", [run_no, given["agent"], first])
        seats.append(Seat(run_id=run_id, plan=plan, master_host=host, master_port=port, first_worker=first))
    return seats


def report(connection: DuckDBPyConnection, run_id: str, told: Report) -> RunAnswer:
    """Note how a run does. One that helps with it only says when its spool is stored.

    Once everything is stored the run is due to be judged, again if need be. Raises RefusedError for an
    agent that has no part in it.
    """
    columns = "run_no, state, verdict, agent, started_at, ended_at, load_ended_at, complete_at"
    run = find(connection, run_id, columns)
    if told.agent != run["agent"]:
        _refuse_outsider(connection, run_id, run["run_no"], told.agent)
        if told.complete and run["complete_at"] is not None:
            change(connection, run_id, {"judged_at": None})
        return RunAnswer(run_id=run_id, state=run["state"], verdict=run["verdict"])
    changes = _changes(run, told, now().replace(tzinfo=None))
    change(connection, run_id, changes)
    return RunAnswer(run_id=run_id, state=changes.get("state", run["state"]), verdict=run["verdict"])


def _changes(run: Mapping[str, Any], told: Report, at: datetime) -> dict[str, Any]:
    """What a report changes. An end is not taken back; the spool knows the load's own start and end."""
    state = RunState(told.state)
    given = told.model_dump(include={"master_host", "master_port", "target_version"}, exclude_none=True)
    columns: dict[str, Any] = {"heartbeat_at": at, **given}
    if state in ENDED or RunState(run["state"]) not in ENDED or run["ended_at"] is None:
        columns |= {"state": state.value, "is_partial": told.is_partial}
    if told.reason:
        columns["reason"] = told.reason
    if told.versions is not None:
        columns["versions"] = json.dumps(told.versions, sort_keys=True)
    if told.started_at_us is not None and run["started_at"] is None:
        columns["started_at"] = _instant(told.started_at_us)
    if state in ENDED:
        columns |= _end(run, told, at)
    return columns


def _end(run: Mapping[str, Any], told: Report, at: datetime) -> dict[str, Any]:
    columns: dict[str, Any] = {}
    if run["load_ended_at"] is None and told.ended_at_us is not None:
        columns["ended_at"] = _instant(told.ended_at_us)
    elif run["ended_at"] is None:
        columns["ended_at"] = at
    if told.complete:
        columns |= {"complete_at": at, "judged_at": None}
    return columns


def _refuse_outsider(connection: DuckDBPyConnection, run_id: str, run_no: int, agent: str) -> None:
    known = connection.execute(
        "SELECT 1 FROM run_seat WHERE run_no = ? AND agent = ?", [run_no, agent]
    ).fetchall()
    if not known:
        raise RefusedError(f"run {run_id} is not run by {agent}", status=409, field="agent")


def _instant(us: int) -> datetime:
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=us)).replace(tzinfo=None)
