"""The collector of each kind of database server, made when its first sample is due."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from collectors.mysql.collector import MySqlCollector
from collectors.postgres.collector import PostgresCollector
from collectors.record import Row
from collectors.redis_server.collector import RedisCollector
from warehouse.settings import DatabaseSettings


class DatabaseCollector(Protocol):
    """Samples one database server. Called from one thread at a time, a new one each time.

    What the server or the network does wrong is no exception but a `DatabaseState` among the rows: a
    collector raises only for its own defects. It ends within the deadline of its settings.
    """

    def collect(self) -> Sequence[Row]:
        """What is measured at this instant."""
        ...

    def close(self) -> None:
        """Give the connections back."""
        ...


COLLECTORS: Mapping[str, Callable[[DatabaseSettings], DatabaseCollector]] = {
    "postgres": PostgresCollector,
    "mysql": MySqlCollector,
    "redis": RedisCollector,
}
"""The collector of each engine that the configuration may name."""
