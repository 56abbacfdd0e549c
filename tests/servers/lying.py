"""TCP servers that are no database: one never answers, one drips, one talks nonsense, one hangs up."""

from __future__ import annotations

import socketserver
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress

NONSENSE = b"\x00\xff\xfe'; DROP TABLE x; --\r\n+OK\r\n*-7\r\n$99999999999\r\nR\x00\x00\x00\x01<script>" * 200
"""Some of each protocol, and wrong in each."""

DRIP_S = 0.2
Behave = Callable[["LyingServer", socketserver.BaseRequestHandler], None]


class LyingServer(socketserver.ThreadingTCPServer):
    """Listens on a free port of 127.0.0.1 and misbehaves; counts who came and keeps what they sent."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, behave: Behave) -> None:
        self.ending = threading.Event()
        self.callers = 0
        self.heard = b""
        server = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                server.callers += 1
                with suppress(OSError):  # the caller has gone
                    behave(server, self)

        super().__init__(("127.0.0.1", 0), Handler)

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self.server_address[1])


def never_answer(server: LyingServer, conversation: socketserver.BaseRequestHandler) -> None:
    """Take what comes and say nothing."""
    conversation.request.settimeout(DRIP_S)
    while not server.ending.is_set():
        try:
            more = conversation.request.recv(65536)
        except TimeoutError:
            continue
        if not more:
            return
        server.heard += more


def drip(server: LyingServer, conversation: socketserver.BaseRequestHandler) -> None:
    """A byte now and then, without end."""
    while not server.ending.wait(DRIP_S):
        conversation.request.sendall(b"\x00")


def talk_nonsense(server: LyingServer, conversation: socketserver.BaseRequestHandler) -> None:
    """At once, and again as answer to whatever is said."""
    conversation.request.settimeout(DRIP_S)
    conversation.request.sendall(NONSENSE)
    until = time.monotonic() + 30
    while not server.ending.is_set() and time.monotonic() < until:
        try:
            more = conversation.request.recv(65536)
        except TimeoutError:
            continue
        if not more:
            return
        server.heard += more
        conversation.request.sendall(NONSENSE)


def hang_up(server: LyingServer, conversation: socketserver.BaseRequestHandler) -> None:
    """As soon as something was said."""
    conversation.request.settimeout(1)
    server.heard += conversation.request.recv(65536)


LIES: dict[str, Behave] = {
    "silent": never_answer,
    "dripping": drip,
    "nonsense": talk_nonsense,
    "hanging up": hang_up,
}


@contextmanager
def lying_server(behave: Behave) -> Iterator[LyingServer]:
    """One server that misbehaves so."""
    server = LyingServer(behave)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield server
    finally:
        server.ending.set()
        server.shutdown()
        server.server_close()
        thread.join(10)


@contextmanager
def lying_servers() -> Iterator[dict[str, LyingServer]]:
    """One of each, by its name in LIES."""
    with ExitStack() as stack:
        yield {name: stack.enter_context(lying_server(behave)) for name, behave in LIES.items()}
