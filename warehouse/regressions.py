"""Regressions as they are found: change points joined to what moved with them, ended, or begun again.

On the writer's thread. A regression is one or more change points that came within `NEAR_POINTS` points of
one another. An improvement that undoes one resolves it; the same series getting worse again within a
day reopens it.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING

from warehouse.change_points import CoMovement, Found, Judged, Verdict
from warehouse.model import now
from warehouse.regression_life import ITSELF, State, change, tell
from warehouse.transaction import transaction
from warehouse.watched import PROBE

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

BACK = 0.5
"""A series is back when at most this share of what it changed by is left."""

AGAIN = timedelta(days=1)
"""How long after a regression resolved by itself the same one opens it again."""


class Role(StrEnum):
    """What a change point is to its regression."""

    FOUND = "found"
    BACK = "back"
    AGAIN = "again"


def note(
    connection: DuckDBPyConnection,
    found: Sequence[Found],
    judged: Sequence[Judged],
    moved: Mapping[Found, Sequence[CoMovement]],
) -> dict[str, Found]:
    """Keep what was found with what `moved` beside it, and up to where it was looked; all or nothing.

    Returns the regressions that what moved was kept of.
    """
    at = now().replace(tzinfo=None)
    explained: dict[str, Found] = {}
    with transaction(connection):
        for each in sorted(found, key=lambda change: (change.at, change.series)):
            regression_id = _place(connection, each, at)
            if each in moved and _explains(connection, regression_id, each):
                _replace_moves(connection, regression_id, moved[each])
                explained[regression_id] = each
        for told in judged:
            connection.execute("DELETE FROM judged WHERE kind = ? AND target = ?", [told.kind, told.target])
            connection.execute(
                "INSERT INTO judged VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                [
                    *(told.kind, told.target, told.until, told.series, told.ready, told.points),
                    *(told.wanted, told.point_s),
                ],
            )
    return explained


def _place(connection: DuckDBPyConnection, found: Found, at: datetime) -> str:
    """Join a change point to the regression that it ends, repeats or moves with, or begin one; its id."""
    if found.verdict is Verdict.IMPROVEMENT:
        undone = _undone(connection, found)
        if undone is not None:
            _keep(connection, undone, Role.BACK, found, at)
            if not _still_worse(connection, undone):
                change(connection, undone, State.RESOLVED, "resolve", ITSELF, "all series are back", at)
            return undone
    else:
        repeated = _repeated(connection, found)
        if repeated is not None:
            regression_id, state = repeated
            _keep(connection, regression_id, Role.AGAIN, found, at)
            if state == State.RESOLVED:
                change(connection, regression_id, State.OPEN, "reopen", ITSELF, f"{_named(found)} again", at)
            return regression_id
    regression_id = _near(connection, found) or _begin(connection, found, at)
    _keep(connection, regression_id, Role.FOUND, found, at)
    return regression_id


def _explains(connection: DuckDBPyConnection, regression_id: str, found: Found) -> bool:
    """Whether what moved is told of this change: the first of an endpoint, or the first while there is none.

    Only of an endpoint's time parts are known that add up to it.
    """
    ((of_endpoints, explained),) = connection.execute(
        """
        SELECT (SELECT count(*) FROM change_point WHERE regression_id = $id AND kind = $probe),
            EXISTS (FROM co_movement WHERE regression_id = $id)
        """,
        {"id": regression_id, "probe": PROBE.kind},
    ).fetchall()
    return not explained or (found.series.kind == PROBE.kind and of_endpoints == 1)


def renew_moves(connection: DuckDBPyConnection, moved: Mapping[str, Sequence[CoMovement]]) -> None:
    """Keep what is known now of what moved with regressions, in place of what was."""
    with transaction(connection):
        for regression_id, rows in moved.items():
            _replace_moves(connection, regression_id, rows)


def renew_sizes(connection: DuckDBPyConnection, told: Sequence[tuple[str, Found]]) -> None:
    """Keep what is known now of the sizes of regressions' change points, in place of what was."""
    with transaction(connection):
        for regression_id, found in told:
            connection.execute(
                "UPDATE change_point SET before = ?, after = ?, size_ratio = ?, low_ratio = ?, "  # noqa: S608
                "high_ratio = ?, low_difference = ?, high_difference = ?, confidence = ?, points_after = ? "
                f"WHERE regression_id = ? AND {_OF_SERIES} AND ts = ? AND role <> ?",
                [
                    *(found.before, found.after, found.size, found.low, found.high),
                    *(found.low_difference, found.high_difference, found.confidence, found.points_after),
                    *(regression_id, *_series(found), found.at, Role.BACK),
                ],
            )


