"""The supervisor: restarts with back-off, prefixed logs, a clean stop, and no orphans."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from io import StringIO
from pathlib import Path

import psutil
import pytest

from cli import supervise
from cli.supervise import Ended, Part, Supervisor, pause_after
from tests.cli.children import PARENT, SLEEPER, STUBBORN, TALKATIVE, python, wait_for

ROOT = Path(__file__).parents[2]


class Watched(Supervisor):
    """A supervisor that runs `steps` between its looks and stops when they are done."""

    def __init__(
        self, parts: list[Part], steps: Callable[["Watched"], bool], log: StringIO | None = None
    ) -> None:
        self.log = log or StringIO()
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

    def pid_of(self, name: str) -> int | None:
        process = next(running.process for running in self._running if running.part.name == name)
        return process.pid if process else None

    @property
    def lines(self) -> list[str]:
        return self.log.getvalue().splitlines()


def test_lines_carry_the_name_of_their_process() -> None:
    supervisor = Watched(
        [Part("one", python(SLEEPER)), Part("second", python(SLEEPER))],
        lambda self: self.log.getvalue().count("| up") == 2 and self.ready == 1,
    )
    assert supervisor.run() is None
    assert "one    | up" in supervisor.lines
    assert "second | up" in supervisor.lines
    assert "\x1b" not in supervisor.log.getvalue()


@pytest.mark.parametrize(("no_colour", "coloured"), [("", True), ("1", False)])
def test_colour_is_for_terminals(monkeypatch: pytest.MonkeyPatch, no_colour: str, coloured: bool) -> None:
    class Terminal(StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setenv("NO_COLOR", no_colour)
    supervisor = Watched(
        [Part("one", python(SLEEPER))], lambda self: "| up" in self.log.getvalue(), Terminal()
    )
    supervisor.run()
    assert ("\x1b[36mone\x1b[0m | up" in supervisor.lines) is coloured
    assert ("one | up" in supervisor.lines) is not coloured


def test_output_that_is_no_text_or_has_no_end_is_passed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervise, "LONGEST_LINE", 8)
    code = "import sys, time; sys.stdout.buffer.write(b'\\xff' * 20); sys.stdout.flush(); time.sleep(60)"
    supervisor = Watched([Part("raw", python(code))], lambda self: len(self.lines) == 2)
    supervisor.run()
    assert supervisor.lines[:2] == ["raw | " + "\N{REPLACEMENT CHARACTER}" * 8] * 2


def test_what_dies_is_started_again_after_longer_and_longer_pauses() -> None:
    supervisor = Watched(
        [Part("short", python("raise SystemExit(3)"))],
        lambda self: self.log.getvalue().count("exit code 3") == 3,
    )
    assert supervisor.run() is None
    assert [line for line in supervisor.lines if "again in" in line] == [
        f"short | ended with exit code 3; starting again in {pause} s" for pause in ("0.5", "1", "2")
    ]
    assert supervisor.ready == 0


def test_pauses_grow_to_a_bound_and_are_short_again_after_a_stable_minute() -> None:
    pauses = [0.0]
    for _ in range(8):
        pauses.append(pause_after(59.9, pauses[-1]))
    assert pauses[1:] == [0.5, 1, 2, 4, 8, 16, 30, 30]
    assert pause_after(60.0, 30.0) == 0.5


def test_a_killed_part_comes_back_and_the_others_keep_running() -> None:
    seen: dict[str, int] = {}

    def steps(self: Watched) -> bool:
        victim, other = self.pid_of("victim"), self.pid_of("other")
        if not seen and victim and other:
            seen.update(victim=victim, other=other)
            os.kill(victim, signal.SIGKILL)
            return False
        return bool(seen) and victim is not None and victim != seen["victim"]

    supervisor = Watched([Part("victim", python(SLEEPER)), Part("other", python(SLEEPER))], steps)
    assert supervisor.run() is None
    assert "victim | was ended by SIGKILL; starting again in 0.5 s" in supervisor.lines
    assert "other  | ended" not in supervisor.log.getvalue()
    assert not psutil.pid_exists(seen["other"])


@pytest.mark.parametrize("code", [75, 78])
def test_what_cannot_run_here_ends_everything_with_its_words(code: int) -> None:
    supervisor = Watched(
        [Part("other", python(SLEEPER)), Part("hopeless", python(f"print('no'); raise SystemExit({code})"))],
        lambda _: False,
    )
    assert supervisor.run() == Ended("hopeless", code, ["no"])
    assert "starting again" not in supervisor.log.getvalue()


def test_a_command_that_is_not_there_is_said() -> None:
    supervisor = Watched([Part("gone", ["/no/such/command"])], lambda self: len(self.lines) >= 2)
    supervisor.run()
    assert supervisor.lines[0] == "gone | cannot run /no/such/command: No such file or directory"


@pytest.fixture
def handlers() -> Iterator[None]:
    numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    before = {number: signal.getsignal(number) for number in numbers}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_stops_it(handlers: None, number: signal.Signals) -> None:
    def steps(self: Watched) -> bool:
        if "| up" in self.log.getvalue():
            os.kill(os.getpid(), number)
        return False

    supervisor = Watched([Part("one", python(SLEEPER))], steps)
    supervisor.obey_signals()
    assert supervisor.run() is None


def test_an_ignored_signal_stays_ignored(handlers: None) -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    supervisor = Watched([Part("one", python(SLEEPER))], lambda _: True)
    supervisor.obey_signals()
    assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    assert signal.getsignal(signal.SIGTERM) == supervisor.stop


def test_what_does_not_stop_is_killed_after_the_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervise, "GRACE_S", 0.5)
    supervisor = Watched(
        [Part("stubborn", python(STUBBORN))], lambda self: "stubborn | up" in self.log.getvalue()
    )
    began = time.monotonic()
    assert supervisor.run() is None
    assert time.monotonic() - began < 15
    assert "stubborn | did not stop in time, killing it" in supervisor.lines


def test_the_grace_ends_before_ten_seconds() -> None:
    assert supervise.FOLLOWERS_GRACE_S < supervise.GRACE_S
    assert supervise.GRACE_S + 2 * supervise.LAST_WORDS_S < 10


def test_asked_twice_it_kills_at_once() -> None:
    def steps(self: Watched) -> bool:
        if "| up" in self.log.getvalue():
            self.stop()
        return "| up" in self.log.getvalue()

    supervisor = Watched([Part("stubborn", python(STUBBORN))], steps)
    began = time.monotonic()
    supervisor.run()
    assert time.monotonic() - began < supervise.GRACE_S
    assert "stubborn | did not stop in time, killing it" in supervisor.lines


def test_the_first_part_is_stopped_last() -> None:
    last = "import signal, sys, time\nsignal.signal(signal.SIGTERM, lambda *_: sys.exit(print('bye')))\n"
    supervisor = Watched(
        [Part("first", python(last + SLEEPER)), Part("second", python(last + SLEEPER))],
        lambda self: self.log.getvalue().count("| up") == 2,
    )
    supervisor.run()
    assert supervisor.lines[-2:] == ["second | bye", "first  | bye"]


def test_grandchildren_go_with_their_parent() -> None:
    grandchildren: list[int] = []
    killed: set[int] = set()

    def steps(self: Watched) -> bool:
        words = [line.partition("| ")[2] for line in self.lines]
        grandchildren[:] = [int(word) for word in words if word.isdigit()]
        pid = self.pid_of("parent")
        if grandchildren and pid and not killed:
            killed.add(pid)
            os.kill(pid, signal.SIGKILL)
        return len(grandchildren) == 2

    Watched([Part("parent", python(PARENT))], steps).run()
    for pid in grandchildren:
        wait_for(lambda pid=pid: not _lives(pid))  # type: ignore[misc]


def test_ready_is_said_once_and_only_when_it_answers() -> None:
    asked = [0]

    def ready() -> bool:
        asked[0] += 1
        return asked[0] >= 3

    supervisor = Watched([Part("slow", python(SLEEPER), ready=ready)], lambda self: self.ready == 1)
    supervisor.run()
    assert asked == [3]
    assert supervisor.log.getvalue().count("ready after") == 1


def test_a_part_after_another_starts_when_that_one_is_ready() -> None:
    seen: list[int | None] = []

    def steps(self: Watched) -> bool:
        if len(seen) < 3:
            seen.append(self.pid_of("second"))
        return self.ready == 1

    first = Part("first", python(SLEEPER), ready=lambda: len(seen) >= 3)
    supervisor = Watched([first, Part("second", python(SLEEPER), after="first")], steps)
    supervisor.run()
    assert seen == [None, None, None]
    assert "second | up" in supervisor.lines


def test_a_part_after_another_that_is_never_ready_starts_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(supervise, "PATIENCE_S", 0.5)
    first = Part("first", python(SLEEPER), ready=lambda: False)
    parts = [first, Part("second", python("raise SystemExit(3)"), after="first")]
    supervisor = Watched(parts, lambda self: self.log.getvalue().count("exit code 3") == 2)
    supervisor.run()
    assert "second | ended with exit code 3; starting again in 0.5 s" in supervisor.lines


def test_what_is_not_ready_for_long_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervise, "REMIND_S", 0.3)
    supervisor = Watched(
        [Part("slow", python(SLEEPER), ready=lambda: False)], lambda self: len(self.lines) > 3
    )
    supervisor.run()
    assert supervisor.log.getvalue().count("slow | not ready yet") >= 2


def test_it_stops_when_nobody_reads_any_more() -> None:
    class Closed(StringIO):
        def write(self, _: str) -> int:
            raise BrokenPipeError

    supervisor = Watched([Part("one", python(SLEEPER))], lambda _: False, Closed())
    assert supervisor.run() is None


@pytest.mark.parametrize("child", [SLEEPER, TALKATIVE], ids=["quiet", "talkative"])
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSEGV])
def test_children_end_when_the_supervisor_does_not_end_well(how: signal.Signals, child: str) -> None:
    script = f"""
        import sys
        from cli.supervise import Part, Supervisor
        parts = [Part("child", [sys.executable, "-c", {child!r}])]
        Supervisor(parts, on_ready=lambda: None).run()
    """
    parent = subprocess.Popen(python(script), cwd=ROOT, stderr=subprocess.PIPE, text=True)
    assert parent.stderr is not None
    with parent.stderr:
        assert parent.stderr.readline() == "child | up\n"
        (process,) = psutil.Process(parent.pid).children()
        parent.send_signal(how)
        parent.wait(20)
    wait_for(lambda: not _lives(process.pid))


def test_a_child_whose_starter_is_gone_already_does_not_begin() -> None:
    leash = subprocess.run(
        [sys.executable, str(supervise.LEASH), "1", "touch", "/never"], capture_output=True, timeout=20
    )
    assert leash.returncode == 1
    assert leash.stderr == b"process 1 is gone\n"
    assert not Path("/never").exists()


def _lives(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_what_comes_after_another_begins_when_that_is_ready() -> None:
    asked = [0]

    def ready() -> bool:
        asked[0] += 1
        return asked[0] >= 5

    begun_at: list[int] = []

    def steps(self: Watched) -> bool:
        if self.pid_of("second") is not None:
            begun_at.append(asked[0])
        return bool(begun_at)

    parts = [Part("first", python(SLEEPER), ready=ready), Part("second", python(SLEEPER), after="first")]
    supervisor = Watched(parts, steps)
    supervisor.run()
    assert begun_at == [5]


def test_nobody_waits_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervise, "PATIENCE_S", 0.3)
    parts = [
        Part("never", python(SLEEPER), ready=lambda: False),
        Part("second", python(SLEEPER), after="never"),
    ]
    supervisor = Watched(parts, lambda self: "second | up" in self.log.getvalue())
    supervisor.run()
    assert "never  | ready" not in supervisor.log.getvalue()
