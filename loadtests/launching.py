"""Starts a run's launcher: in a session of its own, with what it may know and nothing more."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from loadtests.folder import Folder, hold
from warehouse.errors import AlreadyRunningError

ROOT = Path(__file__).parents[1]
MARK = "PERFHOUSE_RUN"
"""Environment variable that tells a run's processes here from all others: its directory."""

PASSED_ON = ("PATH", "HOME", "LANG", "TZ", "TMPDIR", "LD_LIBRARY_PATH", "SSL_CERT_FILE", "SSL_CERT_DIR")
"""What the launcher's environment has of ours, besides the secrets its plan names."""

Launch = Callable[[Folder], "subprocess.Popen[bytes]"]
"""Starts the launcher of a run whose directory is made. Raises OSError."""


def command(folder: Folder) -> Sequence[str]:
    """What runs the launcher."""
    seat = folder.seat
    options = ["--seat"] if seat is not None and "master_host" in seat else []
    return [sys.executable, "-m", "loadtests.launcher", str(folder.path), *options]


def launch(folder: Folder, command: Callable[[Folder], Sequence[str]] = command) -> subprocess.Popen[bytes]:
    """Start the launcher. It outlives us, and holds the run's lock from its first moment to its last.

    Raises OSError, or AlreadyRunningError when the run's launcher lives already.
    """
    lock = hold(folder.path / "launcher.lock")
    if lock is None:
        raise AlreadyRunningError(f"the launcher of {folder.run_id} runs already")
    try:
        with (folder.path / "launcher.log").open("ab") as log:
            return subprocess.Popen(
                command(folder),
                cwd=ROOT,
                env=environment_for(folder, folder.plan or {}, os.environ),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                pass_fds=(lock,),
                start_new_session=True,
            )
    finally:
        os.close(lock)


def environment_for(folder: Folder, plan: Mapping[str, Any], ours: Mapping[str, str]) -> dict[str, str]:
    """The launcher's environment: the secrets that its plan names are in it, no others of ours are."""
    names = [*PASSED_ON, *(name for name in ours if name.startswith("LC_")), *_named_secrets(plan)]
    passed = {name: ours[name] for name in names if name in ours}
    return {**passed, MARK: str(folder.path), "PYTHONUNBUFFERED": "1"}


def _named_secrets(part: Any) -> Iterator[str]:
    """The environment variables that headers anywhere in a plan refer to."""
    if isinstance(part, Mapping):
        headers = part.get("headers")
        for value in headers.values() if isinstance(headers, Mapping) else ():
            if isinstance(value, Mapping) and isinstance(value.get("env"), str):
                yield value["env"]
        for inner in part.values():
            yield from _named_secrets(inner)
    elif isinstance(part, list | tuple):
        for inner in part:
            yield from _named_secrets(inner)
