"""A real HTTP server that misbehaves on request: the path says how, the query how much.

`start()` gives its address and what it saw. Times are of `time.perf_counter()`, which on Linux all
processes share.
"""

from __future__ import annotations

import socket
import ssl
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from tests.servers.faults import Conversation, Served, abort

__all__ = ["FaultyServer", "Served", "running_faulty_server", "start"]

IDLE_S = 60


@dataclass
class FaultyServer:
    """A running server: where it is and what it saw."""

    host: str
    port: int
    scheme: str
    served: list[Served] = field(default_factory=list)
    connections: int = 0
    failed_handshakes: int = 0
    _open: set[socket.socket] = field(default_factory=set)
    _listener: socket.socket | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def url(self) -> str:
        """Its address, as a target's `url`."""
        return f"{self.scheme}://{f'[{self.host}]' if ':' in self.host else self.host}:{self.port}"

    @property
    def counts(self) -> Counter[str]:
        """Requests seen, by path."""
        return Counter(served.path for served in list(self.served))

    @property
    def last(self) -> Served:
        """The newest request."""
        return self.served[-1]

    def stop(self) -> None:
        """Close everything: from now on connections are refused."""
        if self._listener is not None:
            self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()
            self._listener = None
        with self._lock:
            for connection in self._open:
                abort(connection)

    def _accept(self, listener: socket.socket, tls: ssl.SSLContext | None) -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            connection.settimeout(IDLE_S)
            self.connections += 1
            arguments = (connection, tls, self.connections)
            threading.Thread(target=self._serve, args=arguments, daemon=True).start()

    def _serve(self, plain: socket.socket, tls: ssl.SSLContext | None, number: int) -> None:
        connection = plain
        with self._lock:
            self._open.add(plain)
        try:
            if tls is not None:
                connection = tls.wrap_socket(plain, server_side=True)
                with self._lock:
                    self._open.add(connection)
            Conversation(self.served, connection, number).run()
        except ssl.SSLError:
            self.failed_handshakes += 1
        except OSError:
            pass  # the other side went away, or the server was stopped
        finally:
            with self._lock:
                self._open -= {plain, connection}
            connection.close()


def start(host: str = "127.0.0.1", port: int = 0, tls: ssl.SSLContext | None = None) -> FaultyServer:
    """Serve on a free port (or the given one) in threads of this process."""
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((host, port))
    listener.listen(128)
    server = FaultyServer(host, listener.getsockname()[1], "https" if tls else "http")
    server._listener = listener
    threading.Thread(target=server._accept, args=(listener, tls), daemon=True).start()
    return server


@contextmanager
def running_faulty_server(
    host: str = "127.0.0.1", port: int = 0, tls: ssl.SSLContext | None = None
) -> Iterator[FaultyServer]:
    """`start()`, stopped at the end."""
    server = start(host, port, tls)
    try:
        yield server
    finally:
        server.stop()
