"""A misbehaving server for each test, certificates that are never kept, and databases that are watched."""

import ssl
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
import trustme

from tests.collectors.watching import Watched, watched
from tests.servers import faulty
from tests.servers.faulty import FaultyServer
from tests.servers.mariadb import mariadb
from tests.servers.postgres import StartedPostgres, running_postgres

__all__ = ["mariadb"]


@pytest.fixture
def server() -> Iterator[FaultyServer]:
    """Plain HTTP."""
    server = faulty.start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    """Whom a probe may be told to trust."""
    return trustme.CA()


@pytest.fixture(scope="session")
def authority_file(authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its certificate, as a `ca_file`."""
    file = tmp_path_factory.mktemp("authority") / "ca.pem"
    authority.cert_pem.write_to_path(file)
    return file


@pytest.fixture
def https_server(authority: trustme.CA) -> Iterator[FaultyServer]:
    """HTTPS with a certificate for localhost and 127.0.0.1."""
    server = faulty.start(tls=server_context(authority.issue_cert("localhost", "127.0.0.1")))
    yield server
    server.stop()


@pytest.fixture
def expired_server(authority: trustme.CA) -> Iterator[FaultyServer]:
    """HTTPS with a certificate that is no longer valid."""
    certificate = authority.issue_cert(
        "localhost",
        "127.0.0.1",
        not_before=datetime(2020, 1, 1, tzinfo=UTC),
        not_after=datetime(2021, 1, 1, tzinfo=UTC),
    )
    server = faulty.start(tls=server_context(certificate))
    yield server
    server.stop()


def server_context(certificate: trustme.LeafCert) -> ssl.SSLContext:
    """A server's side of TLS."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    return context


CHOICES = ("debian", "wheel")


@pytest.fixture(scope="session", params=CHOICES)
def database_server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[StartedPostgres]:
    """One PostgreSQL of each version for all tests: make a database of your own in it."""
    with running_postgres(
        tmp_path_factory.mktemp("postgres"), request.param, max_connections="60"
    ) as started:
        yield started


@pytest.fixture
def database(database_server: StartedPostgres, tmp_path: Path) -> Iterator[Watched]:
    """A database of this test's own, watched."""
    with watched(database_server, tmp_path) as found:
        yield found
