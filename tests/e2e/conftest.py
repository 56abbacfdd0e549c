"""A warehouse with an hour of measurements, a dashboard, and a browser."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.dashboard import recordings
from tests.e2e.browsing import Visit, browsing
from tests.servers.dashboard import running_dashboard
from tests.servers.warehouse import WarehouseProcess, running_warehouse


@pytest.fixture(scope="session")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WarehouseProcess]:
    """A warehouse with everything a healthy installation sends."""
    with running_warehouse(tmp_path_factory.mktemp("measured")) as warehouse:
        recordings.full(warehouse)
        yield warehouse


@pytest.fixture(scope="session")
def dashboard(measured: WarehouseProcess, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a dashboard of that warehouse."""
    folder: Path = tmp_path_factory.mktemp("dashboard")
    with running_dashboard(measured.settings, folder) as url:
        yield url


@pytest.fixture
def visit(dashboard: str) -> Iterator[Visit]:
    """A fresh tab, wide and light."""
    with browsing(dashboard) as visit:
        yield visit
