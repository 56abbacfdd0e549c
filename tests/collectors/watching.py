"""A PostgreSQL that is watched by a role with pg_monitor and nothing else."""

from __future__ import annotations

import re
import secrets
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import psycopg
import pytest
from psycopg import sql

from collectors.postgres import shapes
from collectors.postgres.collector import PostgresCollector
from collectors.record import Row
from demo.schema import url_of
from tests.servers.postgres import StartedPostgres
from warehouse.model import DatabaseState, QueryLatency, QueryShape, QueryStat, Sample
from warehouse.settings import DatabaseSettings, Secret

R = TypeVar("R", bound=Row)
WATCHER = "watcher"


class Watched:
    """One database of a server, the collector that watches it, and all that it has told."""

    def __init__(self, server: StartedPostgres, url: str, address: Path) -> None:
        self.server = server
        self.database = urlsplit(url).path[1:]
        self._address = address
        self.rows: list[Row] = []
        self.newest: list[Row] = []
        self.collector: PostgresCollector | None = None
        with self.connect() as admin:
            password = secrets.token_urlsafe(12)
            if admin.execute("SELECT FROM pg_roles WHERE rolname = %s", [WATCHER]).fetchone() is None:
                admin.execute("SET pg_stat_statements.track = 'none'")
                admin.execute(f"CREATE ROLE {WATCHER} LOGIN")
            # The text of this statement is in pg_stat_statements, as anyone's would be.
            admin.execute(sql.SQL("ALTER ROLE watcher PASSWORD {}").format(sql.Literal(password)))
            admin.execute(f"GRANT pg_monitor TO {WATCHER}")
        self.password = password
        self.point_at(self.watcher_url)

    @property
    def watcher_url(self) -> str:
        """How the watching role connects."""
        parts = urlsplit(self.server.admin_url)
        return f"postgresql://{WATCHER}:{self.password}@{parts.hostname}:{parts.port}/{self.database}"

    def point_at(self, url: str) -> None:
        """What the collector's settings refer to."""
        self._address.write_text(url, encoding="utf-8")

    def watch(self, **settings: Any) -> None:
        """Begin anew with a collector of these settings."""
        given = {"name": "main", "deadline_s": 5.0, "tables": 0, **settings}
        self.close()
        self.collector = PostgresCollector(
            DatabaseSettings(engine="postgres", url=Secret(file=self._address), **given)
        )
        self.rows = []

    def close(self) -> None:
        """End the collector."""
        if self.collector is not None:
            self.collector.close()

    def connect(self, database: str | None = None, **options: Any) -> psycopg.Connection[tuple[Any, ...]]:
        """As the superuser."""
        url = url_of(self.server.admin_url, database=database or self.database)
        return psycopg.connect(url, autocommit=True, **options)

    def pids_of(self, role: str) -> list[int]:
        """The server's processes that serve a role."""
        with self.connect() as admin:
            rows = admin.execute("SELECT pid FROM pg_stat_activity WHERE usename = %s", [role]).fetchall()
        return [pid for (pid,) in rows]

    def collect(self) -> list[Row]:
        """One sample."""
        assert self.collector is not None
        self.newest = self.collector.collect()
        self.rows += self.newest
        return self.newest

    def collect_until(self, found: Callable[[], object], within_s: float = 20.0) -> None:
        """Samples until something is found among all rows."""
        until = time.monotonic() + within_s
        while not found():
            assert time.monotonic() < until, self.states()
            self.collect()
            time.sleep(0.1)

    def told(self, kind: type[R]) -> list[R]:
        """All rows of a kind."""
        return [row for row in self.rows if isinstance(row, kind)]

    def states(self) -> dict[str, DatabaseState]:
        """The newest state of each part."""
        return {row.part: row for row in self.told(DatabaseState)}

    def state(self, part: str) -> str:
        """The newest state of a part, empty where there is none."""
        found = self.states().get(part)
        return found.state.value if found else ""

    def value(self, metric: str, thing: str = "") -> float | None:
        """The newest number of a metric."""
        found = self.samples(metric, thing)
        return found[-1].value if found else None

    def samples(self, metric: str, thing: str = "") -> list[Sample]:
        """All numbers of a metric."""
        return [row for row in self.told(Sample) if (row.metric, row.object) == (metric, thing)]

    def sum(self, metric: str, thing: str = "") -> float:
        """All numbers of a metric together."""
        return sum(row.value or 0.0 for row in self.samples(metric, thing))

    def queries(self) -> dict[str, str]:
        """The text of every shape."""
        return {row.shape: row.query for row in self.told(QueryShape)}

    def stats(self, text: str) -> list[QueryStat]:
        """The statistics of the shape with a text like this, of this database."""
        queries = self.queries()
        return [
            row
            for row in self.told(QueryStat)
            if row.database == self.database and re.search(text, queries.get(row.shape, ""))
        ]

    def calls(self, text: str) -> int:
        """How many calls of the shape were told."""
        return sum(row.calls for row in self.stats(text))

    def latencies(self) -> list[QueryLatency]:
        """Durations told of this database."""
        return [row for row in self.told(QueryLatency) if row.database == self.database]


def logged_ms(server: StartedPostgres, like: str, since: int = 0) -> list[float]:
    """Durations of statements with a text like this that the server's own log tells from an offset on."""
    with server.cluster.log_file.open("rb") as log:
        log.seek(since)
        lines = log.read().decode(errors="replace").splitlines()
    found = [
        re.search(rf"duration: ([0-9.]+) ms +(?:statement|execute [^:]*): .*{like}", line) for line in lines
    ]
    return [float(match[1]) for match in found if match]


@contextmanager
def watched(server: StartedPostgres, folder: Path, **settings: Any) -> Iterator[Watched]:
    """A database of its own on the server, with a collector."""
    found = Watched(server, server.make_database(f"shop{secrets.token_hex(4)}"), folder / "observer.url")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shapes, "MOST_PAUSE_S", 0.0)  # texts are read with every sample
        found.watch(**settings)
        try:
            yield found
        finally:
            found.close()


def sums(rows: Iterable[QueryStat]) -> dict[str, int]:
    """Calls by shape."""
    calls: dict[str, int] = defaultdict(int)
    for row in rows:
        calls[row.shape] += row.calls
    return dict(calls)


def run(connection: psycopg.Connection[Any], statement: str, times: int, values: Sequence[Any] = ()) -> None:
    """Execute a statement so many times."""
    for _ in range(times):
        connection.execute(statement, values or None)
