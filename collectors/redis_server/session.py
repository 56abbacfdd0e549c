"""One connection to a Redis server: what is asked, and what can be wrong with it in words."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from redis import exceptions
from redis.backoff import NoBackoff
from redis.connection import Connection
from redis.retry import Retry

from collectors.address import Address, read_address
from collectors.bounded import BoundedSession
from collectors.tcp import PlainSocket, TlsSocket, encrypt
from collectors.trouble import TroubleError
from warehouse.model import DatabaseCondition as Condition
from warehouse.settings import DatabaseSettings

PORT = 6379
SCHEMES = {"redis": False, "rediss": True}
EXAMPLE = "redis://:password@host:6379/0"
MOST_SLOW = 2**53
STRANGER = "what answers there is no Redis server"

_BY_TEXT = (
    (
        "Authentication required",
        Condition.WRONG_PASSWORD,
        "the server wants a password, the address has none",
    ),
    ("without any password configured", Condition.WRONG_PASSWORD, "the server knows no password at all"),
    ("max number of clients", Condition.FULL, "the server has no connection left"),
    ("DB index", Condition.NO_DATABASE, "the server has no database of that number"),
    ("DENIED", Condition.WRONG_PASSWORD, "the server runs in protected mode and lets nobody in from here"),
    ("BUSY", Condition.TIMEOUT, "a script holds up the server (BUSY)"),
)

_BY_KIND: tuple[tuple[type[Exception], Condition, str], ...] = (
    (exceptions.BusyLoadingError, Condition.STARTING, "the server loads its data"),
    (exceptions.NoPermissionError, Condition.NO_PRIVILEGE, "the user may not run PING or INFO"),
    (exceptions.AuthenticationError, Condition.WRONG_PASSWORD, "the server refuses the user or its password"),
    (exceptions.InvalidResponse, Condition.ERROR, STRANGER),
    (exceptions.TimeoutError, Condition.TIMEOUT, ""),
    (exceptions.ConnectionError, Condition.DOWN, "the connection broke"),
)
"""What the client's errors mean: it takes the server's own word (LOADING, WRONGPASS) off their texts."""


@dataclass(frozen=True)
class Look:
    """What one look at a server told."""

    ping_ms: float
    info: Mapping[str, str]
    slow: int | None
    """How many slow commands there were in the server's life; None where the user may not ask."""
    own_commands: int
    """How many commands of ours the server had counted when it told `info`, over all connections."""


class Session(BoundedSession):
    """A connection to one Redis server."""

    def __init__(self, settings: DatabaseSettings) -> None:
        super().__init__(settings.deadline_s)
        self._settings = settings
        self._connection: Connection | None = None
        self._commands = 0

    def look(self) -> Look:
        """An own PING on the warm connection, INFO, and the slow log's counter. Raises TroubleError."""
        with self.bounded():
            began = time.perf_counter()
            self._greet()
            ping_ms = (time.perf_counter() - began) * 1000
            own_commands = self._commands
            info = parse_info(_text(self._ask("INFO")))
            if "redis_version" not in info:
                raise TroubleError(Condition.ERROR, STRANGER)
            return Look(ping_ms, info, self._slow(), own_commands)

    def _slow(self) -> int | None:
        try:
            newest = self._ask("SLOWLOG", "GET", "1")
        except (exceptions.ResponseError, exceptions.NoPermissionError):
            return None
        # Of the entry only its number is kept: the rest holds the command's arguments.
        return min(int(newest[0][0]), MOST_SLOW) + 1 if newest else 0

    def _ask(self, *command: str) -> Any:
        assert self._connection is not None
        self._connection.send_command(*command)  # type: ignore[no-untyped-call]
        answer = self._connection.read_response()
        self._commands += 1
        return answer

    def _address(self) -> Address:
        address = read_address(self._settings, SCHEMES, PORT, EXAMPLE)
        if address.database and not address.database.isdecimal():
            raise TroubleError(Condition.ERROR, f"the address is not like {EXAMPLE}")
        return address

    def _join(self, plain: PlainSocket, address: Address) -> None:
        opened = plain if address.context is None else encrypt(plain, address.context, address.host)
        self._connection = _Dialed(
            opened,
            username=address.user or None,
            password=address.password or None,
            socket_timeout=self.deadline_s,
            retry=Retry(NoBackoff(), 0),
            driver_info=None,
            protocol=2,
        )
        self._commands += bool(address.password)
        self._connection.connect()  # type: ignore[no-untyped-call]
        if int(address.database or 0):
            self._ask("SELECT", address.database)

    def _greet(self) -> None:
        try:
            pong = _text(self._ask("PING"))
        except exceptions.MasterDownError:
            return  # A replica that has lost its master, and may not answer for it: INFO tells of that.
        except exceptions.ResponseError as error:
            if not str(error).startswith("MISCONF"):  # It cannot save, and refuses even a PING: INFO tells.
                raise
        else:
            if pong != "PONG":
                raise TroubleError(Condition.ERROR, STRANGER)

    def _leave(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.disconnect()  # type: ignore[no-untyped-call]

    def _socket(self) -> PlainSocket | TlsSocket:
        assert isinstance(self._connection, _Dialed)
        return self._connection.opened

    def _explain(self, error: Exception) -> TroubleError:
        error = self._origin(error)
        if isinstance(error, exceptions.RedisError):
            told = " ".join(str(part) for part in error.args)
            for mark, condition, text in _BY_TEXT:
                if mark in told:
                    return TroubleError(condition, text)
            for kind, condition, text in _BY_KIND:
                if isinstance(error, kind):
                    return TroubleError(condition, text or self._late())
            return TroubleError(Condition.ERROR, "the server refuses what it is asked")
        return super()._explain(error)


class _Dialed(Connection):
    """The client's side of a connection that was made already."""

    def __init__(self, opened: PlainSocket | TlsSocket, **options: Any) -> None:
        self.opened = opened
        super().__init__(**options)  # type: ignore[no-untyped-call]

    def _connect(self) -> PlainSocket | TlsSocket:
        return self.opened


def parse_info(text: str) -> dict[str, str]:
    """INFO's `name:value` lines."""
    pairs = (line.partition(":") for line in text.splitlines() if line and not line.startswith("#"))
    return {name: value.strip() for name, _, value in pairs}


def _text(answer: object) -> str:
    if isinstance(answer, bytes):
        return answer.decode("utf-8", "replace")
    return answer if isinstance(answer, str) else ""
