"""Notes in the data directory which process runs each part, so that `status` can say since when."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import psutil
from pydantic import BaseModel, ValidationError

from warehouse.errors import StorageError
from warehouse.settings import Settings


class Presence(BaseModel):
    """A running process: `since_at` tells it from a later one with the same number."""

    pid: int
    since_at: datetime


def present(settings: Settings, name: str) -> Presence | None:
    """The process that runs a part now, if any."""
    try:
        noted = Presence.model_validate_json(_file(settings, name).read_bytes())
        alive = psutil.Process(noted.pid).status() != psutil.STATUS_ZOMBIE and _of(noted.pid) == noted
        return noted if alive else None
    except (OSError, ValidationError, psutil.Error):
        return None


@contextmanager
def noted(settings: Settings, name: str) -> Iterator[None]:
    """Note this process as the part's while the block runs; a note of one that still runs is left alone."""
    note(settings, name)
    try:
        yield
    finally:
        holder = present(settings, name)
        if holder and holder.pid == os.getpid():
            _file(settings, name).unlink(missing_ok=True)


def note(settings: Settings, name: str) -> None:
    """Note this process as the part's until it ends."""
    if present(settings, name):
        return
    file = _file(settings, name)
    draft = file.with_name(f"{file.name}.{os.getpid()}")
    try:
        for folder in (settings.data_dir, file.parent):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        draft.write_text(_of(os.getpid()).model_dump_json(), encoding="utf-8")
        draft.replace(file)
    except OSError as error:
        raise StorageError(
            f"cannot write to {file.parent}: {error.strerror}", "Choose another data_dir, or make it ours."
        ) from None


def _of(pid: int) -> Presence:
    return Presence(pid=pid, since_at=datetime.fromtimestamp(psutil.Process(pid).create_time(), UTC))


def _file(settings: Settings, name: str) -> Path:
    return settings.data_dir / "run" / f"{name}.json"
