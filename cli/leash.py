"""Runs a command that the kernel ends when its starter ends: `leash.py STARTER_PID COMMAND...`.

The starter cannot ask for this itself between fork and exec, because it runs threads. The request
outlives exec, so the command becomes this very process. Linux only; elsewhere just the command.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def tie(starter: int) -> None:
    """Ask for SIGTERM when the thread that started us ends; leave at once when it already has."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != starter:
            sys.exit(f"process {starter} is gone")


if __name__ == "__main__":
    tie(int(sys.argv[1]))
    try:
        os.execvp(sys.argv[2], sys.argv[2:])  # noqa: S606 - becomes the command it was given
    except OSError as error:
        sys.exit(f"cannot run {sys.argv[2]}: {error.strerror}")
