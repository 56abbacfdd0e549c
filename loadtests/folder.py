"""A run's directory: the files through which agent, launcher and load generator tell one another of it."""

from __future__ import annotations

import fcntl
import json
import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from warehouse.lock import make_private

RUN_ID = re.compile(r"r\d{14}-[0-9a-f]{6}")
SPOOL = re.compile(r"(events|requests)-(\d+)\.(?:jsonl|bin)")
ENDED = frozenset({"finished", "failed", "cancelled"})


class RunState(BaseModel):
    """What `state.json` says. Instants are microseconds since the epoch."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    state: str
    reason: str = ""
    pid: int | None = None
    pgid: int | None = None
    started_at_us: int | None = None
    ended_at_us: int | None = None
    heartbeat_at_us: int | None = None
    exit_code: int | None = None
    is_partial: bool = False
    target_version: str | None = None

    @property
    def has_ended(self) -> bool:
        """Whether nothing more will come of the run."""
        return self.state in ENDED


class SpoolFile(BaseModel):
    """One file of measurements: whole rows, or whole lines."""

    model_config = ConfigDict(frozen=True)

    name: str
    is_rows: bool
    worker: int


class Folder:
    """One run's directory. The launcher holds `launcher.lock` for as long as it lives."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.run_id = path.name

    def make(self, plan: str, seat: dict[str, Any] | None) -> None:
        """Create the directory with what the launcher needs; the plan comes last. Raises OSError."""
        make_private(self.path)
        if seat is not None:
            write_whole(self.path / "seat.json", json.dumps(seat))
        write_whole(self.path / "plan.json", plan)

    @property
    def plan(self) -> dict[str, Any] | None:
        """What is to be run; None where the directory was not made whole."""
        return _object_in(self.path / "plan.json")

    @property
    def seat(self) -> dict[str, Any] | None:
        """This machine's part of a run that several share; None for a run of its own."""
        return _object_in(self.path / "seat.json")

    @property
    def state(self) -> RunState | None:
        """What was said last of the run; None until the launcher said something."""
        try:
            return RunState.model_validate_json((self.path / "state.json").read_bytes())
        except (OSError, ValidationError):
            return None

    def say(self, state: RunState) -> None:
        """Speak in the launcher's place, once it is gone. Raises OSError."""
        write_whole(self.path / "state.json", state.model_dump_json())

    def cancel(self, by: str) -> None:
        """Ask the launcher to stop gracefully; the first one who asked is remembered. Raises OSError."""
        if not self.is_cancelled:
            write_whole(self.path / "cancel", by)

    @property
    def is_cancelled(self) -> bool:
        """Whether somebody asked for a graceful stop."""
        return (self.path / "cancel").exists()

    @property
    def launcher_lives(self) -> bool:
        """Whether a process holds the launcher's lock, which the kernel frees on any death."""
        held = hold(self.path / "launcher.lock")
        if held is None:
            return True
        os.close(held)
        return False

    def spool(self) -> list[SpoolFile]:
        """The files of measurements there are now, texts before the rows that refer to them."""
        names = sorted(entry.name for entry in os.scandir(self.path))
        matches = filter(None, map(SPOOL.fullmatch, names))
        return [
            SpoolFile(name=match[0], is_rows=match[1] == "requests", worker=int(match[2]))
            for match in matches
        ]

    def last_sign_us(self, state: RunState | None) -> int | None:
        """When the run last gave a sign of life: its heartbeat, or what it measured."""
        signs = [(self.path / file.name).stat().st_mtime_ns // 1000 for file in self.spool()]
        if state is not None and state.heartbeat_at_us is not None:
            signs.append(state.heartbeat_at_us)
        return max(signs, default=None)


def folders_in(runs_dir: Path) -> Iterable[Folder]:
    """Every run's directory, oldest first."""
    if not runs_dir.exists():
        return []
    names = sorted(entry.name for entry in os.scandir(runs_dir) if entry.is_dir())
    return [Folder(runs_dir / name) for name in names if RUN_ID.fullmatch(name)]


def hold(file: Path) -> int | None:
    """Take a lock that ends with the last process that has the descriptor; None when it is taken."""
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor


def write_whole(file: Path, text: str) -> None:
    """Replace a file's content, whole or not at all, and on the disk afterwards. Raises OSError."""
    draft = file.with_name(f".{file.name}.{os.getpid()}.draft")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(descriptor)
    draft.replace(file)


def _object_in(file: Path) -> dict[str, Any] | None:
    try:
        found = json.loads(file.read_bytes())
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None
