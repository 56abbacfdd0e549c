"""A TCP connection that is made, encrypted and read within bounds: of time, and of bytes."""

from __future__ import annotations

import contextlib
import os
import socket
import ssl
import threading
import time
from typing import Any, cast

from collectors.resolve import Address, literal, look_up
from collectors.trouble import TroubleError
from warehouse.model import DatabaseCondition

MOST_BYTES = 64_000_000
"""What a server may send during one look at it; more is cut off."""


class TooMuchError(OSError):
    """The server sent more than anyone asked for."""


class _Metered:
    """Counts what is read, and refuses more than is allowed."""

    received = 0
    """Bytes since this was last set to 0."""

    def recv(self, size: int = 1024, flags: int = 0) -> bytes:
        data = cast("bytes", super().recv(size, flags))  # type: ignore[misc]  # of the socket beside it
        self._count(len(data))
        return data

    def recv_into(self, buffer: Any, nbytes: int | None = None, flags: int = 0) -> int:
        size = cast("int", super().recv_into(buffer, nbytes or memoryview(buffer).nbytes, flags))  # type: ignore[misc]
        self._count(size)
        return size

    def _count(self, size: int) -> None:
        self.received += size
        if self.received > MOST_BYTES:
            raise TooMuchError


class PlainSocket(_Metered, socket.socket):
    """Not encrypted."""


class TlsSocket(_Metered, ssl.SSLSocket):
    """Encrypted."""


class Dialer:
    """Connects to one server. A name server that hangs costs one thread, however often it is asked."""

    def __init__(self) -> None:
        self._look_up: _LookUp | None = None

    def dial(self, host: str, port: int, until_s: float) -> PlainSocket:
        """A connection, made before the monotonic clock shows `until_s`. Raises TroubleError."""
        address = literal(host, port)
        addresses = [address] if address is not None else self._resolve(host, port, until_s)
        refused = False
        for place, each in enumerate(addresses):
            left_s = max(0.0, until_s - time.monotonic())
            try:
                return _connect(each, left_s / (len(addresses) - place))
            except ConnectionRefusedError:
                refused = True
            except TimeoutError:
                continue
            except OSError as error:
                unreachable = error.strerror or "no way leads there"
                if place == len(addresses) - 1 and not refused:
                    raise TroubleError(DatabaseCondition.DOWN, unreachable.lower()) from None
        if refused:
            raise TroubleError(DatabaseCondition.DOWN, "nothing listens there")
        raise TimeoutError

    def _resolve(self, host: str, port: int, until_s: float) -> list[Address]:
        running = self._look_up
        if running is None or not running.is_alive():
            running = self._look_up = _LookUp(host, port)
            running.start()
        running.join(max(0.0, until_s - time.monotonic()))
        if running.is_alive():
            raise TroubleError(DatabaseCondition.TIMEOUT, "the look-up of the host's name gives no answer")
        self._look_up = None
        if not running.found:
            raise TroubleError(DatabaseCondition.DOWN, "the host's name cannot be resolved")
        return running.found


class _LookUp(threading.Thread):
    """Looks a name up; `found` stays empty where there is none."""

    def __init__(self, host: str, port: int) -> None:
        super().__init__(name="look up", daemon=True)
        self._place = (host, port)
        self.found: list[Address] = []

    def run(self) -> None:
        with contextlib.suppress(OSError):
            self.found = look_up(*self._place)


def encrypt(plain: PlainSocket, context: ssl.SSLContext, host: str) -> TlsSocket:
    """The same connection with TLS on it, metered as before. Raises ssl.SSLError."""
    context.sslsocket_class = TlsSocket
    return cast("TlsSocket", context.wrap_socket(plain, server_hostname=host))


def grip(connected: socket.socket) -> socket.socket:
    """Another hand on the same connection, to shut it whoever reads from it, through any layer of TLS."""
    return socket.socket(fileno=os.dup(connected.fileno()))


def _connect(address: Address, within_s: float) -> PlainSocket:
    family, place = address
    made = PlainSocket(family, socket.SOCK_STREAM)
    try:
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        made.settimeout(max(within_s, 0.001))
        made.connect(place)
    except BaseException:
        made.close()
        raise
    return made
