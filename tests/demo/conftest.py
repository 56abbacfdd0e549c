"""A running demo for the tests of its API."""

from collections.abc import Iterator

import httpx
import pytest

from tests.demo.running import DemoProcess, running_demo
from tests.servers.postgres import started_postgres

__all__ = ["started_postgres"]


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DemoProcess]:
    """One demo for the whole session, on the PostgreSQL it finds by itself."""
    with running_demo(tmp_path_factory.mktemp("demo")) as running:
        yield running


@pytest.fixture
def api(demo: DemoProcess) -> httpx.Client:
    """A client of the demo."""
    return demo.client
