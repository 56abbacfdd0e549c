"""A TCP server that accepts, and then says nothing, drips, or answers with garbage."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

DRIP_S = 0.1

How = Literal["silent", "dripping", "garbage"]


@contextmanager
def running_silent_server(how: How) -> Iterator[int]:
    """The port it listens on."""
    listener = socket.create_server(("127.0.0.1", 0))
    ending = threading.Event()
    held: list[socket.socket] = []

    def serve(connection: socket.socket) -> None:
        try:
            if how == "garbage":
                connection.sendall(b"\x00\xff garbage\r\n" * 40)
            while how == "dripping" and not ending.wait(DRIP_S):
                connection.sendall(b"+")
            ending.wait(60)
        except OSError:
            pass  # the other side went away

    def accept() -> None:
        while not ending.is_set():
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            held.append(connection)
            threading.Thread(target=serve, args=(connection,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield listener.getsockname()[1]
    finally:
        ending.set()
        listener.close()
        for connection in held:
            connection.close()
