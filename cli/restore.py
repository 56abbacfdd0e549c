"""Builds a warehouse from a backup beside the present one, then puts it in the place of that."""

from __future__ import annotations

import sys
from pathlib import Path

from cli.backup import in_words
from cli.progress import Progress
from warehouse import offline
from warehouse import restore as building
from warehouse.archive import Archive
from warehouse.client import Client
from warehouse.errors import WarehouseAwayError
from warehouse.settings import Settings

PATIENT = {"timeout_s": 180.0, "retries": 0}
"""The warehouse stores what waits, closes its file and opens the new one; it is asked once."""


def restore(settings: Settings, file: Path, *, replace: bool) -> str:
    """Make the backup `file` the warehouse; returns what was done, in words.

    Until the last step nothing is changed and a running warehouse goes on. Raises InvalidInputError,
    NewerVersionError, DamagedBackupError, StorageError and the errors of the client.
    """
    with Archive(file) as archive:
        building.refuse_newer(archive.manifest, file)
        with offline.holding(settings) as alone, offline.restoring(settings):
            client = None if alone else Client.for_process(settings, "cli", **PATIENT)
            held = client.held_rows() if client else offline.held_rows(settings)
            building.refuse_held(held, replace=replace)
            building.refuse_full(archive, settings)
            with Progress(sys.stderr, archive.manifest.rows) as progress:
                building.build(archive, settings, progress.rows_done)
            try:
                kept = _through(client, settings, replace=replace) if client else offline.put(settings)
            finally:
                building.discard(building.ready_file(settings))
        told = f"restored {in_words(archive.manifest)}"
    return told + (f"\nwhat was there before is kept as {kept}" if kept else "")


def _through(client: Client, settings: Settings, *, replace: bool) -> Path | None:
    """Let the running warehouse exchange its file; where its file is kept that it had before."""
    restored = building.ready_file(settings).stat().st_ino
    try:
        with client:
            name = client.restore(replace=replace)
    except WarehouseAwayError:
        if settings.database_file.stat().st_ino != restored:
            raise
        return building.newest_kept(settings)
    return settings.data_dir / name if name else None
