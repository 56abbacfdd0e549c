"""One connection to a MySQL or MariaDB server: bounded in time, and what can be wrong with it in words."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import pymysql
from pymysql.connections import Connection
from pymysql.cursors import Cursor, DictCursor

from collectors.cutoff import cut_off
from collectors.trouble import TroubleError
from warehouse.errors import ConfigurationError
from warehouse.model import DatabaseCondition as Condition
from warehouse.settings import DatabaseSettings

PORT = 3306
SCHEMES = ("mysql", "mariadb")

_BY_NUMBER: Mapping[int, tuple[Condition, str]] = {
    1040: (Condition.FULL, "the server has no connection left"),
    1203: (Condition.FULL, "the user has no connection left"),
    1226: (Condition.FULL, "the user has used up what it is granted"),
    1044: (Condition.NO_PRIVILEGE, "the user may not use the database"),
    1045: (Condition.WRONG_PASSWORD, "the server refuses the user or its password"),
    1698: (Condition.WRONG_PASSWORD, "the server refuses the user or its password"),
    1130: (Condition.WRONG_PASSWORD, "the server lets nobody in from here"),
    1251: (Condition.WRONG_PASSWORD, "the server wants another way of signing in"),
    1049: (Condition.NO_DATABASE, "the server has no database of that name"),
    1142: (Condition.NO_PRIVILEGE, "the user may not read what is measured"),
    1143: (Condition.NO_PRIVILEGE, "the user may not read what is measured"),
    1227: (Condition.NO_PRIVILEGE, "the user lacks a privilege that is needed"),
    1356: (Condition.NO_PRIVILEGE, "the user may not read what is measured"),
    1053: (Condition.STARTING, "the server is stopping"),
    1969: (Condition.TIMEOUT, "a statement took too long and was ended"),
    3024: (Condition.TIMEOUT, "a statement took too long and was ended"),
    2026: (Condition.TLS, "the TLS handshake fails"),
}
"""What the numbers of the server's and the client's errors mean; their texts may quote what was sent."""

Row = tuple[Any, ...]


class Session:
    """A connection that is opened when it is first needed and after it broke."""

    def __init__(self, settings: DatabaseSettings) -> None:
        self._settings = settings
        self._connection: Connection[Cursor] | None = None

    @contextmanager
    def bounded(self) -> Iterator[None]:
        """What is asked within ends at the deadline. Raises TroubleError; the connection is then closed."""
        with cut_off(self._settings.deadline_s, self._socket) as cutoff:
            try:
                self._open()
                yield
            except TroubleError:
                self.close()
                raise
            except Exception as error:  # noqa: BLE001 - whatever a stranger's answer does to the client is a state
                self.close()
                if cutoff.passed:
                    raise TroubleError(Condition.TIMEOUT, self._late()) from None
                raise self._explain(error) from None

    def rows(self, statement: str) -> list[Row]:
        """The rows of a statement of ours."""
        assert self._connection is not None
        with self._connection.cursor() as cursor:
            cursor.execute(statement)
            return list(cursor.fetchall())

    def records(self, statement: str) -> list[dict[str, Any]]:
        """The rows of a statement of ours, by column."""
        assert self._connection is not None
        with self._connection.cursor(DictCursor) as cursor:
            cursor.execute(statement)
            return list(cursor.fetchall())

    def close(self) -> None:
        """Give the connection back."""
        connection, self._connection = self._connection, None
        if connection is not None:
            # A polite goodbye could wait for a dead server.
            connection._force_close()  # type: ignore[attr-defined]

    def _open(self) -> None:
        if self._connection is not None:
            return
        options = _options(self._address(), self._settings.deadline_s)
        self._connection = pymysql.Connection(**options, defer_connect=True)
        self._connection.connect()

    def _address(self) -> str:
        try:
            return self._settings.url.reveal()
        except ConfigurationError as error:
            raise TroubleError(Condition.ERROR, error.message) from None

    def _socket(self) -> socket.socket | None:
        return getattr(self._connection, "_sock", None)

    def _late(self) -> str:
        return f"no whole answer within {self._settings.deadline_s:g} s"

    def _explain(self, error: Exception) -> TroubleError:
        """What an error means, by its number."""
        number = error.args[0] if isinstance(error, pymysql.Error) and error.args else None
        if isinstance(number, int) and number in _BY_NUMBER:
            return TroubleError(*_BY_NUMBER[number])
        told = " ".join(str(part) for part in error.args)
        if isinstance(error, ssl.SSLError) or "SSL" in told:
            return TroubleError(Condition.TLS, "the TLS handshake fails")
        if "timed out" in told:
            return TroubleError(Condition.TIMEOUT, self._late())
        if number == 2003:
            return TroubleError(Condition.DOWN, "nothing listens there, or no way leads there")
        if isinstance(error, pymysql.OperationalError | pymysql.InterfaceError | OSError):
            return TroubleError(Condition.DOWN, "the connection broke")
        return TroubleError(Condition.ERROR, f"the answer cannot be read ({type(error).__name__})")


def part_of(error: pymysql.Error) -> TroubleError | None:
    """What keeps one part from being measured while the connection is well; None for anything else."""
    number = error.args[0] if error.args else None
    known = _BY_NUMBER.get(number) if isinstance(number, int) else None
    return TroubleError(*known) if known and known[0] is Condition.NO_PRIVILEGE else None


def _options(address: str, deadline_s: float) -> dict[str, Any]:
    """How to connect. Raises TroubleError where the address is unusable."""
    try:
        parts = urlsplit(address)
        port = parts.port or PORT
        asked = parse_qs(parts.query)
    except ValueError:
        parts, port, asked = urlsplit(""), PORT, {}
    if parts.scheme not in SCHEMES or not parts.hostname or not parts.username or set(asked) - {"tls"}:
        raise TroubleError(
            Condition.ERROR, "the address is not like mysql://user:password@host:3306/database"
        )
    return {
        "host": parts.hostname,
        "port": port,
        "user": unquote(parts.username),
        "password": unquote(parts.password or ""),
        "database": unquote(parts.path.lstrip("/")) or None,
        "ssl": ssl.create_default_context() if asked.get("tls") == ["1"] else None,
        "autocommit": True,
        "charset": "utf8mb4",
        "program_name": "perfhouse",
        "connect_timeout": max(1, round(deadline_s)),
        "read_timeout": deadline_s,
        "write_timeout": deadline_s,
    }
