"""Watches a run's processes from outside: one whose launcher died or fell silent is stopped, and said so."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import suppress

import psutil

from loadtests.folder import Folder, RunState
from loadtests.launching import MARK

log = logging.getLogger(__name__)

SILENT_S = 10.0
"""A launcher says each second that it lives; after so long without a word it is stopped."""

FIRST_WORD_S = 30.0
"""How long a launcher may take to its first word: it starts on a machine that may be busy."""

KILL_AFTER_S = 5.0
"""How long an orphan's processes have to end by themselves before they are killed."""

TEARDOWN_S = 45.0
"""How long the one that runs the teardown in the launcher's place has."""

TEARDOWN = "loadtests.orphaned"
"""The module that does; it sends no load."""

Clock = Callable[[], float]


class Watch:
    """One run's processes. Call `look` again and again; nothing here waits or asks the warehouse."""

    def __init__(
        self, folder: Folder, process: subprocess.Popen[bytes] | None = None, clock: Clock = time.monotonic
    ) -> None:
        """`process` is the launcher where it is a child of ours."""
        self._folder = folder
        self._process = process
        self._clock = clock
        self._since = clock()
        self._heard: int | None = None
        self._asked_at: float | None = None
        self._why = ""
        self.is_over = False
        """Whether nothing of the run runs any more and its last state is written."""

    def look(self) -> None:
        """See how the run does; stop and settle what is left of it when its launcher is gone or silent.

        Raises OSError when the last state cannot be written.
        """
        if self.is_over:
            return
        if self._process is not None:
            self._process.poll()
        if self._folder.launcher_lives:
            if self._is_silent():
                self._why = self._why or f"the launcher was silent for {SILENT_S:g} s and was stopped"
                self._stop(list(processes_of(self._folder)))
            return
        left = list(processes_of(self._folder))
        if left:
            self._why = self._why or self._how_it_died()
            self._stop(left)
        else:
            self._settle()

    def _is_silent(self) -> bool:
        """Told by our own clock: the wall clock may step."""
        state = self._folder.state
        heard = None if state is None else state.heartbeat_at_us
        if heard != self._heard:
            self._heard, self._since = heard, self._clock()
        limit = FIRST_WORD_S if heard is None else SILENT_S
        return self._clock() - self._since > limit

    def _stop(self, left: list[psutil.Process]) -> None:
        if self._asked_at is None:
            self._asked_at = self._clock()
            log.warning("%s: %s; stopping %d processes", self._folder.run_id, self._why, len(left))
            end_groups(left, signal.SIGTERM)
            return
        waited_s = self._clock() - self._asked_at
        if waited_s > TEARDOWN_S:
            end_groups(left, signal.SIGKILL)
        elif waited_s > KILL_AFTER_S:
            end_each([process for process in left if not _tears_down(process)], signal.SIGKILL)

    def _settle(self) -> None:
        state = self._folder.state
        if state is None or not state.has_ended:
            why = self._why or self._how_it_died()
            before = state or RunState(state="failed")
            ended_at_us = before.ended_at_us or self._folder.last_sign_us(state) or time.time_ns() // 1000
            self._folder.say(
                before.model_copy(
                    update={
                        "state": "failed",
                        "reason": f"{why}; what was measured until then is kept",
                        "ended_at_us": ended_at_us,
                        "is_partial": True,
                    }
                )
            )
            log.warning("%s failed: %s", self._folder.run_id, why)
        self.is_over = True

    def _how_it_died(self) -> str:
        code = None if self._process is None else self._process.returncode
        if code is None:
            return "the launcher ended without a word"
        if code < 0:
            return f"the launcher was ended by {signal.Signals(-code).name}"
        return f"the launcher ended with exit code {code} and without a word"


def processes_of(folder: Folder) -> Iterator[psutil.Process]:
    """Every process of a run here, wherever in the tree it hangs: their environment carries its mark."""
    for process in psutil.process_iter():
        try:
            is_ours = (
                process.environ().get(MARK) == str(folder.path) and process.status() != psutil.STATUS_ZOMBIE
            )
        except (psutil.Error, OSError):  # gone meanwhile, or another user's
            continue
        if is_ours:
            yield process


def _tears_down(process: psutil.Process) -> bool:
    try:
        return TEARDOWN in process.cmdline()
    except psutil.Error:
        return False


def end_each(processes: list[psutil.Process], how: signal.Signals) -> None:
    """Signal these processes alone."""
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.send_signal(how)


def end_groups(processes: list[psutil.Process], how: signal.Signals) -> None:
    """Signal the groups of these processes, and never our own."""
    groups = set()
    for process in processes:
        with suppress(ProcessLookupError):
            groups.add(os.getpgid(process.pid))
    for group in groups - {os.getpgrp()}:
        with suppress(ProcessLookupError):
            os.killpg(group, how)
