"""The state of a run as its launcher tells it: one file, replaced whole at every change."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

from loadtests.folder import write_whole
from loadtests.rundir import STATE


class Ending(NamedTuple):
    """How a run ended. `is_partial`: requests were sent that may be missing in the spool."""

    state: str
    reason: str = ""
    is_partial: bool = False
    exit_code: int | None = None


class RunState:
    """`state.json`. A reader finds the last state that was true; `heartbeat_at_us` tells how old that is."""

    def __init__(self, run_dir: Path) -> None:
        self._file = run_dir / STATE
        self.fields: dict[str, Any] = {
            "state": "starting",
            "reason": "",
            "pid": os.getpid(),
            "pgid": os.getpgid(0),
            "locust_pids": [],
            "started_at_us": None,
            "ended_at_us": None,
            "heartbeat_at_us": now_us(),
            "exit_code": None,
            "is_partial": False,
        }

    def update(self, **changes: Any) -> None:
        """Write the state with these changes, and that it is true now.

        Where the disk is full it is told to the log: the run's end hangs on its processes, not on this file.
        """
        self.fields |= changes
        self.fields["heartbeat_at_us"] = now_us()
        try:
            write_whole(self._file, json.dumps(self.fields, indent=1) + "\n")
        except OSError as error:
            print(f"{self._file.name} cannot be written: {error.strerror}", file=sys.stderr, flush=True)

    def end(self, ending: Ending) -> None:
        """Write how the run ended."""
        self.update(**ending._asdict(), ended_at_us=now_us())


def read_state(run_dir: Path) -> dict[str, Any]:
    """What the launcher told last; empty when it has told nothing yet."""
    try:
        return dict(json.loads((run_dir / STATE).read_bytes()))
    except FileNotFoundError:
        return {}


def now_us() -> int:
    """The present instant in microseconds since the epoch."""
    return time.time_ns() // 1000
