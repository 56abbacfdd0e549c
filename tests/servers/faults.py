"""How a faulty server answers: one method a path, and what it saw of each request."""

from __future__ import annotations

import gzip
import json
import socket
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import cast
from urllib.parse import parse_qsl, urlsplit

BLOCK = 65536
TLS_HELLO = b"\x16\x03"


@dataclass
class Served:
    """One request as the server saw it."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes
    connection: int
    received_at: float
    answered_at: float | None = None
    ended_at: float | None = None
    sent_bytes: int = 0
    hung_up: bool = False

    def number(self, name: str, default: float = 0) -> float:
        """A number from the query."""
        return float(self.query.get(name, default))


class Conversation:
    """The requests of one connection, one after the other."""

    def __init__(self, served: list[Served], connection: socket.socket, number: int) -> None:
        """What comes is noted in `served`."""
        self._served = served
        self._connection = connection
        self._number = number
        self._unread = b""

    def run(self) -> None:
        while (request := self._read_request()) is not None:
            behave = cast(
                "Callable[[Served], bool | None]",
                getattr(self, f"do_{request.path.strip('/').replace('-', '_') or 'ok'}", self.do_ok),
            )
            try:
                go_on = behave(request)
            except OSError:
                request.hung_up = True
                raise
            finally:
                request.ended_at = request.ended_at or time.perf_counter()
            if not go_on:
                return

    def _read_request(self) -> Served | None:
        received_at = 0.0
        while b"\r\n\r\n" not in self._unread:
            more = self._connection.recv(BLOCK)
            received_at = received_at or time.perf_counter()
            if not more:
                return None
            self._unread += more
            if self._unread.startswith(TLS_HELLO):
                self._connection.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
                return None
        head, _, rest = self._unread.partition(b"\r\n\r\n")
        lines = head.decode("latin-1").split("\r\n")
        method, target, _ = lines[0].split(" ")
        headers = {
            name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])
        }
        length = int(headers.get("content-length", 0))
        while len(rest) < length:
            rest += self._connection.recv(BLOCK)
        self._unread = rest[length:]
        parts = urlsplit(target)
        request = Served(
            method,
            parts.path,
            dict(parse_qsl(parts.query)),
            headers,
            rest[:length],
            self._number,
            received_at,
        )
        self._served.append(request)
        return request

    def _send(self, request: Served, data: bytes) -> None:
        request.answered_at = request.answered_at or time.perf_counter()
        self._connection.sendall(data)
        request.sent_bytes += len(data)

    def _answer(
        self, request: Served, body: bytes, status: int = 200, kind: str = "application/json", extra: str = ""
    ) -> bool:
        length = f"Content-Length: {len(body)}\r\n"
        head = f"HTTP/1.1 {status} Status\r\nContent-Type: {kind}\r\n{length}{extra}\r\n"
        self._send(request, head.encode() + (b"" if request.method == "HEAD" else body))
        request.ended_at = time.perf_counter()
        return True

    def do_ok(self, request: Served) -> bool:
        """A right answer after `delay_ms`, which may tell a `version` in its head.

        `idle_close_ms` hangs up when nothing comes for so long.
        """
        time.sleep(request.number("delay_ms") / 1000)
        body = b'{"status": "ok", "items": [1, 2, true], "size": {"a": 1, "b": 2}}'
        extra = f"X-App-Version: {request.query['version']}\r\n" if "version" in request.query else ""
        self._answer(request, body, int(request.number("status", 200)), extra=extra)
        if "idle_close_ms" in request.query:
            self._connection.settimeout(request.number("idle_close_ms") / 1000)
        return True

    def do_echo(self, request: Served) -> bool:
        """Method, target, headers and body of the request."""
        told = {"method": request.method, "headers": request.headers, "body": request.body.decode("latin-1")}
        return self._answer(request, json.dumps(told).encode(), extra="Set-Cookie: seen=1\r\n")

    def do_text(self, request: Served) -> bool:
        """The text of the query in its character set."""
        charset = request.query.get("charset", "utf-8")
        return self._answer(
            request,
            request.query.get("say", "hello").encode(request.query.get("encoding", charset)),
            kind=f"text/plain; charset={charset}",
        )

    def do_download(self, request: Served) -> bool:
        """A head at once, half of the body, and after `delay_ms` the rest."""
        self._send(request, b"HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n" + b"x" * 10)
        time.sleep(request.number("delay_ms") / 1000)
        self._send(request, b"x" * 10)
        request.ended_at = time.perf_counter()
        return True

    def do_drip(self, request: Served) -> None:
        """A body of a byte every `every_ms`, without end."""
        self._send(request, b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
        while True:
            self._send(request, b"x")
            time.sleep(request.number("every_ms", 50) / 1000)

    def do_slow_headers(self, request: Served) -> None:
        """A header every `every_ms`, without end."""
        self._send(request, b"HTTP/1.1 200 OK\r\n")
        while True:
            self._send(request, b"X-Drip: x\r\n")
            time.sleep(request.number("every_ms", 50) / 1000)

    def do_huge_headers(self, request: Served) -> None:
        """A head without end, as fast as it goes."""
        self._send(request, b"HTTP/1.1 200 OK\r\n")
        while True:
            self._send(request, b"X-Huge: " + b"x" * 8000 + b"\r\n")

    def do_early_hints(self, request: Served) -> None:
        """Interim answers without end, as fast as it goes."""
        while True:
            self._send(request, b"HTTP/1.1 103 Early Hints\r\n\r\n" * 1000)

    def do_hang(self, request: Served) -> None:
        """No answer, ever."""
        self._connection.recv(1)

    def do_big(self, request: Served) -> None:
        """A body of `mb` megabytes (10^6)."""
        total = int(request.number("mb", 100) * 1_000_000)
        self._send(request, f"HTTP/1.1 200 OK\r\nContent-Length: {total}\r\n\r\n".encode())
        for _ in range(total // BLOCK):
            self._send(request, b"x" * BLOCK)
        self._send(request, b"x" * (total % BLOCK))

    def do_crumbs(self, request: Served) -> None:
        """A chunked body of one byte a chunk, without end, as fast as it goes."""
        self._send(request, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:
            self._send(request, b"1\r\nx\r\n" * 10_000)

    def do_bomb(self, request: Served) -> bool:
        """100 MB of zeros as gzip, although nobody asked for gzip."""
        return self._answer(request, _bomb(), extra="Content-Encoding: gzip\r\n")

    def do_reset(self, request: Served) -> None:
        """A reset instead of an answer."""
        abort(self._connection)

    def do_close(self, request: Served) -> None:
        """The connection closed instead of an answer."""

    def do_reset_mid_body(self, request: Served) -> None:
        """A reset after half of the body."""
        self._send(request, b"HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n" + b"x" * 10)
        time.sleep(0.05)
        abort(self._connection)

    def do_cut_mid_body(self, request: Served) -> None:
        """The connection closed after half of the body."""
        self._send(request, b"HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n" + b"x" * 10)

    def do_until_close(self, request: Served) -> None:
        """A whole body that ends with the connection."""
        self._send(request, b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 20)

    def do_redirect(self, request: Served) -> bool:
        """To itself, for ever."""
        return self._answer(request, b"", 302, extra="Location: /redirect\r\n")

    def do_malformed(self, request: Served) -> None:
        """Something that is not HTTP."""
        self._send(request, b"220 mail.example ESMTP\r\n\r\n")


def abort(connection: socket.socket) -> None:
    """Close with a reset instead of a farewell."""
    try:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.shutdown(socket.SHUT_RD)
    except OSError:
        pass  # closed already
    connection.close()


@cache
def _bomb() -> bytes:
    return gzip.compress(bytes(100_000_000), compresslevel=9)
