"""An HTTP server in a process of its own that counts what it is asked, and misbehaves as its paths say.

Requests are counted when they are whole. `GET /_counts` tells the counts and is not counted itself.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from tests.servers.ports import free_port

ROOT = Path(__file__).parents[2]
BUSY_S = 0.3
"""How long an upload takes."""


@dataclass
class Seen:
    """What was seen so far."""

    counts: Counter[str] = field(default_factory=Counter)
    in_flight: Counter[str] = field(default_factory=Counter)
    peaks: Counter[str] = field(default_factory=Counter)
    tokens: Counter[str] = field(default_factory=Counter)
    times: list[float] = field(default_factory=list)
    answered: list[float] = field(default_factory=list)
    last: dict[str, Any] = field(default_factory=dict)


class Connection(asyncio.Protocol):
    """One client: a request after the other, each answered before the next is read."""

    def __init__(self, seen: Seen) -> None:
        self._seen = seen
        self._buffer = b""
        self._job: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if self._job is None:
            self._next()

    def _next(self) -> None:
        """Answer the next whole request, if there is one."""
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            return
        first, *lines = self._buffer[:end].decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        length = int(headers.get("content-length", 0))
        if len(self._buffer) < end + 4 + length:
            return
        body, self._buffer = self._buffer[end + 4 : end + 4 + length], self._buffer[end + 4 + length :]
        method, target, _ = first.split(" ")
        url = urlsplit(target)
        if url.path == "/_counts":
            self._answer(200, json.dumps(self._told()).encode())
            return
        name = f"{method} {url.path}"
        self._seen.counts[name] += 1
        self._seen.times.append(time.time())
        self._seen.tokens[headers.get("authorization", "")] += 1
        kind, _, argument = url.path.lstrip("/").partition("/")
        slow = getattr(self, f"_slow_{kind}", None)
        if slow is not None:
            self._seen.in_flight[kind] += 1
            self._seen.peaks[kind] = max(self._seen.peaks[kind], self._seen.in_flight[kind])
            self._job = asyncio.create_task(self._later(kind, slow(argument, body)))
            return
        fast = getattr(self, f"_fast_{kind}", self._fast_health)
        self._seen.last = {
            "name": name,
            "headers": headers,
            "body": body.decode("latin-1"),
            "query": url.query,
        }
        fast(unquote(argument), parse_qs(url.query))

    async def _later(self, kind: str, answering: Any) -> None:
        try:
            await answering
        finally:
            self._seen.in_flight[kind] -= 1
        self._job = None
        self._next()

    def _told(self) -> dict[str, Any]:
        seen = self._seen
        fields = ("counts", "peaks", "tokens", "times", "answered", "last")
        return {name: getattr(seen, name) for name in fields}

    def _answer(self, status: int, body: bytes = b'{"status":"ok"}', head: str = "") -> None:
        self._seen.answered.append(time.time())
        lines = (
            f"HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n{head}"
        )
        self._transport.write(f"{lines}\r\n".encode() + body)
        if self._buffer:
            self._next()

    def _fast_health(self, *_: object) -> None:
        self._answer(200)

    def _fast_status(self, argument: str, _: object) -> None:
        self._answer(int(argument))

    def _fast_token(self, *_: object) -> None:
        number = sum(count for name, count in self._seen.counts.items() if name.endswith(" /token"))
        self._answer(200, json.dumps({"access_token": f"t{number}"}).encode())

    def _fast_items(self, argument: str, _: object) -> None:
        number = self._seen.counts["POST /items"]
        self._answer(200, json.dumps({"data": [{"id": number, "name": f"item {argument}"}]}).encode())

    def _fast_redirect(self, _: str, query: dict[str, list[str]]) -> None:
        self._answer(302, b"", f"location: {query['to'][0]}\r\n")

    def _fast_drop(self, *_: object) -> None:
        self._transport.close()

    def _fast_garbage(self, *_: object) -> None:
        self._transport.write(b"garbage\r\n\r\n")

    def _fast_burn(self, argument: str, _: object) -> None:
        until = time.process_time() + int(argument) / 1000
        while time.process_time() < until:
            pass
        self._answer(200)

    async def _slow_delay(self, argument: str, _: bytes) -> None:
        await asyncio.sleep(int(argument) / 1000)
        self._answer(200)

    async def _slow_upload(self, _: str, body: bytes) -> None:
        await asyncio.sleep(BUSY_S)
        self._answer(200, json.dumps({"bytes": len(body)}).encode())


@dataclass(frozen=True)
class CountingServer:
    """A running server."""

    port: int
    process: subprocess.Popen[bytes]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def told(self) -> dict[str, Any]:
        """Everything it has seen."""
        with urllib.request.urlopen(f"{self.url}/_counts", timeout=10) as answer:
            return dict(json.load(answer))

    def counts(self) -> dict[str, int]:
        """How often each method and path was asked."""
        return dict(self.told()["counts"])

    @property
    def total(self) -> int:
        return sum(self.counts().values())

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """The whole process stands still."""
        os.kill(self.process.pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(self.process.pid, signal.SIGCONT)


@contextmanager
def counting_server() -> Iterator[CountingServer]:
    """A server on a free port of the loopback interface, ended at the end."""
    port = free_port()
    command = [sys.executable, "-m", "tests.servers.counting", str(port)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        try:
            assert process.stdout.readline() == b"ready\n"
            yield CountingServer(port, process)
        finally:
            process.send_signal(signal.SIGCONT)
            process.kill()


async def _serve(port: int) -> None:
    seen = Seen()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Connection(seen), "127.0.0.1", port, backlog=1024)
    print("ready", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_serve(int(sys.argv[1])))
