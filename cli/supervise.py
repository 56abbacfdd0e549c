"""Starts processes, restarts what dies, prefixes their logs, and stops them all."""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TextIO

FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 30.0
STABLE_S = 60.0
GRACE_S = 6.0
POLL_S = 0.1
LAST_WORDS_S = 1.0
FINAL_EXIT_CODES = (75, 78)
"""Already running, bad configuration: starting again would not help."""

COLOURS = (36, 35, 32, 33, 34)
PR_SET_PDEATHSIG = 1


@dataclass(frozen=True)
class Part:
    """One process to keep running. `ready` says whether it answers; without it, running is enough."""

    name: str
    command: Sequence[str]
    port: int | None = None
    ready: Callable[[], bool] | None = None
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass
class _Running:
    """A part and what became of it."""

    part: Part
    colour: int
    process: subprocess.Popen[str] | None = None
    started_at: float = 0.0
    start_again_at: float = 0.0
    pause_s: float = FIRST_PAUSE_S
    was_ready: bool = False
    relay: threading.Thread | None = None


class Supervisor:
    """Keeps parts running until told to stop. All work happens in the thread that calls `run`."""

    def __init__(
        self, parts: Sequence[Part], *, on_ready: Callable[[], None], out: TextIO = sys.stderr
    ) -> None:
        self._running = [_Running(part, COLOURS[number % len(COLOURS)]) for number, part in enumerate(parts)]
        self._on_ready = on_ready
        self._out = out
        self._width = max(len(part.name) for part in parts)
        self._write = threading.Lock()
        self._stopping = threading.Event()
        self._all_ready = False

    def stop(self, *_: object) -> None:
        """Ask `run` to end; a signal handler."""
        self._stopping.set()

    def run(self) -> int:
        """Start everything and watch it. Returns 0 after `stop`, or the exit code of a part that
        cannot run here (already running, bad configuration)."""
        for running in self._running:
            self._start(running)
        code = 0
        while not self._stopping.is_set() and not code:
            code = max(self._watch(running) for running in self._running)
            self._announce()
            self._stopping.wait(POLL_S)
        self._stop_all()
        return code

    def _start(self, running: _Running) -> None:
        running.process = subprocess.Popen(
            list(running.part.command),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
            preexec_fn=_die_with_parent,  # noqa: PLW1509 - only calls prctl
            env={**os.environ, "PYTHONUNBUFFERED": "1", **running.part.environment},
        )
        running.started_at = time.monotonic()
        running.was_ready = False
        running.relay = threading.Thread(target=self._relay, args=(running, running.process), daemon=True)
        running.relay.start()

    def _relay(self, running: _Running, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        with process.stdout:
            for line in process.stdout:
                self._say(running, line.rstrip("\n"))

    def _say(self, running: _Running, text: str) -> None:
        name = running.part.name.ljust(self._width)
        prefix = f"\x1b[{running.colour}m{name}\x1b[0m" if self._out.isatty() else name
        with self._write:
            self._out.write(f"{prefix} | {text}\n")
            self._out.flush()

    def _watch(self, running: _Running) -> int:
        """Look after one part; the code with which everything has to end, or 0."""
        at = time.monotonic()
        if running.process is None:
            if at >= running.start_again_at:
                self._start(running)
            return 0
        code = running.process.poll()
        if code is None:
            if at - running.started_at > STABLE_S:
                running.pause_s = FIRST_PAUSE_S
            return 0
        running.process = None
        if code in FINAL_EXIT_CODES:
            self._say(running, f"ended with {code}; starting it again would not help, stopping everything")
            return code
        self._say(running, f"ended with {code}; starting again in {running.pause_s:g} s")
        running.start_again_at = at + running.pause_s
        running.pause_s = min(running.pause_s * 2, LONGEST_PAUSE_S)
        return 0

    def _announce(self) -> None:
        """Say once of each part that it is ready, and once that all are."""
        for running in self._running:
            if running.process is None or running.was_ready:
                continue
            if running.part.ready is None or running.part.ready():
                running.was_ready = True
                took = time.monotonic() - running.started_at
                self._say(running, f"ready after {took:.1f} s")
        if not self._all_ready and all(running.was_ready for running in self._running):
            self._all_ready = True
            self._on_ready()

    def _stop_all(self) -> None:
        """SIGTERM to each group, last started first; SIGKILL to what is left after the grace."""
        alive = [running for running in reversed(self._running) if running.process is not None]
        for running in alive:
            _signal_group(running.process, signal.SIGTERM)
        until = time.monotonic() + GRACE_S
        for running in alive:
            assert running.process is not None
            try:
                running.process.wait(max(0.0, until - time.monotonic()))
            except subprocess.TimeoutExpired:
                self._say(running, f"did not stop within {GRACE_S:g} s, killing it")
                _signal_group(running.process, signal.SIGKILL)
                running.process.wait()
            assert running.relay is not None
            running.relay.join(LAST_WORDS_S)


def taken_ports(parts: Sequence[Part]) -> list[str]:
    """One line for each part whose port something else listens on."""
    lines = []
    for part in parts:
        if part.port is None:
            continue
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", part.port))
            except OSError:
                lines.append(f"{part.name}: port {part.port} is used by another program")
    return lines


def _signal_group(process: subprocess.Popen[str] | None, how: signal.Signals) -> None:
    assert process is not None
    try:
        os.killpg(process.pid, how)
    except ProcessLookupError:
        return


def _die_with_parent() -> None:
    """The kernel ends this process when the thread that started it ends (Linux only)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
