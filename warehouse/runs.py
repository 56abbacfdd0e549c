"""Load tests are requested, cancelled, pinned, noted and deleted. On the writer's thread."""

from __future__ import annotations

import secrets
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from warehouse.errors import InvalidInputError, RefusedError
from warehouse.model import now
from warehouse.plan import Plan, plateaus
from warehouse.run_model import ENDED, UNDER_WAY, RunAnswer, RunRequest, RunState

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

CONFIRM_FROM = 100
"""From so many users on, the preset's name must be typed."""

SILENT_S = 10
"""Without news from its agent for so long a run is told as silent."""

GIVEN_UP_S = 60
"""Without news for so long, a run that somebody stops is called failed: nobody is there to stop it."""

ACTIVE = (RunState.REQUESTED, *UNDER_WAY)
TABLES_OF_RUN = (
    *("load_request", "load_beat", "load_error", "run_endpoint", "run_plateau", "run_seat"),
    *("run_tier", "run_cell", "run_cell_outcome"),
)


def refuse_unconfirmed(plan: Plan, confirm: str | None, via: str) -> None:
    """Raises InvalidInputError where a large run was not confirmed; what is scheduled was, by writing it."""
    if via != "schedule" and plan.users >= CONFIRM_FROM and confirm != plan.preset:
        raise InvalidInputError(
            f"{plan.users} users: expected the preset's name, {plan.preset}, typed to confirm",
            field="confirm",
        )


def request(
    connection: DuckDBPyConnection, plan: Plan, asked: RunRequest, who: str, request_id: str
) -> RunAnswer:
    """Note a run that is wanted. The same `request_id` again changes nothing.

    Raises RefusedError when the target is busy and the request does not wait.
    """
    known = connection.execute("SELECT run_id, state FROM run WHERE request_id = ?", [request_id]).fetchall()
    if known:
        return RunAnswer(run_id=known[0][0], state=known[0][1])
    busy = connection.execute(
        "SELECT run_id, state FROM run WHERE target = ? AND list_contains(?, state) ORDER BY run_no",
        [plan.target, list(ACTIVE)],
    ).fetchall()
    if busy and not asked.waits:
        raise RefusedError(
            f"{plan.target} is busy with run {busy[0][0]}, which is {busy[0][1]}",
            "Wait for its end, stop it, or let the new one wait.",
            status=409,
            field="target",
        )
    at = now()
    run_id = f"r{at:%Y%m%d%H%M%S}-{secrets.token_hex(3)}"
    ((run_no,),) = connection.execute(
        """
        INSERT INTO run (run_id, request_id, target, url, environment, preset, scenario, scenario_hash,
            plan, state, requested_at, requested_by, via, waits, note)
        VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
        RETURNING run_no
        """,
        [
            *(run_id, request_id, plan.target, plan.url, plan.environment, plan.preset, plan.scenario),
            *(plan.scenario_hash, plan.model_dump_json(), RunState.REQUESTED.value, _stored(at), who),
            *(asked.via, asked.waits, asked.note),
        ],
    ).fetchall()
    connection.executemany(
        "INSERT INTO run_endpoint VALUES (?, ?, ?, ?, ?)",
        [(run_no, each.endpoint, each.method, each.label, each.part) for each in plan.endpoints],
    )
    still = [(run_no, *plateau) for plateau in plateaus(plan.stages)]
    if still:
        connection.executemany("INSERT INTO run_plateau VALUES (?, ?, ?, ?)", still)
    return RunAnswer(run_id=run_id, state=RunState.REQUESTED)


