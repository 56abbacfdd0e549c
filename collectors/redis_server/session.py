"""One connection to a Redis server: bounded in time, and what can be wrong with it in words."""

from __future__ import annotations

import socket
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from redis import exceptions
from redis.backoff import NoBackoff
from redis.connection import Connection, SSLConnection, parse_url
from redis.retry import Retry

from collectors.cutoff import cut_off
from collectors.trouble import TroubleError
from warehouse.errors import ConfigurationError
from warehouse.model import DatabaseCondition as Condition
from warehouse.settings import DatabaseSettings

SCHEMES = ("redis", "rediss")
OPTIONS = frozenset({"host", "port", "db", "username", "password", "connection_class"})
"""What of an address is used; the rest could change how this connection behaves."""

_BY_TEXT = (
    ("LOADING", Condition.STARTING, "the server loads its data"),
    ("WRONGPASS", Condition.WRONG_PASSWORD, "the server refuses the user or its password"),
    ("NOAUTH", Condition.WRONG_PASSWORD, "the server wants a password and the address holds none"),
    ("max number of clients", Condition.FULL, "the server has no connection left"),
    ("DB index", Condition.NO_DATABASE, "the server has no database of that number"),
    ("SSL", Condition.TLS, "the TLS handshake fails"),
    ("certificate", Condition.TLS, "the TLS handshake fails"),
    ("DENIED", Condition.WRONG_PASSWORD, "the server runs in protected mode and lets nobody in from here"),
)

_BY_KIND: tuple[tuple[type[Exception], Condition, str], ...] = (
    (exceptions.NoPermissionError, Condition.NO_PRIVILEGE, "the user may not run PING or INFO"),
    (exceptions.AuthenticationError, Condition.WRONG_PASSWORD, "the server refuses the user or its password"),
    (exceptions.InvalidResponse, Condition.ERROR, "what answers there is no Redis server"),
    (exceptions.ConnectionError, Condition.DOWN, ""),
    (ConnectionError, Condition.DOWN, ""),
)

Info = Mapping[str, Any]


class Session:
    """A connection that is opened when it is first needed and after it broke."""

    def __init__(self, settings: DatabaseSettings) -> None:
        self._settings = settings
        self._connection: Connection | None = None

    def look(self) -> tuple[float, Mapping[str, str], int | None]:
        """Milliseconds of an own PING on the warm connection, the server's INFO, and its slow log's counter.

        Ends within the deadline. Raises TroubleError; the connection is then closed.
        """
        with cut_off(self._settings.deadline_s, self._socket) as cutoff:
            try:
                return self._look()
            except TroubleError:
                self.close()
                raise
            except Exception as error:  # noqa: BLE001 - whatever a stranger's answer does to the client is a state
                self.close()
                if cutoff.passed:
                    raise TroubleError(Condition.TIMEOUT, self._late()) from None
                raise self._explain(error) from None

    def close(self) -> None:
        """Give the connection back."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.disconnect()  # type: ignore[no-untyped-call]

    def _look(self) -> tuple[float, Mapping[str, str], int | None]:
        connection = self._connection
        if connection is None or not connection.is_connected:
            connection = self._connection = self._make()
            connection.connect()  # type: ignore[no-untyped-call]
            # The first answer on a connection waits for more than the server.
            self._ask(connection, "PING")
        began = time.perf_counter()
        pong = self._ask(connection, "PING")
        ping_ms = (time.perf_counter() - began) * 1000
        if _text(pong) != "PONG":
            raise TroubleError(Condition.ERROR, "what answers there is no Redis server")
        info = parse_info(_text(self._ask(connection, "INFO")))
        if "redis_version" not in info:
            raise TroubleError(Condition.ERROR, "what answers there is no Redis server")
        return ping_ms, info, self._slow(connection)

    def _slow(self, connection: Connection) -> int | None:
        """How many slow commands there were in the server's life; None where the user may not ask."""
        try:
            newest = self._ask(connection, "SLOWLOG", "GET", "1")
        except (exceptions.ResponseError, exceptions.NoPermissionError):
            return None
        # Of the entry only its number is kept: the rest holds the command's arguments.
        return int(newest[0][0]) + 1 if newest else 0

    def _ask(self, connection: Connection, *command: str) -> Any:
        connection.send_command(*command)  # type: ignore[no-untyped-call]
        return connection.read_response()

    def _make(self) -> Connection:
        """A connection that is not open yet. Raises TroubleError where the address is unusable."""
        try:
            address = self._settings.url.reveal()
            scheme = urlsplit(address).scheme
            parsed = parse_url(address)  # type: ignore[no-untyped-call]
            options = {name: value for name, value in parsed.items() if name in OPTIONS}
        except ConfigurationError as error:
            raise TroubleError(Condition.ERROR, error.message) from None
        except ValueError:
            scheme, options = "", {}
        if scheme not in SCHEMES or not options.get("host"):
            raise TroubleError(Condition.ERROR, "the address is not like redis://:password@host:6379/0")
        kind = options.pop("connection_class", Connection)
        assert kind in (Connection, SSLConnection)
        timeout_s = self._settings.deadline_s
        return kind(  # type: ignore[no-any-return]
            **options,
            socket_timeout=timeout_s,
            socket_connect_timeout=timeout_s,
            retry=Retry(NoBackoff(), 0),
            driver_info=None,
            protocol=2,
        )

    def _socket(self) -> socket.socket | None:
        return getattr(self._connection, "_sock", None)

    def _late(self) -> str:
        return f"no whole answer within {self._settings.deadline_s:g} s"

    def _explain(self, error: Exception) -> TroubleError:
        """What an error means. Of its text only what is recognised is used: it may quote what was sent."""
        told = " ".join(str(part) for part in error.args)
        for mark, condition, text in _BY_TEXT:
            if mark in told:
                return TroubleError(condition, text)
        for kinds, condition, text in _BY_KIND:
            if isinstance(error, kinds):
                return TroubleError(condition, text or _connection_words(told))
        if isinstance(error, exceptions.TimeoutError | TimeoutError):
            return TroubleError(Condition.TIMEOUT, self._late())
        return TroubleError(Condition.ERROR, f"the answer cannot be read ({type(error).__name__})")


def parse_info(text: str) -> dict[str, str]:
    """INFO's `name:value` lines."""
    pairs = (line.partition(":") for line in text.splitlines() if line and not line.startswith("#"))
    return {name: value.strip() for name, _, value in pairs}


def _connection_words(told: str) -> str:
    if "refused" in told:
        return "nothing listens there"
    if "Name or service" in told or "resolution" in told or "getaddrinfo" in told:
        return "the host's name cannot be resolved"
    return "the connection broke"


def _text(answer: object) -> str:
    if isinstance(answer, bytes):
        return answer.decode("utf-8", "replace")
    return answer if isinstance(answer, str) else ""
