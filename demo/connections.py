"""Knows the open connections of the HTTP server, so that one can be reset."""

from __future__ import annotations

import asyncio
import socket
import struct

from uvicorn.protocols.http.h11_impl import H11Protocol

_open: dict[tuple[str, int], asyncio.Transport] = {}


class TrackedProtocol(H11Protocol):
    """Uvicorn's HTTP protocol, which lists its connection by the client's address while it is open."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as uvicorn has it
        """Called by asyncio."""
        super().connection_made(transport)
        if self.client is not None:
            _open[self.client] = transport

    def connection_lost(self, exc: Exception | None) -> None:
        """Called by asyncio."""
        if self.client is not None:
            _open.pop(self.client, None)
        super().connection_lost(exc)


def reset(client: tuple[str, int]) -> None:
    """Reset the client's connection: it sees ECONNRESET, not an orderly end."""
    transport = _open.get(client)
    if transport is None:
        return
    connection = transport.get_extra_info("socket")
    linger_for_0_s = struct.pack("ii", 1, 0)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger_for_0_s)
    transport.abort()
