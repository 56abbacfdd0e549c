"""Marks of what happened to targets from outside: deploys with their versions. On the writer's thread."""

from __future__ import annotations

import secrets
from datetime import UTC, timedelta
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import BaseModel, StringConstraints

from warehouse.errors import InvalidInputError, RefusedError
from warehouse.model import MAX_FUTURE, MAX_PAST, Instant, Name, now
from warehouse.run_model import Prose, Said

if TYPE_CHECKING:
    from collections.abc import Collection

    from duckdb import DuckDBPyConnection

Version = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=100, pattern=r"^[^\x00-\x1f\x7f]+$"),
]


class MarkRequest(Said):
    """A deploy: of which version, to one target or (None) to all, and when; None is now."""

    kind: Literal["deploy"] = "deploy"
    version: Version
    target: Name | None = None
    text: Prose = ""
    at: Instant | None = None


class MarkAnswer(BaseModel):
    """A mark as it is kept, or was until it was removed."""

    mark_id: str
    at: Instant
    kind: str
    target: str | None
    version: str
    text: str


def add(
    connection: DuckDBPyConnection, asked: MarkRequest, targets: Collection[str], who: str, request_id: str
) -> MarkAnswer:
    """Note a mark. The same `request_id` again changes nothing.

    Raises InvalidInputError naming the field: a target that is neither one of `targets` nor ever measured, an
    instant before anything that is kept or in the future.
    """
    known = _found(connection, "request_id = ?", request_id)
    if known is not None:
        return known
    at, current = asked.at or now(), now()
    if not current - MAX_PAST <= at <= current + MAX_FUTURE:
        raise InvalidInputError(
            f"expected an instant of the last {MAX_PAST / timedelta(days=1):.0f} days", field="at"
        )
    if asked.target is not None:
        _refuse_unknown(connection, asked.target, targets)
    mark_id = f"m{current:%Y%m%d%H%M%S}-{secrets.token_hex(3)}"
    connection.execute(
        "INSERT INTO mark VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [
            *(mark_id, at.astimezone(UTC).replace(tzinfo=None), asked.kind, asked.target, asked.version),
            *(asked.text, who, request_id, current.replace(tzinfo=None)),
        ],
    )
    return _one(connection, mark_id)


def remove(connection: DuckDBPyConnection, mark_id: str) -> MarkAnswer:
    """Delete a mark; what it was. Raises RefusedError where there is none."""
    told = _one(connection, mark_id)
    connection.execute("DELETE FROM mark WHERE mark_id = ?", [mark_id])
    return told


def _one(connection: DuckDBPyConnection, mark_id: str) -> MarkAnswer:
    found = _found(connection, "mark_id = ?", mark_id)
    if found is None:
        raise RefusedError(
            f"there is no mark {mark_id}", "`perfhouse mark list` tells them.", status=404, field="mark_id"
        )
    return found


def _found(connection: DuckDBPyConnection, where: str, value: str) -> MarkAnswer | None:
    rows = connection.execute(
        f"SELECT mark_id, ts, kind, target, version, text FROM mark WHERE {where}",  # noqa: S608 - two columns of ours
        [value],
    ).fetchall()
    if not rows:
        return None
    mark_id, at, *rest = rows[0]
    return MarkAnswer.model_validate(
        dict(
            zip(("kind", "target", "version", "text"), rest, strict=True),
            mark_id=mark_id,
            at=at.replace(tzinfo=UTC),
        )
    )


def _refuse_unknown(connection: DuckDBPyConnection, target: str, targets: Collection[str]) -> None:
    measured = connection.execute("SELECT count(*) FROM series WHERE target = ?", [target]).fetchall()[0][0]
    if target not in targets and not measured:
        named = ", ".join(sorted(targets)) or "none"
        raise InvalidInputError(
            f"there is no target {target}", field="target", hint=f"The configuration names: {named}."
        )
