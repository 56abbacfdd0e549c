"""Starts processes, restarts what dies, prefixes their logs, and stops them all."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO

from warehouse.visible import visible

FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 30.0
STABLE_S = 60.0
SETTLED_S = 1.0
PATIENCE_S = 30.0
GRACE_S = 8.5
FOLLOWERS_GRACE_S = 5.5
LAST_WORDS_S = 0.5
POLL_S = 0.1
REMIND_S = 15.0
LONGEST_LINE = 65_536
FINAL_EXIT_CODES = (75, 78)
"""Already running, bad configuration: starting again would not help."""

COLOURS = (36, 35, 32, 33, 34)
LEASH = Path(__file__).with_name("leash.py")


@dataclass(frozen=True)
class Part:
    """One process to keep running.

    `address` is the host and port it listens on, `ready` says whether it answers. Without `ready`, a
    part that runs for SETTLED_S is ready. `after` names the part whose readiness it waits for before
    its first start, though not for longer than PATIENCE_S.
    """

    name: str
    command: Sequence[str]
    address: tuple[str, int] | None = None
    ready: Callable[[], bool] | None = None
    after: str = ""


@dataclass
class Ended:
    """The part that made everything end: it cannot run here, and said why."""

    name: str
    code: int
    words: list[str]


@dataclass
class _Running:
    """A part and what became of it."""

    part: Part
    colour: int
    process: subprocess.Popen[bytes] | None = None
    started_at: float = 0.0
    start_again_at: float = 0.0
    pause_s: float = 0.0
    was_ready: bool = False
    waits: bool = False
    relay: threading.Thread | None = None
    words: deque[str] = field(default_factory=lambda: deque(maxlen=6))

    def ready(self) -> bool:
        """Whether the part runs and answers."""
        if self.process is None or self.process.poll() is not None:
            return False
        if self.part.ready is None:
            return time.monotonic() - self.started_at >= SETTLED_S
        return self.part.ready()


def pause_after(ran_s: float, previous_s: float) -> float:
    """Seconds to wait before starting again: twice the previous pause, unless it ran for long."""
    if ran_s >= STABLE_S or previous_s == 0:
        return FIRST_PAUSE_S
    return min(previous_s * 2, LONGEST_PAUSE_S)


class Supervisor:
    """Keeps parts running until told to stop. The first part is started first and stopped last.

    Children are started by the thread that calls `run`, and end with it: it must be the main thread.
    """

    def __init__(
        self, parts: Sequence[Part], *, on_ready: Callable[[], None], out: TextIO = sys.stderr
    ) -> None:
        self._running = [_Running(part, COLOURS[number % len(COLOURS)]) for number, part in enumerate(parts)]
        self._on_ready = on_ready
        self._out = out
        self._colours = out.isatty() and not os.environ.get("NO_COLOR")
        self._width = max(len(part.name) for part in parts)
        self._write = threading.Lock()
        self._stopping = threading.Event()
        self._in_a_hurry = False
        self._all_ready = False
        self._remind_at = 0.0

    def stop(self, *_: object) -> None:
        """Ask `run` to end; asked again, it kills what has not ended yet."""
        self._in_a_hurry = self._in_a_hurry or self._stopping.is_set()
        self._stopping.set()

    def obey_signals(self) -> None:
        """Stop on Ctrl-C, SIGTERM and a closed terminal, unless our starter had them ignored (nohup)."""
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, self.stop)

    def run(self) -> Ended | None:
        """Start everything and watch it, until `stop` or until a part cannot run here."""
        ended = None
        try:
            for running in self._running:
                running.waits = bool(running.part.after)
                running.start_again_at = time.monotonic() + PATIENCE_S
                if not running.waits:
                    self._start(running)
            self._remind_at = time.monotonic() + REMIND_S
            while not self._stopping.is_set() and ended is None:
                ended = next(filter(None, [self._watch(running) for running in self._running]), None)
                self._announce()
                self._stopping.wait(POLL_S)
        finally:
            self._stop_all()
        return ended

    def _start(self, running: _Running) -> None:
        ours, theirs = os.pipe()
        running.process = subprocess.Popen(
            [sys.executable, "-I", "-S", str(LEASH), str(os.getpid()), *running.part.command],
            stdin=subprocess.DEVNULL,
            stdout=theirs,
            stderr=subprocess.STDOUT,
            # The part holds our end too: should we be killed, its last words find a reader, and do not
            # end its own way of stopping with a broken pipe.
            pass_fds=(ours,),
            start_new_session=True,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )
        os.close(theirs)
        running.started_at = time.monotonic()
        running.was_ready = running.waits = False
        running.words.clear()
        running.relay = threading.Thread(target=self._relay, args=(running, ours), daemon=True)
        running.relay.start()

    def _relay(self, running: _Running, end: int) -> None:
        with os.fdopen(end, encoding="utf-8", errors="replace") as output:
            while line := output.readline(LONGEST_LINE):
                told = visible(line.rstrip("\n").expandtabs())
                running.words.append(told)
                self._say(running, told)

    def _say(self, running: _Running, text: str) -> None:
        name = running.part.name.ljust(self._width)
        prefix = f"\x1b[{running.colour}m{name}\x1b[0m" if self._colours else name
        with self._write:
            try:
                self._out.write(f"{prefix} | {text}\n")
                self._out.flush()
            except OSError:
                self._stopping.set()  # nobody reads any more: the terminal or the pipe is gone

    def _watch(self, running: _Running) -> Ended | None:
        """Look after one part; tells when everything has to end."""
        at = time.monotonic()
        if running.process is None:
            if at >= running.start_again_at or self._was_awaited(running):
                self._start(running)
            return None
        code = running.process.poll()
        if code is None:
            return None
        self._bury(running)
        if code in FINAL_EXIT_CODES:
            return Ended(running.part.name, code, list(running.words))
        running.pause_s = pause_after(at - running.started_at, running.pause_s)
        how = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
        self._say(running, f"{how}; starting again in {running.pause_s:g} s")
        running.start_again_at = at + running.pause_s
        return None

    def _was_awaited(self, running: _Running) -> bool:
        """Whether a part that waits for another may begin: that one is ready."""
        return running.waits and any(
            other.was_ready for other in self._running if other.part.name == running.part.after
        )

    def _is_ready(self, name: str | None) -> bool:
        return any(running.was_ready for running in self._running if running.part.name == name)

    def _announce(self) -> None:
        """Say of each part once that it is ready, once that all are, and now and then what is not."""
        for running in self._running:
            if not running.was_ready and not self._stopping.is_set() and running.ready():
                running.was_ready = True
                self._say(running, f"ready after {time.monotonic() - running.started_at:.1f} s")
        waiting = [running for running in self._running if not running.was_ready]
        if not waiting and not self._all_ready:
            self._all_ready = True
            self._on_ready()
        if time.monotonic() >= self._remind_at:
            self._remind_at = time.monotonic() + REMIND_S
            for running in waiting:
                self._say(running, "not ready yet")

    def _stop_all(self) -> None:
        """SIGTERM, and SIGKILL to the whole group of what is left after the grace; the first part last."""
        began = time.monotonic()
        self._stop_some(self._running[1:], began + FOLLOWERS_GRACE_S)
        self._stop_some(self._running[:1], began + GRACE_S)

    def _stop_some(self, some: Sequence[_Running], until: float) -> None:
        alive = [running for running in some if running.process is not None]
        for running in alive:
            assert running.process is not None
            running.process.terminate()
        for running in alive:
            assert running.process is not None
            while running.process.poll() is None and time.monotonic() < until and not self._in_a_hurry:
                time.sleep(POLL_S / 2)
            if running.process.poll() is None:
                self._say(running, "did not stop in time, killing it")
            self._bury(running)

    def _bury(self, running: _Running) -> None:
        """Kill what a part left in its process group, and hear its last words."""
        assert running.process is not None
        assert running.relay is not None
        with suppress(ProcessLookupError, PermissionError):  # nothing left, or nothing of ours
            os.killpg(running.process.pid, signal.SIGKILL)
        running.process.wait()
        running.relay.join(LAST_WORDS_S)
        running.process = None
