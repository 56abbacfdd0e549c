"""The network under httpcore: looks up, connects, encrypts, and notes when each of it happened."""

from __future__ import annotations

import asyncio
import select
import socket
import ssl
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import httpcore
from anyio import EndOfStream
from anyio.abc import ByteStream
from anyio.streams.tls import TLSStream

from collectors.resolve import Address, Resolver, literal

READ_BYTES = 16_384
"""Most bytes taken at once: what is parsed in one go, and so how long one answer can hold the loop."""

BREATH_S = 0.002


@dataclass
class Marks:
    """When the steps of one attempt happened, in nanoseconds of the monotonic clock; None: not reached."""

    lookup_began: int | None = None
    lookup_ended: int | None = None
    connect_began: int | None = None
    connected: int | None = None
    tls_began: int | None = None
    tls_ended: int | None = None
    sent: int | None = None
    first_byte: int | None = None
    last_byte: int | None = None

    @property
    def encrypting(self) -> bool:
        """Whether the handshake began and did not end."""
        return self.tls_began is not None and self.tls_ended is None

    @property
    def reused(self) -> bool:
        """Whether the request went out on a connection kept from an earlier attempt."""
        return self.sent is not None and self.connect_began is None


class Dialer(httpcore.AsyncNetworkBackend):
    """Makes the connections of one probe; `marks` belongs to the attempt that runs now.

    It stands in for httpcore's own network because that costs 1.4 ms between connect and last byte
    where this costs 0.7 (against a raw socket, 2 shared cores), and because it sees the first byte of
    an answer where httpcore's trace events see the end of its head.
    """

    def __init__(self, resolver: Resolver, deadline_s: float) -> None:
        self.marks = Marks()
        self._resolver = resolver
        self._deadline_s = deadline_s
        self._family: socket.AddressFamily | None = None
        self._breathed = 0.0

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ARG002, ASYNC109 - httpcore's signature, here and below
        local_address: str | None = None,  # noqa: ARG002
        socket_options: Iterable[Any] | None = None,  # noqa: ARG002
    ) -> httpcore.AsyncNetworkStream:
        """Connect to the first address that takes the connection. Raises OSError."""
        marks = self.marks
        addresses = await self._find(host, port)
        marks.connect_began = time.perf_counter_ns()
        until = asyncio.get_running_loop().time() + self._deadline_s
        refusal: OSError | None = None
        for rest in range(len(addresses), 0, -1):
            family, address = addresses[-rest]
            try:
                connected = await self._connect(family, address, until, rest)
            except OSError as error:
                # Of several refusals the first active one tells the most.
                if refusal is None or not isinstance(refusal, ConnectionRefusedError):
                    refusal = error
                continue
            marks.connected = time.perf_counter_ns()
            self._family = family
            return _Wire(self, _Socket(connected), connected)
        raise refusal or OSError("the name has no address")

    async def _find(self, host: str, port: int) -> list[Address]:
        known = literal(host, port)
        if known is not None:
            return [known]
        self.marks.lookup_began = time.perf_counter_ns()
        addresses = await self._resolver.resolve(host, port)
        self.marks.lookup_ended = time.perf_counter_ns()
        return sorted(addresses, key=lambda found: found[0] != self._family) if self._family else addresses

    async def _connect(
        self, family: socket.AddressFamily, address: Any, until: float, rest: int
    ) -> socket.socket:
        """Connect within a fair share of the time left, so that one silent address leaves time for others."""
        loop = asyncio.get_running_loop()
        connecting = socket.socket(family, socket.SOCK_STREAM)
        try:
            connecting.setblocking(False)
            connecting.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            share = None if rest == 1 else max(0.0, until - loop.time()) / rest
            async with asyncio.timeout(share):
                await loop.sock_connect(connecting, address)
        except BaseException:
            connecting.close()
            raise
        return connecting

    async def breathe(self) -> None:
        """Let others run now and then: a flood must not hold the loop, nor outrun its own deadline."""
        if time.perf_counter() - self._breathed > BREATH_S:
            await asyncio.sleep(0)
            self._breathed = time.perf_counter()

    async def sleep(self, seconds: float) -> None:
        """Part of httpcore's network; asked only for its own retries, which are off."""
        await asyncio.sleep(seconds)


class _Socket(ByteStream):
    """A connected socket on the running loop."""

    def __init__(self, connected: socket.socket) -> None:
        self._socket = connected
        self._loop = asyncio.get_running_loop()

    async def receive(self, max_bytes: int = 65536) -> bytes:
        received = await self._loop.sock_recv(self._socket, max_bytes)
        if not received:
            raise EndOfStream
        return received

    async def send(self, item: bytes) -> None:
        await self._loop.sock_sendall(self._socket, item)

    async def send_eof(self) -> None:
        self._socket.shutdown(socket.SHUT_WR)

    async def aclose(self) -> None:
        self._socket.close()


class _Wire(httpcore.AsyncNetworkStream):
    """One connection: passes bytes on and notes the first sent, the first and the last received."""

    def __init__(self, dialer: Dialer, stream: ByteStream, connected: socket.socket) -> None:
        self._dialer = dialer
        self._stream = stream
        self._socket = connected

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ARG002, ASYNC109
        try:
            received = await self._stream.receive(min(max_bytes, READ_BYTES))
        except EndOfStream:
            return b""
        marks = self._dialer.marks
        marks.last_byte = time.perf_counter_ns()
        if marks.first_byte is None:
            marks.first_byte = marks.last_byte
        await self._dialer.breathe()
        return received

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ARG002, ASYNC109
        if not buffer:
            return
        marks = self._dialer.marks
        if marks.sent is None:
            marks.sent = time.perf_counter_ns()
        try:
            await self._stream.send(buffer)
        except OSError as error:
            # httpcore then still reads: a server may answer and hang up before it has read everything.
            raise httpcore.WriteError from error

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ARG002, ASYNC109
    ) -> httpcore.AsyncNetworkStream:
        marks = self._dialer.marks
        marks.tls_began = time.perf_counter_ns()
        try:
            encrypted = await TLSStream.wrap(
                self._stream,
                server_side=False,
                hostname=server_hostname,
                ssl_context=ssl_context,
                standard_compatible=False,
            )
        except BaseException:
            await self._stream.aclose()
            raise
        marks.tls_ended = time.perf_counter_ns()
        return _Wire(self._dialer, encrypted, self._socket)

    async def aclose(self) -> None:
        await self._stream.aclose()

    def get_extra_info(self, info: str) -> Any:
        """What httpcore asks before it uses a kept connection again: whether the server hung up."""
        if info == "is_readable":
            return _is_readable(self._socket)
        return None


def _is_readable(connected: socket.socket) -> bool:
    if connected.fileno() < 0:
        return True
    poll = select.poll()
    poll.register(connected, select.POLLIN)
    return bool(poll.poll(0))
