"""Long actions on the warehouse: by the one that runs, else on its file, which is opened meanwhile."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from warehouse.client import Client
from warehouse.errors import StorageError
from warehouse.offline import holding
from warehouse.settings import Settings
from warehouse.store import Store

Step = dict[str, Any]


def steps(
    settings: Settings,
    command: str,
    ask: Callable[[Client], Iterator[Step]],
    do: Callable[[Store], Iterator[Step]],
) -> Iterator[Step]:
    """The steps of `command`: those `ask` gets of the warehouse that runs, else those of `do`.

    Raises StorageError, also for what a running warehouse told in a step `error`, and the client's errors.
    """
    if not settings.database_file.exists():
        raise StorageError(
            f"there is no warehouse in {settings.data_dir}",
            f"Name its configuration: perfhouse --config FILE {command}",
        )
    with holding(settings) as alone:
        pass
    if alone:
        store = Store(settings)
        try:
            yield from do(store)
        finally:
            store.close()
        return
    with Client.for_process(settings, "cli") as client:
        for step in ask(client):
            if step["part"] == "error":
                raise StorageError(step["message"], step["hint"])
            yield step
