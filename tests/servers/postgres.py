"""A real PostgreSQL on a free port, for tests that need one."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from demo.postgres import Cluster, open_cluster
from demo.schema import url_of


class StartedPostgres:
    """A running server with pg_stat_statements preloaded. The admin is a superuser."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster

    @property
    def admin_url(self) -> str:
        """The superuser's connection to the database postgres."""
        return self.cluster.admin_url

    def make_database(self, name: str) -> str:
        """A new, empty database with pg_stat_statements; the superuser's connection to it."""
        with psycopg.connect(self.admin_url, autocommit=True) as admin:
            admin.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        url = url_of(self.admin_url, database=name)
        with psycopg.connect(url, autocommit=True) as admin:
            admin.execute("CREATE EXTENSION pg_stat_statements")
        return url


@contextmanager
def running_postgres(folder: Path, choice: str = "auto", **settings: str) -> Iterator[StartedPostgres]:
    """A server with its data kept for `folder`, gone without a trace at the end.

    `choice` is auto, debian or wheel; `settings` are the server's own.
    """
    cluster = open_cluster(folder, choice)
    cluster.settings = {**cluster.settings, **settings}
    try:
        cluster.start()
        yield StartedPostgres(cluster)
    finally:
        cluster.stop()
        cluster.discard()


@pytest.fixture(scope="session")
def started_postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StartedPostgres]:
    """One server for the whole session: make a database of your own in it.

    A conftest.py imports this by name to offer it to its tests.
    """
    with running_postgres(tmp_path_factory.mktemp("postgres")) as server:
        yield server
