"""Interrupts at deadlines: each statement at its own, by one thread that lives while there are any."""

import threading
import time

import pytest

from warehouse import deadlines
from warehouse.deadlines import Deadlines


class Noted:
    """Stands for a lease: notes when it is interrupted."""

    def __init__(self) -> None:
        self.at: list[float] = []
        self.twice = threading.Event()

    def interrupt(self) -> None:
        self.at.append(time.monotonic())
        if len(self.at) > 1:
            self.twice.set()


def watchers() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "deadlines"]


def test_what_is_over_is_interrupted_again_and_again_and_nothing_else() -> None:
    watched, soon, late = Deadlines(), Noted(), Noted()
    until = time.monotonic() + 0.1
    with watched.over(late, until + 60), watched.over(soon, until):  # type: ignore[arg-type]
        assert soon.twice.wait(10)
    assert min(soon.at) >= until
    assert late.at == []


def test_a_statement_that_ended_is_left_alone() -> None:
    watched, ended, other = Deadlines(), Noted(), Noted()
    until = time.monotonic() + 0.05
    with watched.over(ended, until):  # type: ignore[arg-type]
        pass
    with watched.over(other, until):  # type: ignore[arg-type]
        assert other.twice.wait(10)
    assert ended.at == []


def test_one_thread_serves_all_and_ends_when_there_is_nothing_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    before = len(watchers())
    monkeypatch.setattr(deadlines, "IDLE_S", 0.05)
    watched, until = Deadlines(), time.monotonic() + 60
    for _ in range(3):
        with watched.over(Noted(), until), watched.over(Noted(), until):  # type: ignore[arg-type]
            assert len(watchers()) == before + 1
    (thread,) = [thread for thread in watchers() if thread is watched._thread] or [None]
    if thread is not None:
        thread.join(10)
        assert not thread.is_alive()
    again = Noted()
    with watched.over(again, time.monotonic()):  # type: ignore[arg-type]
        assert again.twice.wait(10)
