"""Finds and removes what earlier demos left behind: servers, and clusters that nobody needs."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import psutil

from demo.account import OWNER_NOTE, SHARED_PREFIX, SHARED_ROOT, refuse_foreign
from demo.errors import DemoError


def servers_of(folder: Path) -> list[psutil.Process]:
    """Every process of the PostgreSQL whose cluster this is: it is their working directory."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.name().startswith("postgres") and Path(process.cwd()) == folder.resolve():
                found.append(process)
        except psutil.Error:
            continue
    return found


def remove_lost_clusters() -> None:
    """Delete the clusters below /var/tmp whose data directory somebody has deleted."""
    for note in SHARED_ROOT.glob(f"{SHARED_PREFIX}*/{OWNER_NOTE}"):
        home = note.parent
        try:
            refuse_foreign(home)
            lost = not Path(os.fsdecode(note.read_bytes())).exists()
        except (DemoError, OSError):
            continue
        if lost and not servers_of(home / "cluster"):
            remove(home)


def remove(path: Path) -> None:
    """Delete a file or a folder as far as that can be done; what is left is tried again next time."""
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
