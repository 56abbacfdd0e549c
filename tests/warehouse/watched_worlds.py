"""Days of attempts, query statistics and samples, put straight into a warehouse: a point every 5 minutes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa

from tests.servers.warehouse import WarehouseProcess, write_config
from warehouse.keeper import Keeper
from warehouse.lookout import Lookout
from warehouse.model import now
from warehouse.store import Store
from warehouse.writer import Writer

POINT = timedelta(minutes=5)
ATTEMPTS = 24
"""Attempts of each endpoint in a point."""


def last_point() -> datetime:
    """The beginning of the point that lies around now (UTC, naive)."""
    at = now().replace(tzinfo=None, second=0, microsecond=0)
    return at - timedelta(minutes=at.minute % 5)


class World:
    """A shop with two endpoints, a query and a host; each stretch of time goes on from the last one."""

    def __init__(self, store: Store, begin: datetime, seed: int = 1) -> None:
        self._store, self.at = store, begin
        self._random = np.random.default_rng(seed)
        connection = store.cursor()
        for kind, target, name, metric, unit in (
            ("probe", "shop", "GET /", "latency", "us"),
            ("probe", "shop", "GET /cart", "latency", "us"),
            ("host", "box", "", "cpu_ratio", "ratio"),
        ):
            connection.execute(
                "INSERT INTO series (kind, target, object, metric, unit, direction, source, first_seen_at) "
                "VALUES (?, ?, ?, ?, ?, 'lower', 'local', ?)",
                [kind, target, name, metric, unit, begin],
            )
        connection.execute(
            "INSERT INTO query_shape (target, database, shape, category, query, source, first_seen_at) "
            "VALUES ('db', 'shop', 'a1', 'read', 'SELECT name FROM supplier WHERE id = ?', 'local', ?)",
            [begin],
        )

    def go_on(
        self,
        until: datetime,
        *,
        root_ms: float = 20.0,
        cart_ms: float = 40.0,
        query_ms: float = 5.0,
        cpu: float = 0.2,
        failing: float = 0.0,
    ) -> None:
        """Everything up to an instant, at these typical values; `failing` is the share of `GET /cart`."""
        points = (until - self.at) // POINT
        starts = np.datetime64(self.at, "ms") + np.arange(points) * np.timedelta64(300_000, "ms")
        for place, typical, errors in ((0, root_ms, 0.0), (1, cart_ms, failing)):
            self._attempts(place, starts, typical, errors)
        self._queries(starts, query_ms)
        self._samples(starts, cpu)
        self.at += points * POINT

    def _insert(self, sql: str, table: pa.Table) -> None:
        connection = self._store.cursor()
        connection.register("given", table)
        connection.execute(sql)
        connection.unregister("given")

    def _series(self, place: int) -> int:
        rows = self._store.cursor().execute("SELECT series_id FROM series ORDER BY series_id").fetchall()
        return int(rows[place][0])

    def _noise(self, size: int, spread: float) -> np.ndarray:
        return np.asarray(np.exp(spread * self._random.standard_normal(size)))

    def _attempts(self, place: int, starts: np.ndarray, typical: float, failing: float) -> None:
        at = np.repeat(starts, ATTEMPTS) + np.tile(np.arange(ATTEMPTS) * 12_000, len(starts)).astype("m8[ms]")
        level = np.repeat(self._noise(len(starts), 0.03), ATTEMPTS)
        us = (typical * 1000 * level * self._noise(len(at), 0.15)).astype(np.int64)
        failed = self._random.random(len(at)) < failing
        given = pa.table({"at": at, "us": us, "failed": failed})
        self._insert(
            f"""
            INSERT INTO attempt
            SELECT "at", {self._series(place)}, CASE WHEN failed THEN 'bad_status' ELSE 'ok' END, 200,
                NULL, 150, NULL, us - 250, us, 512, 20, 3000000
            FROM given
            """,
            given,
        )

    def _queries(self, starts: np.ndarray, typical: float) -> None:
        us = typical * 1000 * self._noise(len(starts), 0.04) * 50
        given = pa.table({"at": starts + np.timedelta64(290_000, "ms"), "us": us})
        self._insert(
            """
            INSERT INTO query_stat BY NAME
            SELECT "at"::TIMESTAMP_MS AS ts, ("at" - INTERVAL 10 SECOND)::TIMESTAMP_MS AS since_ts,
                (SELECT any_value(shape_id) FROM query_shape) AS shape_id, 50 AS calls, us AS total_us,
                FALSE AS is_partial
            FROM given
            """,
            given,
        )

    def _samples(self, starts: np.ndarray, typical: float) -> None:
        values = typical * self._noise(len(starts), 0.1)
        given = pa.table({"at": starts + np.timedelta64(150_000, "ms"), "value": values})
        self._insert(
            f'INSERT INTO sample BY NAME SELECT "at"::TIMESTAMP_MS AS ts, {self._series(2)} AS series_id, '
            "value, 'ok' AS outcome FROM given",
            given,
        )


@contextmanager
def served_world(folder: Path) -> Iterator[WarehouseProcess]:
    """A running warehouse whose watch told an improvement of `GET /` 16 hours ago, and three hours ago that
    `GET /cart` got slower with a query.
    """
    process = WarehouseProcess(write_config(folder))
    store = Store(process.settings)
    writer = Writer(Keeper(store))
    lookout = Lookout(store, writer, process.settings)
    end = last_point()
    world = World(store, end - timedelta(days=3))
    world.go_on(end - timedelta(hours=16))
    lookout.look()
    world.go_on(end - timedelta(hours=3), root_ms=12.0)
    lookout.look()
    world.go_on(end, root_ms=12.0, cart_ms=70.0, query_ms=35.0)
    lookout.look()
    lookout.stop()
    writer.close()
    store.close()
    process.start()
    try:
        yield process
    finally:
        process.stop()
