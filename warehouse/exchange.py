"""Puts a restored file in the place of the warehouse's own, while the warehouse runs."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

from warehouse import notes, restore
from warehouse.errors import RefusedError, StorageError
from warehouse.model import JobState, now
from warehouse.store import version_of_file

if TYPE_CHECKING:
    from warehouse.keeper import Keeper
    from warehouse.store import Store

log = logging.getLogger(__name__)

JOB = "restore"


def exchange(store: Store, keeper: Keeper, *, replace: bool) -> Path | None:
    """Close the present file, put the restored one in its place, and open that; on the writer's thread.

    Batches wait meanwhile, and questions that run are ended. Returns where the present file is kept, if it
    held anything. Raises RefusedError, and StorageError: then the present file is in place and open again.
    """
    _refuse_unfit(store)
    held = held_rows(store)
    restore.refuse_held(held, replace=replace)
    keeper.close()
    settings = store.settings
    kept = store.exchange(
        lambda: restore.place(settings, now(), keep=held != 0),
        lambda kept: restore.take_back(settings, kept),
    )
    keeper.exchanged()
    before = f"what it lacks is in the file before it, kept as {kept.name}" if kept else "that was empty"
    text = f"a backup took the place of the warehouse's file; {before}"
    log.info("%s", text)
    keeper.tell([notes.event(JOB, JobState.OK, text)])
    return kept


def held_rows(store: Store) -> int | None:
    """Rows of measurements that the open file holds; None where it cannot be read."""
    try:
        with store.lend() as lease, lease.busy() as connection:
            return restore.held_rows(connection)
    except StorageError as error:
        log.warning("%s", error)
        return None


def _refuse_unfit(store: Store) -> None:
    ready = restore.ready_file(store.settings)
    hint = "It is made by `perfhouse restore FILE`; nothing was changed."
    if not ready.exists():
        raise RefusedError("there is no restored file to put in place", hint, status=409)
    found = version_of_file(ready, store.settings)
    if found != store.schema_version:
        raise RefusedError(
            f"the restored file is at schema {found}, this warehouse knows {store.schema_version}",
            "Start the warehouse again, so that both are the same Perfhouse; nothing was changed.",
            status=409,
        )
