"""Builds a warehouse from a backup beside the present one, then puts it in the place of that."""

from __future__ import annotations

import sys
from pathlib import Path

from cli.backup import in_words
from cli.progress import Progress
from warehouse import offline
from warehouse import restore as building
from warehouse.archive import Archive
from warehouse.errors import AlreadyRunningError
from warehouse.settings import Settings


def restore(settings: Settings, file: Path, *, replace: bool) -> str:
    """Make the backup `file` the warehouse; returns what was done, in words.

    Until the last step nothing is changed. Raises InvalidInputError, AlreadyRunningError, NewerVersionError,
    DamagedBackupError or StorageError.
    """
    with Archive(file) as archive:
        building.refuse_newer(archive.manifest, file)
        with offline.holding(settings) as alone, offline.restoring(settings):
            if not alone:
                hint = "Stop it first; nothing was changed."
                raise AlreadyRunningError(f"the warehouse of {settings.data_dir} is running", hint)
            building.refuse_held(offline.held_rows(settings), replace=replace)
            progress = Progress(sys.stderr, archive.manifest.rows)
            building.build(archive, settings, progress.rows_done)
            progress.end()
            try:
                kept = offline.put(settings)
            finally:
                building.discard(building.ready_file(settings))
        told = f"restored {in_words(archive.manifest)}"
    return told + (f"\nwhat was there before is kept as {kept}" if kept else "")
