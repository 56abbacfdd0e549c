"""History judged again: how cautious it is decides when a change is told."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from bench.stable_series import DAY
from warehouse.questions.judge_again import JudgeAgain, changes_again

START = datetime(2026, 11, 2)  # noqa: DTZ001 - naive as in the warehouse


def told_after(caution: float, seed: int) -> int | None:
    """After how many points a step of 12 % in noise of 15 % is told; None where it is not within a day."""
    noise = np.random.default_rng(seed).standard_normal(9 * DAY) * 0.15
    values = 100 * np.exp(noise + np.where(np.arange(9 * DAY) >= 8 * DAY, np.log(1.12), 0.0))
    start, end = (START.replace(tzinfo=UTC) + timedelta(days=days) for days in (8, 9))
    asked = JudgeAgain(
        start=start, end=end, target="shop", endpoint="GET /", metric="p50_ms", caution=caution
    )
    places = [place for place, change in changes_again(asked, START, values, 8 * DAY) if change.size > 0]
    return places[0] - 8 * DAY if places else None


@pytest.mark.parametrize("seed", [0, 2])
def test_less_caution_tells_a_weak_change_earlier(seed: int) -> None:
    bold, usual = told_after(0.25, seed), told_after(1.0, seed)
    assert bold is not None
    assert bold < 30
    assert usual is None or bold < usual
