"""A running demo for the tests of its API."""

from collections.abc import Iterator

import httpx
import pytest

from tests.demo.process import DemoProcess
from tests.servers.postgres import started_postgres

__all__ = ["started_postgres"]


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DemoProcess]:
    """One demo for the whole session, on the PostgreSQL it finds by itself."""
    process = DemoProcess(tmp_path_factory.mktemp("demo"))
    try:
        process.start()
        yield process
    finally:
        process.discard()


@pytest.fixture
def api(demo: DemoProcess) -> Iterator[httpx.Client]:
    """A client of the demo; no fault is switched on before or after the test."""
    with demo.client() as client:
        client.delete("/demo/faults", headers={"Content-Type": "application/json"}).raise_for_status()
        yield client
        client.delete("/demo/faults", headers={"Content-Type": "application/json"}).raise_for_status()
