"""What the warehouse does at intervals: a long turn is normal, a stalled one is told once."""

import logging
import threading
from datetime import timedelta

import pytest

from tests.collectors.processes import wait_for
from warehouse import schedule
from warehouse.schedule import Schedule


@pytest.mark.parametrize(("stalled_s", "told"), [(3600.0, 0), (0.2, 1)])
def test_a_turn_that_takes_long_is_normal_and_one_that_stalls_is_told_once(
    stalled_s: float, told: int, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(schedule, "STALLED_S", stalled_s)
    caplog.set_level(logging.INFO)
    logging.getLogger("apscheduler").setLevel(logging.ERROR)
    ended, skipped = threading.Event(), threading.Semaphore(0)
    turns: list[int] = []

    def work() -> None:
        turns.append(1)
        if len(turns) == 1:
            ended.wait(30)

    monkeypatch.setattr(
        schedule._Turn, "tell_stall", _counted(schedule._Turn.tell_stall, skipped), raising=True
    )
    due = Schedule(timedelta)
    due.every(0.1, work)
    due.start()
    try:
        for _ in range(6):
            assert skipped.acquire(timeout=20)
        assert len(turns) == 1
        ended.set()
        wait_for(lambda: len(turns) > 1)
    finally:
        ended.set()
        due.stop()
    warnings = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert len(warnings) == told
    assert all("work has not ended for" in text for text in warnings)
    assert ("work ended after" in caplog.text) == bool(told)


def _counted(look: object, counter: threading.Semaphore) -> object:
    def counted(turn: schedule._Turn) -> None:
        look(turn)  # type: ignore[operator]
        counter.release()

    return counted
