"""Proves the warehouse's file sound: through the warehouse where one runs, else by opening the file."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

from cli.progress import Progress
from warehouse import salvage, store
from warehouse.client import Client
from warehouse.errors import StorageError
from warehouse.leases import Lease
from warehouse.offline import holding
from warehouse.settings import Settings
from warehouse.verify import Step, check_file, ending, verify


def look(settings: Settings) -> dict[str, Any]:
    """What was found: `sound`, `tables` with rows and hashes or errors, `cold` days, what else is damaged.

    Raises StorageError where there is no file or it cannot be read, WarehouseAwayError, NotAllowedError.
    """
    tables, days, end = [], [], None
    with Progress(sys.stderr, None) as progress:
        for step in _steps(settings):
            part = step.pop("part")
            if part == "file":
                progress.tell_share("blocks", step["blocks_done"], step["blocks"])
            elif part == "table":
                tables.append(step)
            elif part == "cold":
                days.append(step)
            elif part == "error":
                raise StorageError(step["message"], step["hint"])
            else:
                end = step
    if end is None:
        raise StorageError("it ended before all was read", "Try again; the warehouse's log says why.")
    return {"file": str(settings.database_file), **end, "tables": tables, "cold": days}


def lines(found: dict[str, Any]) -> list[str]:
    """The findings for people."""
    width = max((len(each["table"]) for each in found["tables"]), default=0)
    text = []
    for each in found["tables"]:
        count = "" if each["rows"] is None else f"{each['rows']:>14,} rows  {each['hash']}"
        damage = f"  DAMAGED: {each['error']}" if each["error"] else ""
        text.append(f"{each['table']:<{width}}{count}{damage}")
    for day in found["cold"]:
        damage = f"  DAMAGED: {day['error']}" if day["error"] else ""
        text.append(f"{day['file']}  {day['rows']:,} rows{damage}")
    if found["sound"]:
        return [*text, f"{found['file']}: sound, {found['blocks']:,} blocks"]
    if not found["headers_sound"]:
        text.append("DAMAGED: a header of the file")
    if found["other_blocks"]:
        blocks = ", ".join(map(str, found["other_blocks"]))
        text.append(f"DAMAGED: blocks {blocks}, of an index or the file's own lists")
    if found["error"]:
        text.append(f"DAMAGED: {found['error']}")
    return [*text, f"{found['file']}: DAMAGED"]


def _steps(settings: Settings) -> Iterator[Step]:
    if not settings.database_file.exists():
        raise StorageError(
            f"there is no warehouse in {settings.data_dir}",
            "Name its configuration: perfhouse --config FILE verify",
        )
    with holding(settings) as alone:
        if alone:
            yield from _of_closed(settings)
            return
    with Client.for_process(settings, "cli") as client:
        yield from client.verify()


def _of_closed(settings: Settings) -> Iterator[Step]:
    """The steps for a file that no warehouse has open: nothing of it is changed."""
    file = settings.database_file
    try:
        lease = Lease(store.read_only(file, settings))
    except StorageError as error:
        found = yield from check_file(file, alone=True)
        sound = salvage.sound_bytes(error)
        if found.sound and sound is None:
            raise
        words = error.message
        if sound is not None:
            words = (
                f"the write-ahead log from byte {sound}; the next start sets it aside and tells what is lost"
            )
        yield ending(found, [], list(found.damaged), words)
        return
    try:
        yield from verify(lease, file, alone=True)
    finally:
        lease.end()
