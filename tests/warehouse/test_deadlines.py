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
    started: list[threading.Thread] = []

    class Counted(threading.Thread):
        def start(self) -> None:
            started.append(self)
            super().start()

    monkeypatch.setattr(deadlines, "IDLE_S", 0.2)
    monkeypatch.setattr(threading, "Thread", Counted)
    watched, until = Deadlines(), time.monotonic() + 60
    with watched.over(Noted(), until):  # type: ignore[arg-type]
        for _ in range(3):
            with watched.over(Noted(), until), watched.over(Noted(), until):  # type: ignore[arg-type]
                assert len(started) == 1
    started[0].join(10)
    assert not started[0].is_alive()
    again = Noted()
    with watched.over(again, time.monotonic()):  # type: ignore[arg-type]
        assert again.twice.wait(10)
    assert len(started) == 2


def test_a_statement_that_cannot_be_interrupted_ends_no_other_ones_deadline() -> None:
    class Broken(Noted):
        def interrupt(self) -> None:
            raise RuntimeError("closed in a way nobody knows")

    watched, other = Deadlines(), Noted()
    until = time.monotonic() + 0.05
    with watched.over(Broken(), until), watched.over(other, until):  # type: ignore[arg-type]
        assert other.twice.wait(10)


def test_a_thread_that_could_not_start_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    class Refused(threading.Thread):
        def start(self) -> None:
            raise RuntimeError("can't start new thread")

    watched, lease, later = Deadlines(), Noted(), Noted()
    with monkeypatch.context() as patched:
        patched.setattr(threading, "Thread", Refused)
        with pytest.raises(RuntimeError), watched.over(lease, time.monotonic()):  # type: ignore[arg-type]
            raise AssertionError("unreachable")
    with watched.over(later, time.monotonic()):  # type: ignore[arg-type]
        assert later.twice.wait(10)
    assert lease.at == []
