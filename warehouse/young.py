"""Regressions so young that what moved with them is looked at again, as points after them come in."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta

from warehouse.change_points import Found, found_of
from warehouse.coincidence import POINTS_AROUND
from warehouse.questions.asking import Statement
from warehouse.regression_life import State
from warehouse.regressions import Role
from warehouse.watched import PROBE, Ask

OVER = """
    (state = $resolved OR regression_id IN (SELECT regression_id FROM change_point WHERE role = $back))
"""
"""SQL of a regression that is resolved, or of which a series is back: points since would hide what moved."""

LONGEST = timedelta(days=1)
"""A target that has fallen silent is waited for no longer."""


class Young:
    """The change of each young regression by which it was looked what moved, with its points until then."""

    def __init__(self) -> None:
        self._found: dict[str, Found] = {}
        self._remembered = False

    def remember(self, ask: Ask) -> None:
        """Once, and before anything is judged: take up those that were young when the warehouse stopped."""
        if not self._remembered:
            self._found |= _left(ask)
            self._remembered = True

    def add(self, explained: dict[str, Found]) -> None:
        """Regressions of which it was just looked what moved."""
        self._found |= explained

    def due(
        self, ask: Ask, points_of: Callable[[Found], int | None], at: datetime
    ) -> Iterator[tuple[str, Found]]:
        """Those with more points after them than when it was looked; what is over is left as it was told.

        `points_of` counts the points after a change that are complete, None where that is not known.
        """
        for regression_id in self._over(ask):
            del self._found[regression_id]
        for regression_id, found in list(self._found.items()):
            points = points_of(found)
            if points is not None and points > found.points_after:
                yield regression_id, replace(found, points_after=points)
            elif at - found.at > LONGEST:
                del self._found[regression_id]

    def looked(self, seen: dict[str, Found]) -> None:
        """It was looked again: once there are enough points after them they are young no more."""
        for regression_id, found in seen.items():
            if found.points_after > POINTS_AROUND:
                del self._found[regression_id]
            else:
                self._found[regression_id] = found

    def _over(self, ask: Ask) -> list[str]:
        """Those that are resolved, or of which a series is back: points after that would hide what moved."""
        if not self._found:
            return []
        rows = ask(
            Statement(
                f"SELECT regression_id FROM regression WHERE {OVER} "  # noqa: S608 - our own condition
                "AND list_contains($known::VARCHAR[], regression_id)",
                {"resolved": State.RESOLVED, "back": Role.BACK, "known": list(self._found)},
            )
        )
        return [str(each) for each in rows["regression_id"].to_pylist()]


def _left(ask: Ask) -> dict[str, Found]:
    """The change that explains each regression, if it had too few points when its target was judged last.

    By how many of them it was looked what moved is not kept: it is looked again at once.
    """
    rows = ask(
        Statement(
            f"""
            WITH changes AS (
                SELECT *, row_number() OVER (
                    PARTITION BY regression_id
                    ORDER BY kind <> $probe, found_at, ts, kind, target, object, metric
                ) AS place
                FROM change_point WHERE role <> $back
            )
            SELECT changes.* FROM changes JOIN judged USING (kind, target, point_s)
                JOIN regression USING (regression_id)
            WHERE place = 1 AND NOT ({OVER})
                AND epoch_ms(ts) + $around * changes.point_s::BIGINT * 1000 >= epoch_ms(until_ts)
            """,  # noqa: S608 - our own condition
            {
                "back": Role.BACK,
                "resolved": State.RESOLVED,
                "around": POINTS_AROUND,
                "probe": PROBE.kind,
            },
        )
    ).to_pylist()
    kept = {str(row["regression_id"]): found_of(row) for row in rows}
    return {
        regression_id: replace(found, points_after=0)
        for regression_id, found in kept.items()
        if found is not None
    }
