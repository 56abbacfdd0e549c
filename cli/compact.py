"""Gives freed room back to the disk: through the warehouse where one runs, else by opening the file."""

from __future__ import annotations

import sys
from collections.abc import Iterator

from cli.opened import Step, steps
from cli.progress import Progress
from warehouse.client import Client
from warehouse.compact import Compaction
from warehouse.errors import StorageError
from warehouse.keeper import Keeper
from warehouse.settings import Settings
from warehouse.store import Store


def compact(settings: Settings) -> str:
    """Do it; returns what it gave, in words. Raises StorageError, RefusedError and the client's errors."""
    end = None
    with Progress(sys.stderr, None) as progress:
        for step in steps(settings, "compact", Client.compact, _give_back):
            if step["part"] == "copy":
                progress.tell_share("rows", step["rows"], step["of"])
            elif step["part"] == "end":
                end = step
    if end is None:
        raise StorageError("it ended before all was copied", "Nothing was changed; try again.")
    before, after = end["before_bytes"] / 1e6, end["after_bytes"] / 1e6
    return (
        f"{before:,.1f} MB before, {after:,.1f} MB now; {end['rows']:,} rows, each proved; "
        f"storing waited {end['waited_s']:.1f} s"
    )


def _give_back(store: Store) -> Iterator[Step]:
    keeper = Keeper(store)
    yield from Compaction(store, keeper, lambda work: work()).steps()
    keeper.close()
