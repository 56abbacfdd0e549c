"""Who runs PostgreSQL, and in which folder: PostgreSQL refuses to run as root."""

from __future__ import annotations

import ctypes
import hashlib
import os
import pwd
import signal
import stat
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from demo.errors import DemoError

UNPRIVILEGED = ("postgres", "nobody")
SHARED_ROOT = Path("/var/tmp")  # noqa: S108 - every name below it is checked before it is used
SHARED_PREFIX = "perfhouse-demo-"
OWNER_NOTE = "data-dir"
"""Below a shared folder: the data directory that it belongs to."""
PR_SET_PDEATHSIG = 1

_libc = ctypes.CDLL(None) if sys.platform == "linux" else None


@dataclass(frozen=True)
class Account:
    """The user that PostgreSQL's programs run as; `switches` where that is not ourselves."""

    name: str
    uid: int
    gid: int
    switches: bool

    def launch(self, command: Sequence[str], output: IO[bytes] | int) -> subprocess.Popen[bytes]:
        """Start a program as this user, in a session of its own.

        It gets SIGINT when the thread that called this ends, so that a killed demo leaves nothing
        behind (Linux; elsewhere the next start clears up).
        """
        identity: dict[str, object] = {}
        if self.switches:
            identity = {"user": self.uid, "group": self.gid, "extra_groups": []}
        return subprocess.Popen(  # type: ignore[call-overload, no-any-return] # identity is keywords
            list(command),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd="/",
            env={"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"},
            start_new_session=True,
            preexec_fn=_die_with_parent if _libc else None,  # noqa: PLW1509 - only calls prctl
            **identity,
        )

    def own(self, path: Path) -> None:
        """Give a file or folder that we made to this user."""
        if self.switches:
            os.chown(path, self.uid, self.gid, follow_symlinks=False)

    def folder(self, data_dir: Path) -> Path:
        """The folder for the cluster of `data_dir`, made where it is missing.

        Our own user keeps it below `data_dir`. Root keeps it below /var/tmp, because the other user
        could not reach a private `data_dir`; it belongs to root, so that only what is inside the
        cluster is in the other user's hands.
        """
        if not self.switches:
            folder = data_dir / "postgres"
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            return folder
        name = hashlib.sha256(os.fsencode(data_dir.resolve())).hexdigest()[:16]
        folder = own_shared_folder(f"{SHARED_PREFIX}{name}", 0o711)
        (folder / OWNER_NOTE).write_bytes(os.fsencode(data_dir.resolve()))
        return folder


def _die_with_parent() -> None:
    assert _libc is not None
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGINT)


def choose_account() -> Account:
    """Ourselves, or an unprivileged user where we are root. Raises DemoError where there is none."""
    if os.geteuid() != 0:
        return Account(str(os.geteuid()), os.geteuid(), os.getegid(), switches=False)
    for name in UNPRIVILEGED:
        try:
            user = pwd.getpwnam(name)
        except KeyError:
            continue
        if user.pw_uid != 0:
            return Account(name, user.pw_uid, user.pw_gid, switches=True)
    raise DemoError(
        "PostgreSQL does not run as root, and there is no user postgres or nobody to run it as",
        "Start Perfhouse as an ordinary user, or add one: useradd --system postgres",
    )


def own_shared_folder(name: str, mode: int) -> Path:
    """A folder of root's below /var/tmp. Raises DemoError where someone else made it first."""
    folder = SHARED_ROOT / name
    try:
        folder.mkdir(mode=0o700)
        folder.chmod(mode)
    except FileExistsError:
        refuse_foreign(folder)
    return folder


def refuse_foreign(folder: Path) -> None:
    """Raise DemoError unless `folder` is a real folder that only root can write to."""
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != 0 or found.st_mode & 0o022:
        raise DemoError(f"{folder} was made by someone else", "Look at it, remove it, and start again")
