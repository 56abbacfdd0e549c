"""One warehouse with data in it for the tests of a module, and how hard to try."""

import json
import os
from collections.abc import Iterator

import pytest

from tests.dashboard import worlds
from tests.servers.warehouse import WarehouseProcess, running_warehouse

SOAK = os.environ.get("PERFHOUSE_SOAK") == "1"
"""Whether to take the long form of each test."""


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WarehouseProcess]:
    """A warehouse behind HTTP that holds something of each kind."""
    folder = tmp_path_factory.mktemp("hostile")
    with running_warehouse(folder, log=folder / "warehouse.log") as process:
        with process.client("collect") as client:
            worlds.plenty(client, minutes=10)
            worlds.hostile(client)
        yield process


def token_of(served: WarehouseProcess, process: str) -> str:
    """The token of one of the warehouse's own processes."""
    return str(json.loads((served.settings.token_dir / f"{process}.json").read_text())["token"])