def _replace_moves(connection: DuckDBPyConnection, regression_id: str, moved: Sequence[CoMovement]) -> None:
    connection.execute("DELETE FROM co_movement WHERE regression_id = ?", [regression_id])
    for each in moved:
        series, move = each.series, each.move
        connection.execute(
            "INSERT INTO co_movement VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            [
                *(regression_id, series.kind, series.target, series.object, series.metric, each.unit),
                *(move.before, move.after, move.score, each.share, each.of_ms),
                *(move.points_before, move.points_after),
            ],
        )


_OF_SERIES = "kind = ? AND target = ? AND object = ? AND metric = ?"


def _series(found: Found) -> list[str]:
    return [found.series.kind, found.series.target, found.series.object, found.series.metric]


def _undone(connection: DuckDBPyConnection, found: Found) -> str | None:
    """The open regression whose change of this series is undone by the one found."""
    rows = connection.execute(
        f"SELECT regression_id, before, after FROM change_point JOIN regression USING (regression_id) "  # noqa: S608
        f"WHERE {_OF_SERIES} AND role <> ? AND verdict = ? AND state IN (?, ?) "
        "AND ts < ? ORDER BY ts DESC LIMIT 1",
        [
            *(*_series(found), Role.BACK, Verdict.REGRESSION, State.OPEN, State.ACKNOWLEDGED),
            found.at,
        ],
    ).fetchall()
    for regression_id, before, after in rows:
        if abs(found.after - before) <= BACK * abs(after - before) or not found.metric.regressed(
            before, found.after
        ):
            return str(regression_id)
    return None


def _still_worse(connection: DuckDBPyConnection, regression_id: str) -> bool:
    """Whether the newest change point of any series of the regression is not one back."""
    rows = connection.execute(
        """
        SELECT arg_max(role, ts) FROM change_point WHERE regression_id = ?
        GROUP BY kind, target, object, metric
        """,
        [regression_id],
    ).fetchall()
    return any(role != Role.BACK for (role,) in rows)


def _repeated(connection: DuckDBPyConnection, found: Found) -> tuple[str, str] | None:
    """The regression, and its state, in which this series went back to before shortly ago.

    One that somebody resolved stays so.
    """
    rows = connection.execute(
        f"""
        SELECT regression_id, state FROM change_point JOIN regression USING (regression_id)
        WHERE {_OF_SERIES} AND role = ? AND ts >= ? AND ts < ? AND (state <> ? OR state_by = ?)
        ORDER BY ts DESC LIMIT 1
        """,  # noqa: S608 - our own condition
        [*_series(found), Role.BACK, found.at - AGAIN, found.at, State.RESOLVED, ITSELF],
    ).fetchall()
    return (str(rows[0][0]), str(rows[0][1])) if rows else None


def _near(connection: DuckDBPyConnection, found: Found) -> str | None:
    """The regression, or improvement, that this change moves with: by the series it does not hold yet."""
    rows = connection.execute(
        f"""
        SELECT regression_id FROM regression
        WHERE verdict = ? AND state <> ? AND changed_at BETWEEN ? AND ?
            AND regression_id NOT IN (SELECT regression_id FROM change_point WHERE {_OF_SERIES})
        ORDER BY abs(epoch_ms(changed_at) - epoch_ms(?::TIMESTAMP)) LIMIT 1
        """,  # noqa: S608 - our own condition
        [
            *(found.verdict, State.RESOLVED, found.at - found.near, found.at + found.near),
            *(*_series(found), found.at),
        ],
    ).fetchall()
    return str(rows[0][0]) if rows else None


def _begin(connection: DuckDBPyConnection, found: Found, at: datetime) -> str:
    regression_id = f"c{at:%Y%m%d%H%M%S}-{secrets.token_hex(3)}"
    state = State.OPEN if found.verdict is Verdict.REGRESSION else State.TOLD
    connection.execute(
        "INSERT INTO regression VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        [regression_id, found.verdict, state, found.at, at, at, ITSELF, ""],
    )
    tell(connection, regression_id, "found", ITSELF, _named(found), at)
    return regression_id


def _keep(connection: DuckDBPyConnection, regression_id: str, role: Role, found: Found, at: datetime) -> None:
    connection.execute(
        "INSERT INTO change_point VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [
            *(regression_id, role, *_series(found), found.metric.unit, found.metric.direction),
            *(found.at, at, found.before, found.after, found.size, found.low, found.high),
            *(found.confidence, found.point_s, found.points_after, found.looked_back),
            *(found.low_difference, found.high_difference),
        ],
    )


def _named(found: Found) -> str:
    return " ".join(filter(None, (found.series.metric, "of", found.series.target, found.series.object)))
