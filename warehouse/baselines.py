"""Baselines: periods or load tests of a target that others are held against. On the writer's thread."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, Field, StringConstraints

from warehouse import baseline_rows, runs, tiers
from warehouse.errors import InvalidInputError, RefusedError
from warehouse.model import Instant, Name, now
from warehouse.run_model import Prose, RunId, Said

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

PER_TARGET = 50
"""Baselines that a target may have."""

SHORTEST, LONGEST = timedelta(minutes=1), timedelta(days=31)
"""How long a period may be."""

MOST_RUNS = 30

BaselineName = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=100, pattern=r"^[^\x00-\x1f\x7f]+$"),
]

PERIOD, RUNS = "period", "runs"


class BaselineRequest(Said):
    """What to hold others against: from `start` to before `end`, or load tests; active unless told."""

    target: Name
    name: BaselineName
    start: Instant | None = None
    end: Instant | None = None
    runs: Annotated[tuple[RunId, ...], Field(max_length=MOST_RUNS)] = ()
    text: Prose = ""
    activate: bool = True


class BaselineAnswer(BaseModel):
    """A baseline as it is kept, or was until it was removed."""

    baseline_id: str
    target: str
    name: str
    kind: Literal["period", "runs"]
    start: datetime | None
    end: datetime | None
    runs: list[str]
    is_active: bool


def pin(connection: DuckDBPyConnection, asked: BaselineRequest, who: str, request_id: str) -> BaselineAnswer:
    """Pin a baseline. The same `request_id` again changes nothing.

    Raises InvalidInputError naming the field where nothing is or was kept of what is asked for, RefusedError
    where the target has one of that name, or too many.
    """
    known = _found(connection, "request_id = ?", request_id)
    if known is not None:
        return known
    _refuse_names(connection, asked)
    start, until = _period(connection, asked)
    if start is None:
        _refuse_runs(connection, asked)
    at = now()
    baseline_id = f"b{at:%Y%m%d%H%M%S}-{secrets.token_hex(3)}"
    kind = PERIOD if start is not None else RUNS
    connection.execute(
        "INSERT INTO baseline VALUES (?, ?, ?, ?, ?, ?, FALSE, ?, ?, ?, ?)",
        [
            *(baseline_id, asked.target, asked.name, kind, start, until, asked.text, who, request_id),
            at.replace(tzinfo=None),
        ],
    )
    if start is None:
        _pin_runs(connection, baseline_id, asked.runs)
    elif not baseline_rows.measure(connection, baseline_id):
        raise InvalidInputError(f"nothing was measured of {asked.target} in this period", field="start")
    if asked.activate:
        activate(connection, baseline_id)
    return _one(connection, baseline_id)


def activate(connection: DuckDBPyConnection, baseline_id: str) -> BaselineAnswer:
    """Make it the one of its target that is compared with. Raises RefusedError where there is none."""
    target = _one(connection, baseline_id).target
    connection.execute(
        "UPDATE baseline SET is_active = (baseline_id = ?) WHERE target = ?", [baseline_id, target]
    )
    return _one(connection, baseline_id)


def remove(connection: DuckDBPyConnection, baseline_id: str) -> BaselineAnswer:
    """Delete a baseline; what it was. What only it kept ages from now on. Raises RefusedError."""
    told = _one(connection, baseline_id)
    connection.execute(
        """
        UPDATE run SET is_baseline = FALSE WHERE run_id IN (
            SELECT run_id FROM baseline_run WHERE baseline_id = $baseline AND NOT was_pinned
        ) AND run_id NOT IN (SELECT run_id FROM baseline_run WHERE baseline_id <> $baseline)
        """,
        {"baseline": baseline_id},
    )
    for table in ("baseline_run", "baseline_level", "baseline"):
        connection.execute(f"DELETE FROM {table} WHERE baseline_id = ?", [baseline_id])
    baseline_rows.drop(connection)
    return told


def _refuse_names(connection: DuckDBPyConnection, asked: BaselineRequest) -> None:
    names = {
        name
        for (name,) in connection.execute(
            "SELECT name FROM baseline WHERE target = ?", [asked.target]
        ).fetchall()
    }
    if asked.name in names:
        raise RefusedError(
            f"{asked.target} has a baseline {asked.name} already",
            "Choose another name, or remove that one.",
            status=409,
            field="name",
        )
    if len(names) >= PER_TARGET:
        raise RefusedError(
            f"{asked.target} has {PER_TARGET} baselines already", "Remove one.", status=409, field="target"
        )
    if bool(asked.runs) == (asked.start is not None or asked.end is not None):
        raise InvalidInputError("expected a period (start and end) or runs", field="start")


def _period(
    connection: DuckDBPyConnection, asked: BaselineRequest
) -> tuple[datetime | None, datetime | None]:
    """The period as it is stored (UTC, naive); None twice where runs are asked for."""
    if asked.runs:
        return None, None
    if asked.start is None or asked.end is None:
        missing = "start" if asked.start is None else "end"
        raise InvalidInputError("expected both ends of the period", field=missing)
    if asked.end > now():
        raise InvalidInputError("expected a period that is over", field="end")
    length = asked.end - asked.start
    if not SHORTEST <= length <= LONGEST:
        raise InvalidInputError(
            f"expected a period of {SHORTEST.seconds // 60} minute to {LONGEST.days} days", field="end"
        )
    start, until = (each.astimezone(UTC).replace(tzinfo=None) for each in (asked.start, asked.end))
    kept_from = tiers.read(connection, tiers.ATTEMPT).raw_from
    if kept_from is not None and start < kept_from:
        raise InvalidInputError(
            f"single attempts before {kept_from:%Y-%m-%d %H:%M} UTC are deleted, or in files of cold days",
            field="start",
            hint="Pin a later period; retention.raw_days says how long they are kept.",
        )
    return start, until


def _refuse_runs(connection: DuckDBPyConnection, asked: BaselineRequest) -> None:
    """Raises where they are not ended runs of one scenario of the target whose requests are kept."""
    if len(set(asked.runs)) != len(asked.runs):
        raise InvalidInputError("expected each run once", field="runs")
    scenarios = set()
    for run_id in asked.runs:
        run = runs.find(connection, run_id, "target, state, scenario_hash, raw_deleted_at")
        reason = _why_not(run, asked.target)
        if reason:
            raise InvalidInputError(f"run {run_id} {reason}", field="runs")
        scenarios.add(run["scenario_hash"])
    if len(scenarios) > 1:
        raise InvalidInputError("the runs are of different scenarios", field="runs")


def _why_not(run: dict[str, Any], target: str) -> str:
    if run["target"] != target:
        return f"is of {run['target']}"
    if run["state"] != "finished":
        return f"did not come to its end: it is {run['state']}"
    return "has no single requests any more" if run["raw_deleted_at"] is not None else ""


def _pin_runs(connection: DuckDBPyConnection, baseline_id: str, run_ids: tuple[str, ...]) -> None:
    for run_id in run_ids:
        was_pinned = runs.find(connection, run_id, "is_baseline")["is_baseline"]
        own = connection.execute(
            "SELECT was_pinned FROM baseline_run WHERE run_id = ? LIMIT 1", [run_id]
        ).fetchall()
        connection.execute(
            "INSERT INTO baseline_run VALUES (?, ?, ?)",
            [baseline_id, run_id, own[0][0] if own else was_pinned],
        )
        runs.change(connection, run_id, {"is_baseline": True})


def _one(connection: DuckDBPyConnection, baseline_id: str) -> BaselineAnswer:
    found = _found(connection, "baseline_id = ?", baseline_id)
    if found is None:
        raise RefusedError(
            f"there is no baseline {baseline_id}",
            "`perfhouse baseline list` tells them.",
            status=404,
            field="baseline_id",
        )
    return found


def _found(connection: DuckDBPyConnection, where: str, value: str) -> BaselineAnswer | None:
    rows = connection.execute(
        f"SELECT baseline_id, target, name, kind, start_ts, until_ts, is_active FROM baseline WHERE {where}",
        [value],
    ).fetchall()
    if not rows:
        return None
    baseline_id, target, name, kind, start, until, is_active = rows[0]
    own = connection.execute(
        "SELECT run_id FROM baseline_run WHERE baseline_id = ? ORDER BY run_id", [baseline_id]
    ).fetchall()
    return BaselineAnswer(
        baseline_id=baseline_id,
        target=target,
        name=name,
        kind=kind,
        start=start and start.replace(tzinfo=UTC),
        end=until and until.replace(tzinfo=UTC),
        runs=[run_id for (run_id,) in own],
        is_active=is_active,
    )
