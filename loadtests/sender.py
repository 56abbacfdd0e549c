"""Sends one request over a connection of its user's, until its deadline, and says how it ended."""

from __future__ import annotations

import errno
import socket
import ssl
import time
from typing import NamedTuple

from loadtests.guard import GuardedError
from loadtests.http1 import ClosedError, ProtocolError, Receive, TooLargeError, read_response
from loadtests.site import Site
from warehouse.model import Outcome

READ_BYTES = 16 * 1024
SHORTEST_S = 0.0005
AWAY = (errno.EHOSTUNREACH, errno.ENETUNREACH)
ANSWER_FAILURES = (
    (ClosedError, Outcome.RESET, "the server closed the connection without a whole answer"),
    (ProtocolError, Outcome.PROTOCOL, ""),
    (TooLargeError, Outcome.TOO_LARGE, "the answer's body is too long"),
)
BROKEN = (errno.ECONNRESET, errno.EPIPE, errno.ECONNABORTED, errno.ENOTCONN)


class CutOffError(BaseException):
    """A request was on its way when `by` ended its user: gevent's GreenletExit, or a signal's exception.

    Like these it is no Exception, so that nothing takes it for a failure of the request.
    """

    def __init__(self, by: BaseException) -> None:
        super().__init__()
        self.by = by


class Answer(NamedTuple):
    """How a request ended. `outcome` is ok for any whole answer; `text` says what went wrong."""

    outcome: Outcome
    status: int = 0
    head: bytes = b""
    body: bytes = b""
    text: str = ""


class Sender:
    """One user's connections: kept while the server keeps them, one more whenever none is idle.

    Nothing is sent twice: an attempt that broke is told as broken, so that what the server counted is
    what was recorded.
    """

    def __init__(self, site: Site) -> None:
        self._site = site
        self._idle: list[socket.socket] = []

    def close(self) -> None:
        """End all idle connections."""
        while self._idle:
            self._idle.pop().close()

    def send(self, wire: bytes, method: str, deadline_s: float) -> Answer:
        """Send a whole request and read its answer. What the network or server does is never raised.

        Raises CutOffError when its user is ended meanwhile.
        """
        until = time.monotonic() + deadline_s
        connection, is_sent = None, False
        try:
            connection = self._take() or self._connect(until)
            _limit(connection, until)
            is_sent = True
            connection.sendall(wire)
            response = read_response(_receiver(connection, until), method)
        except (OSError, ClosedError, ProtocolError, TooLargeError) as error:
            return _failure(error, deadline_s, is_connected=connection is not None)
        except BaseException as end:
            if is_sent:
                raise CutOffError(end) from end
            raise
        else:
            if response.is_kept:
                self._idle.append(connection)
                connection = None
            return Answer(Outcome.OK, response.status, response.head, response.body)
        finally:
            if connection is not None:
                connection.close()

    def _take(self) -> socket.socket | None:
        """An idle connection that the other side has not closed."""
        while self._idle:
            connection = self._idle.pop()
            connection.settimeout(0)
            try:
                connection.recv(1)
            except (BlockingIOError, ssl.SSLWantReadError):
                return connection
            except OSError:
                pass  # broken: as good as closed
            connection.close()
        return None

    def _connect(self, until: float) -> socket.socket:
        """Connect to the first address that takes us. Raises the last one's OSError."""
        failure: OSError | None = None
        for host, port in self._site.addresses:
            family = socket.AF_INET6 if ":" in host else socket.AF_INET
            connection = socket.socket(family, socket.SOCK_STREAM)
            try:
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                _limit(connection, until)
                connection.connect((host, port))
                if self._site.tls is not None:
                    return self._site.tls.wrap_socket(connection, server_hostname=self._site.name)
                return connection
            except OSError as error:
                connection.close()
                failure = error
            except BaseException:
                connection.close()
                raise
        raise failure or OSError("the plan has no address")


def _limit(connection: socket.socket, until: float) -> None:
    connection.settimeout(max(until - time.monotonic(), SHORTEST_S))


def _receiver(connection: socket.socket, until: float) -> Receive:
    def receive() -> bytes:
        _limit(connection, until)
        return connection.recv(READ_BYTES)

    return receive


def _failure(error: Exception, deadline_s: float, *, is_connected: bool) -> Answer:
    """The outcome that a failure means, with words that hold no data."""
    if _is_timeout(error):
        what = "no whole answer" if is_connected else "no connection"
        return Answer(Outcome.TIMEOUT, text=f"{what} within {deadline_s:g} s")
    if isinstance(error, OSError):
        return _network_failure(error)
    for kind, outcome, text in ANSWER_FAILURES:
        if isinstance(error, kind):
            return Answer(outcome, text=text or str(error))
    return Answer(Outcome.ERROR, text=type(error).__name__)


def _network_failure(error: OSError) -> Answer:
    outcome, text = Outcome.ERROR, error.strerror or type(error).__name__
    if isinstance(error, GuardedError):
        outcome, text = Outcome.REFUSED, str(error)
    elif isinstance(error, ConnectionRefusedError):
        outcome = Outcome.REFUSED
    elif isinstance(error, ssl.SSLError):
        outcome, text = Outcome.TLS, f"TLS: {error.reason or text}"
    elif error.errno in BROKEN:
        outcome = Outcome.RESET
    elif error.errno in AWAY:
        outcome = Outcome.UNREACHABLE
    return Answer(outcome, text=text)


def _is_timeout(error: Exception) -> bool:
    """Whether time ran out; gevent tells it of a TLS connection as an SSLError."""
    return isinstance(error, TimeoutError) or "timed out" in str(error)
