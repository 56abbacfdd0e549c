"""A server with one planted bottleneck: its CPU, its database sessions, or a lock of its own making.

`GET /burn/MS` takes a single core's time, `GET /pooled/MS` one of eight database sessions, `GET /limited/MS`
one of eight permits that nothing outside can see. Its process is called `planted`.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.servers.counting import ROOT, Connection, CountingServer, Seen
from tests.servers.ports import free_port

SESSIONS = 8
NAME = "planted"


class Planted(Connection):
    """One client of it."""

    def __init__(self, seen: Seen, sessions: asyncio.Queue[object]) -> None:
        super().__init__(seen)
        self._sessions = sessions

    async def _slow_pooled(self, argument: str, _: bytes) -> None:
        session = await self._sessions.get()
        try:
            await session.execute("SELECT pg_sleep(%s)", [int(argument) / 1000])  # type: ignore[attr-defined]
        finally:
            self._sessions.put_nowait(session)
        self._answer(200)

    async def _slow_limited(self, argument: str, _: bytes) -> None:
        permit = await self._sessions.get()
        try:
            await asyncio.sleep(int(argument) / 1000)
        finally:
            self._sessions.put_nowait(permit)
        self._answer(200)


@contextmanager
def planted_server(dsn: str = "") -> Iterator[CountingServer]:
    """A server on a free port of the loopback interface, ended at the end."""
    port = free_port()
    command = [sys.executable, "-m", "tests.servers.planted", str(port), dsn]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        try:
            assert process.stdout.readline() == b"ready\n"
            yield CountingServer(port, process)
        finally:
            process.kill()


async def _serve(port: int, dsn: str) -> None:
    from psycopg import AsyncConnection  # noqa: PLC0415 - only where there is a PostgreSQL

    sessions: asyncio.Queue[object] = asyncio.Queue()
    for number in range(SESSIONS):
        sessions.put_nowait(await AsyncConnection.connect(dsn, autocommit=True) if dsn else number)
    seen = Seen()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Planted(seen, sessions), "127.0.0.1", port, backlog=1024)
    print("ready", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    Path("/proc/self/comm").write_text(NAME, encoding="ascii")
    asyncio.run(_serve(int(sys.argv[1]), sys.argv[2]))
