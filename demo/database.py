"""The application's connections to PostgreSQL; every statement is timed."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from contextvars import ContextVar
from typing import Any, LiteralString

from psycopg import AsyncConnection
from psycopg.rows import DictRow, dict_row
from psycopg_pool import AsyncConnectionPool

from demo.metrics import Metrics

POOL_SIZE = 10
WAIT_S = 2.0
GIVE_UP_CONNECTING_S = 1.0
CLOSE_S = 1.0
STATEMENT_TIMEOUT_MS = 60_000

slow_query_s: ContextVar[float] = ContextVar("slow_query_s", default=0.0)
"""Seconds that each statement of the present request sleeps inside PostgreSQL; set by the switch."""

# The pool's own log repeats every failed attempt; /health and the log of the server say it once.
logging.getLogger("psycopg.pool").setLevel(logging.ERROR)


class Session:
    """One connection, borrowed from the pool; statements outside `transaction` commit at once."""

    def __init__(self, connection: AsyncConnection[DictRow], metrics: Metrics) -> None:
        self._connection = connection
        self._metrics = metrics

    async def run(self, query: str, statement: LiteralString, **parameters: Any) -> list[dict[str, Any]]:
        """Run one statement; `query` is its name in the metrics.

        A statement may hold the parameter slow_s, the seconds it is to sleep.
        """
        with self._metrics.time_query(query):
            cursor = await self._connection.execute(
                statement, {**parameters, "slow_s": slow_query_s.get()}, prepare=False
            )
            return await cursor.fetchall() if cursor.description else []

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[None]:
        """All statements within, or none."""
        async with self._connection.transaction():
            yield


class Database:
    """The pool. It opens without a server, and connects again by itself when the server is back."""

    def __init__(self, url: str, metrics: Metrics) -> None:
        self._metrics = metrics
        self._pool: AsyncConnectionPool[AsyncConnection[DictRow]] = AsyncConnectionPool(
            url,
            connection_class=AsyncConnection[DictRow],
            kwargs={
                "autocommit": True,
                "row_factory": dict_row,
                "connect_timeout": 2,
                "sslmode": "disable",
                "application_name": "invoice-api",
                "options": f"-c statement_timeout={STATEMENT_TIMEOUT_MS}",
            },
            min_size=2,
            max_size=POOL_SIZE,
            timeout=WAIT_S,
            reconnect_timeout=GIVE_UP_CONNECTING_S,
            check=AsyncConnectionPool.check_connection,
            open=False,
        )

    async def open(self) -> None:
        """Begin to connect, without waiting for it."""
        await self._pool.open(wait=False)

    async def close(self) -> None:
        """Close every connection."""
        await self._pool.close(timeout=CLOSE_S)

    @asynccontextmanager
    async def session(self) -> AsyncIterator[Session]:
        """Borrow a connection. Raises psycopg.OperationalError when there is none within 2 s."""
        async with self._pool.connection() as connection:
            yield Session(connection, self._metrics)

    def count_connections(self) -> None:
        """Bring the gauges of the pool up to date."""
        stats = self._pool.get_stats()
        size, idle = stats.get("pool_size", 0), stats.get("pool_available", 0)
        self._metrics.connections.labels("idle").set(idle)
        self._metrics.connections.labels("in_use").set(size - idle)
