"""Ties a process to the one that started it, so that nothing sends load that nobody watches."""

from __future__ import annotations

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def tie_to(starter: int) -> None:
    """Ask for SIGTERM when the starter ends; leave at once when it already has. Linux only."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != starter:
            sys.exit(f"process {starter} is gone")


def is_orphan(starter: int) -> bool:
    """Whether the starter is gone."""
    return os.getppid() != starter
