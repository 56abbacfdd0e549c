"""The supervisor: restarts with back-off, prefixed logs, a clean stop, and no orphans."""

import os
import signal
import socket
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from io import StringIO
from pathlib import Path

import psutil
import pytest

from cli import supervise
from cli.supervise import Part, Supervisor, taken_ports
from tests.servers.ports import free_port

ROOT = Path(__file__).parents[2]


def python(code: str, *arguments: str) -> list[str]:
    """A light child that runs `code`."""
    return [sys.executable, "-c", textwrap.dedent(code), *arguments]


SLEEPER = "import time; print('up', flush=True); time.sleep(60)"
STUBBORN = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {SLEEPER}"


def wait_for(what: Callable[[], bool], seconds: float = 20) -> None:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if what():
            return
        time.sleep(0.02)
    raise AssertionError("it did not come to pass")


class Watched(Supervisor):
    """A supervisor that runs `steps` between its looks and stops when they are done."""

    def __init__(self, parts: list[Part], steps: Callable[["Watched"], bool]) -> None:
        self.log = StringIO()
        self.ready = 0
        super().__init__(parts, on_ready=self._count_ready, out=self.log)
        self._steps = steps
        self._until = time.monotonic() + 30

    def _count_ready(self) -> None:
        self.ready += 1

    def _announce(self) -> None:
        super()._announce()
        assert time.monotonic() < self._until, self.log.getvalue()
        if self._steps(self):
            self.stop()

    def process_of(self, name: str) -> "subprocess.Popen[str] | None":
        return next(running.process for running in self._running if running.part.name == name)


def test_lines_carry_the_name_of_their_process() -> None:
    supervisor = Watched(
        [Part("one", python(SLEEPER)), Part("second", python(SLEEPER))],
        lambda self: self.log.getvalue().count("| up") == 2,
    )
    assert supervisor.run() == 0
    lines = supervisor.log.getvalue().splitlines()
    assert "one    | up" in lines
    assert "second | up" in lines
    assert supervisor.ready == 1


def test_what_dies_is_started_again_after_longer_and_longer_pauses() -> None:
    supervisor = Watched(
        [Part("short", python("raise SystemExit(3)"))],
        lambda self: self.log.getvalue().count("ended with 3") == 3,
    )
    assert supervisor.run() == 0
    pauses = [
        line.split("again in ")[1] for line in supervisor.log.getvalue().splitlines() if "again in" in line
    ]
    assert pauses == ["0.5 s", "1 s", "2 s"]


def test_a_killed_part_comes_back_and_the_others_keep_running() -> None:
    seen: dict[str, int] = {}

    def steps(self: Watched) -> bool:
        victim, other = self.process_of("victim"), self.process_of("other")
        if not seen and victim and other:
            seen["victim"], seen["other"] = victim.pid, other.pid
            os.kill(victim.pid, signal.SIGKILL)
            return False
        return bool(seen) and victim is not None and victim.pid != seen["victim"]

    supervisor = Watched([Part("victim", python(SLEEPER)), Part("other", python(SLEEPER))], steps)
    assert supervisor.run() == 0
    assert "victim | ended with -9; starting again" in supervisor.log.getvalue()
    assert "other  | ended" not in supervisor.log.getvalue()
    assert not psutil.pid_exists(seen["other"])


@pytest.mark.parametrize("code", [75, 78])
def test_what_cannot_run_here_ends_everything_with_its_code(code: int) -> None:
    supervisor = Watched(
        [Part("other", python(SLEEPER)), Part("hopeless", python(f"raise SystemExit({code})"))],
        lambda _: False,
    )
    assert supervisor.run() == code
    assert supervisor.log.getvalue().count("hopeless | ended") == 1


def test_what_does_not_stop_is_killed_after_the_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervise, "GRACE_S", 0.5)
    supervisor = Watched(
        [Part("stubborn", python(STUBBORN))], lambda self: "stubborn | up" in self.log.getvalue()
    )
    began = time.monotonic()
    assert supervisor.run() == 0
    assert time.monotonic() - began < 10
    assert "did not stop within 0.5 s, killing it" in supervisor.log.getvalue()


def test_ready_is_said_once_and_only_when_it_answers() -> None:
    asked = [0]

    def ready() -> bool:
        asked[0] += 1
        return asked[0] >= 3

    supervisor = Watched([Part("slow", python(SLEEPER), ready=ready)], lambda self: self.ready == 1)
    supervisor.run()
    assert asked == [3]
    assert supervisor.log.getvalue().count("ready after") == 1


def test_children_end_when_the_supervisor_is_killed(tmp_path: Path) -> None:
    script = f"""
        import sys
        from cli.supervise import Part, Supervisor
        parts = [Part("child", [sys.executable, "-c", {SLEEPER!r}])]
        supervisor = Supervisor(parts, on_ready=lambda: None)
        supervisor.run()
    """
    parent = subprocess.Popen(python(script), cwd=ROOT, stderr=subprocess.DEVNULL)
    wait_for(lambda: bool(psutil.Process(parent.pid).children()))
    (child,) = psutil.Process(parent.pid).children()
    parent.kill()
    parent.wait()
    wait_for(lambda: not child.is_running())


def test_a_taken_port_is_named() -> None:
    port = free_port()
    part = Part("warehouse", ["true"], port)
    assert taken_ports([part]) == []
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", port))
        taken.listen()
        assert taken_ports([part]) == [f"warehouse: port {port} is used by another program"]
