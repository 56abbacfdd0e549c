"""The level after a change is drawn as long as it is known to have held."""

from datetime import UTC, datetime, timedelta

import pytest

from dashboard.regression_chart import held_until
from dashboard.window import Window, absolute

AT = datetime(2026, 11, 19, 16, 40, tzinfo=UTC)


@pytest.mark.parametrize(
    ("looked_back", "point_s", "hours"), [(True, 300, 6), (False, 300, 8), (True, None, 8), (True, 3600, 8)]
)
def test_a_level_that_ended_is_not_drawn_on(looked_back: bool, point_s: int | None, hours: int) -> None:
    end = AT + timedelta(hours=8)
    window = Window(AT - timedelta(hours=8), end, absolute(AT - timedelta(hours=8), end))
    row = {"changed_at": AT, "looked_back": looked_back, "point_s": point_s, "points_after": 72}
    assert held_until(row, window) == AT + timedelta(hours=hours)