def cancel(connection: DuckDBPyConnection, run_id: str, who: str) -> RunAnswer:
    """Stop a run: at once where none runs yet, else through its agent. Again it changes nothing.

    A run that nobody has news of any more is called failed. Raises RefusedError when it has ended.
    """
    run = find(connection, run_id, "state, heartbeat_at, claimed_at, agent")
    state, at = RunState(run["state"]), _stored(now())
    if state in ENDED:
        raise RefusedError(f"run {run_id} has ended: it is {state}", status=409)
    heard = run["heartbeat_at"] or run["claimed_at"] or at
    changes: dict[str, Any] = {"cancel_at": at, "cancel_by": who}
    if state is RunState.REQUESTED:
        state = RunState.CANCELLED
        changes |= {"ended_at": at, "reason": f"cancelled by {who} before it began", "verdict": "no_data"}
    elif at - heard > timedelta(seconds=GIVEN_UP_S):
        state = RunState.FAILED
        changes |= {"is_partial": True, "verdict": "no_data"}
        changes["reason"] = f"given up by {who}: no news from agent {run['agent']} since {heard:%H:%M:%S} UTC"
    change(connection, run_id, {"state": state.value, **changes})
    return RunAnswer(run_id=run_id, state=state)


def pin(connection: DuckDBPyConnection, run_id: str, *, pinned: bool) -> RunAnswer:
    """Make a run a baseline, or one no more. Raises RefusedError while a pinned baseline is made of it."""
    run = find(connection, run_id, "state, verdict")
    if not pinned:
        _refuse_held(connection, run_id)
    change(connection, run_id, {"is_baseline": pinned})
    return RunAnswer(run_id=run_id, **run)


def annotate(connection: DuckDBPyConnection, run_id: str, text: str) -> RunAnswer:
    """Replace the note on a run."""
    run = find(connection, run_id, "state, verdict")
    change(connection, run_id, {"note": text})
    return RunAnswer(run_id=run_id, **run)


def delete(connection: DuckDBPyConnection, run_id: str) -> RunAnswer:
    """Delete a run with all it measured. Raises RefusedError while it has not ended, or is a baseline."""
    run = find(connection, run_id, "run_no, state, verdict, is_baseline")
    if RunState(run["state"]) not in ENDED:
        raise RefusedError(f"run {run_id} has not ended: it is {run['state']}", "Stop it first.", status=409)
    if run["is_baseline"]:
        raise RefusedError(f"run {run_id} is a baseline", "Unpin it first.", status=409)
    for table in TABLES_OF_RUN:
        connection.execute(f"DELETE FROM {table} WHERE run_no = ?", [run["run_no"]])  # noqa: S608 - our names
    connection.execute("DELETE FROM run WHERE run_no = ?", [run["run_no"]])
    return RunAnswer(run_id=run_id, state="deleted", verdict=run["verdict"])


def find(connection: DuckDBPyConnection, run_id: str, columns: str) -> dict[str, Any]:
    """Some columns of a run. Raises RefusedError where there is none."""
    found = connection.execute(f"SELECT {columns} FROM run WHERE run_id = ?", [run_id])  # noqa: S608 - our names
    names = [column[0] for column in found.description]
    rows = found.fetchall()
    if not rows:
        raise RefusedError(f"there is no run {run_id}", "It may have been deleted.", status=404)
    return dict(zip(names, rows[0], strict=True))


def change(connection: DuckDBPyConnection, run_id: str, columns: dict[str, Any]) -> None:
    """Change some columns of a run."""
    sets = ", ".join(f"{name} = ?" for name in columns)
    connection.execute(f"UPDATE run SET {sets} WHERE run_id = ?", [*columns.values(), run_id])  # noqa: S608 - our names


def _refuse_held(connection: DuckDBPyConnection, run_id: str) -> None:
    """Raises RefusedError where a run belongs to a baseline, and so cannot become an ordinary one."""
    held = connection.execute(
        "SELECT name FROM baseline JOIN baseline_run USING (baseline_id) WHERE run_id = ?", [run_id]
    ).fetchall()
    if held:
        raise RefusedError(
            f"run {run_id} belongs to the baseline {held[0][0]}", "Remove that first.", status=409
        )


def _stored(instant: datetime) -> datetime:
    """An instant as the warehouse keeps it."""
    return instant.replace(tzinfo=None)
