"""A MariaDB that is watched by a user with the least privileges, and a small shop in it."""

from collections.abc import Sequence
from pathlib import Path

from collectors.mysql.collector import MySqlCollector
from collectors.record import Row
from tests.collectors.databases import settings_of
from tests.servers.mariadb import StartedMariaDb
from warehouse.model import QueryShape, QueryStat

CANARY = "canary-51ab"
"""The watching user's password, and what is planted in queries: to be found nowhere."""

GRANTS = (
    f"CREATE OR REPLACE USER watch IDENTIFIED BY '{CANARY}'",
    "GRANT PROCESS, REPLICA MONITOR ON *.* TO watch",
    "GRANT SELECT ON performance_schema.* TO watch",
    "GRANT SELECT, EXECUTE ON sys.* TO watch",
)
SHOP = (
    "CREATE OR REPLACE DATABASE shop",
    "CREATE TABLE shop.item (id INT PRIMARY KEY, name VARCHAR(40)) ENGINE=InnoDB",
    "INSERT INTO shop.item VALUES (1, 'a'), (2, 'b'), (3, 'c')",
)


def watch(server: StartedMariaDb, folder: Path, deadline_s: float = 60.0) -> MySqlCollector:
    """The shop made anew and looked at once: what comes is the growth since then."""
    server.run(*GRANTS, *SHOP)
    url = server.url("watch", CANARY)
    collector = MySqlCollector(settings_of("mysql", url, folder, deadline_s=deadline_s))
    collector.collect()
    return collector


class Told:
    """What a collector told of the statements in one database, by the texts of their shapes."""

    def __init__(self, collector: MySqlCollector) -> None:
        self._collector = collector
        self._texts: dict[str, str] = {}

    def collect(self) -> Sequence[Row]:
        """One look; shapes are told once, so they are remembered."""
        rows = self._collector.collect()
        self._texts.update({row.shape: row.query for row in rows if isinstance(row, QueryShape)})
        return rows

    def close(self) -> None:
        """Give the connection back."""
        self._collector.close()

    def stats(self, rows: Sequence[Row], database: str = "shop") -> dict[str, QueryStat]:
        """The statistics by text; `other` has none."""
        return {
            self._texts.get(row.shape, row.shape): row
            for row in rows
            if isinstance(row, QueryStat) and row.database == database
        }
