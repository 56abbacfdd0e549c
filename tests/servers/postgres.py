"""A real PostgreSQL with pg_stat_statements, on a free port and a directory of its own."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from demo.postgres import Cluster, open_cluster
from demo.schema import Access, prepare


class RunningPostgres:
    """A started server. Stop, kill and start it as a test needs."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self._access: Access | None = None

    @property
    def admin_url(self) -> str:
        """Its superuser's connection to the database `postgres`."""
        return self.cluster.admin_url

    @property
    def pid(self) -> int:
        """The postmaster."""
        pid = self.cluster.pid
        assert pid is not None, "PostgreSQL does not run"
        return pid

    @property
    def invoices(self) -> Access:
        """Connections to the demo's database, made and seeded at the first call (about two seconds)."""
        if self._access is None:
            self._access = prepare(self.cluster)
        return self._access

    def start(self) -> None:
        """Start it (again), and wait until it answers."""
        self.cluster.start()

    def stop(self) -> None:
        """Stop it; its data stay."""
        self.cluster.stop()


@contextmanager
def started_postgres(folder: Path, *, choice: str = "auto") -> Iterator[RunningPostgres]:
    """A started server that is stopped and deleted at the end. `choice` is auto, debian or wheel."""
    cluster = open_cluster(folder / "postgres", choice)
    running = RunningPostgres(cluster)
    try:
        running.start()
        yield running
    finally:
        running.stop()
        cluster.discard()
