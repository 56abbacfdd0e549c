"""Has the cells of all tiers computed anew: by the warehouse where one runs, else by opening the file."""

from __future__ import annotations

import sys
from collections.abc import Iterator

from cli.opened import Step, steps
from cli.progress import Progress
from warehouse.client import Client
from warehouse.errors import StorageError
from warehouse.model import now
from warehouse.rebuild import rebuild as compute
from warehouse.rollups import Alone
from warehouse.settings import Settings
from warehouse.store import Store


def rebuild(settings: Settings) -> tuple[str, int]:
    """Do it; what was found in words, and how many cells differed. Raises StorageError and the client's."""
    end, cells = None, 0
    first: list[str] = []
    with Progress(sys.stderr, None) as progress:
        for step in steps(settings, "rebuild", Client.rebuild, _compute):
            if step["part"] != "end":
                cells += step["cells"]
                progress.tell(cells, None)
                first += step["first"]
            else:
                end = step
    if end is None:
        raise StorageError("it ended before all was compared", "Try again; the warehouse's log says why.")
    if not end["differences"]:
        return f"{end['cells']:,} cells, all as the single rows say", 0
    named = "\n".join(f"  {each}" for each in first[:10])
    return f"{end['differences']:,} of {end['cells']:,} cells differed and were replaced:\n{named}", end[
        "differences"
    ]


def _compute(store: Store) -> Iterator[Step]:
    connection = store.cursor()
    yield from compute(Alone(connection), now().replace(tzinfo=None))
    connection.close()
