"""Change points so young that their size is told anew, as points after them come in.

Which those are stands in the warehouse alone, since a change point has the number of points it is told by:
a stop at any moment loses none, and a start goes on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from warehouse.change_points import Found, Verdict, found_of
from warehouse.coincidence import POINTS_AROUND
from warehouse.questions.asking import Statement
from warehouse.regression_life import State
from warehouse.regressions import Role
from warehouse.watched import Ask
from warehouse.young import LONGEST


@dataclass(frozen=True)
class Sized:
    """A change point of a regression, the way it went, and when its series changed again."""

    regression_id: str
    found: Found
    upwards: bool
    changed_again_at: datetime | None

    def points(self, known: int, step_s: int) -> int | None:
        """How many of the points known after it tell it anew; None where it is left as it was told.

        Once the series changed again it is left, but for points since then that had told it before that was
        known.
        """
        most, told = min(known, POINTS_AROUND), self.found.points_after
        if self.changed_again_at is None:
            return most if most > told else None
        most = min(most, (self.changed_again_at - self.found.at) // timedelta(seconds=step_s))
        return most if 0 < most < told else None


class YoungSizes:
    """Which change points are told anew. It asks only while any is young."""

    def __init__(self) -> None:
        self._may_be_young = True

    def noted(self) -> None:
        """Change points were kept."""
        self._may_be_young = True

    def due(
        self, ask: Ask, step_s: int, again: Callable[[Sized], Found | None], at: datetime
    ) -> Iterator[tuple[str, Found]]:
        """Change points as `again` tells them (None: no more than before), with their regressions' ids.

        Those of points of another width than `step_s` are left.
        """
        if self._may_be_young:
            young = _young(ask, step_s, at)
            self._may_be_young = bool(young)
            for each in young:
                told = again(each)
                if told is not None:
                    yield each.regression_id, told


def _young(ask: Ask, step_s: int, at: datetime) -> list[Sized]:
    """Change points that are told by too few points, or by some from which on their series changed again.

    Regressions that somebody resolved are left, and targets that have fallen silent for long.
    """
    oldest = at - LONGEST - POINTS_AROUND * timedelta(seconds=step_s)
    rows = ask(
        Statement(
            """
            WITH changes AS (
                SELECT *, lead(ts) OVER (
                    PARTITION BY kind, target, object, metric ORDER BY ts
                ) AS changed_again_at
                FROM change_point WHERE ts >= $oldest
            )
            SELECT changes.*, verdict FROM changes JOIN regression USING (regression_id)
            WHERE role <> $back AND point_s = $step_s AND points_after <= $around
                AND CASE WHEN changed_again_at IS NULL THEN state <> $resolved AND points_after < $around
                    ELSE epoch_ms(ts) + points_after::BIGINT * $step_s * 1000 > epoch_ms(changed_again_at)
                END
            """,
            {
                "oldest": oldest,
                "back": Role.BACK,
                "step_s": step_s,
                "around": POINTS_AROUND,
                "resolved": State.RESOLVED,
            },
        )
    ).to_pylist()
    return [each for each in map(_sized, rows) if each is not None]


def _sized(row: dict[str, Any]) -> Sized | None:
    found = found_of(row)
    if found is None:
        return None
    is_worse, lower_is_better = row["verdict"] == Verdict.REGRESSION, row["direction"] == "lower"
    again = row["changed_again_at"]
    return Sized(
        str(row["regression_id"]),
        found,
        upwards=is_worse == lower_is_better,
        changed_again_at=None if again is None else again.replace(tzinfo=None),
    )
