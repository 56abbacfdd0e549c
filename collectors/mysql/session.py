"""One connection to a MySQL or MariaDB server: bounded in time, and what can be wrong with it in words."""

from __future__ import annotations

import ssl
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

import pymysql
from pymysql.constants import COMMAND
from pymysql.cursors import DictCursor

from collectors.address import Address, read_address
from collectors.bounded import BoundedSession
from collectors.names import clean_name
from collectors.tcp import PlainSocket, TlsSocket
from collectors.trouble import TroubleError
from warehouse.model import DatabaseCondition as Condition
from warehouse.settings import DatabaseSettings

PORT = 3306
SCHEMES = {"mysql": False, "mariadb": False}
EXAMPLE = "mysql://user:password@host:3306/database"

MARK = "perfhouse_watch"
"""The alias in each statement of ours by which its digest is known: digests do not tell whose they are."""

VERSION = "SELECT version() AS perfhouse_watch"
SHARE_OF_DEADLINE = 0.8
"""After so much of it the server itself ends a statement of ours."""

MARIADB_BOUND = (
    "SET SESSION time_zone = '+00:00', SESSION lock_wait_timeout = 1, SESSION max_statement_time = {:.3f}"
)
MYSQL_BOUND = (
    "SET SESSION time_zone = '+00:00', SESSION lock_wait_timeout = 1, SESSION max_execution_time = {}"
)

NOT_KEPT = (1109, 1146, 1054, 1193)
"""Numbers of "no such table", "column" and "variable"."""

_BY_NUMBER: Mapping[int, tuple[Condition, str]] = {
    1040: (Condition.FULL, "the server has no connection left"),
    1203: (Condition.FULL, "the user has no connection left"),
    1226: (Condition.FULL, "the user has used up what it is granted"),
    1044: (Condition.NO_PRIVILEGE, "the user may not use the database"),
    1045: (Condition.WRONG_PASSWORD, "the server refuses the user or its password"),
    1698: (Condition.WRONG_PASSWORD, "the server refuses the user or its password"),
    1130: (Condition.WRONG_PASSWORD, "the server lets nobody in from here"),
    1251: (Condition.WRONG_PASSWORD, "the server wants another way of signing in"),
    1820: (Condition.WRONG_PASSWORD, "the user's password has expired"),
    1862: (Condition.WRONG_PASSWORD, "the user's password has expired"),
    3118: (Condition.WRONG_PASSWORD, "the user is locked"),
    4151: (Condition.WRONG_PASSWORD, "the user is locked"),
    1129: (Condition.ERROR, "the server has blocked this host after many failed connections"),
    3159: (Condition.TLS, "the server lets nobody in without TLS"),
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

_LATE = frozenset({1205, 1317, 1969, 3024})
"""Numbers of "took too long" and "was ended": one statement's trouble, the connection is well."""

Row = tuple[Any, ...]


class Session(BoundedSession):
    """A connection to one MySQL or MariaDB server, which learns whose it is when it is opened."""

    def __init__(self, settings: DatabaseSettings) -> None:
        super().__init__(settings.deadline_s)
        self._settings = settings
        self._client: _Dialed | None = None
        self._asked = 0
        self.version = ""
        self.connections = 0
        """How many connections there were: the server counts some things by connection."""

    @property
    def is_mariadb(self) -> bool:
        """Whether the server at the other end calls itself so."""
        return "mariadb" in self.version.lower()

    @property
    def asked(self) -> int:
        """Statements of ours that the server has counted, over all connections."""
        return self._asked + (self._client.asked if self._client else 0)

    def rows(self, statement: str, parameters: Sequence[object] | None = None) -> list[Row]:
        """The rows of a statement of ours."""
        assert self._client is not None
        with self._client.cursor() as cursor:
            cursor.execute(statement, parameters)
            return list(cursor.fetchall())

    def records(self, statement: str) -> list[dict[str, Any]]:
        """The rows of a statement of ours, by column."""
        assert self._client is not None
        with self._client.cursor(DictCursor) as cursor:
            cursor.execute(statement)
            return list(cursor.fetchall())

    def _address(self) -> Address:
        address = read_address(self._settings, SCHEMES, PORT, EXAMPLE)
        if not address.user:
            raise TroubleError(Condition.ERROR, f"the address is not like {EXAMPLE}")
        return address

    def _join(self, plain: PlainSocket, address: Address) -> None:
        self._client = client = _Dialed(
            host=address.host,
            user=address.user,
            password=address.password,
            database=address.database or None,
            ssl=address.context,
            autocommit=True,
            charset="utf8mb4",
            program_name="perfhouse",
            read_timeout=self.deadline_s,
            write_timeout=self.deadline_s,
            defer_connect=True,
        )
        client.meter_tls()
        client.connect(plain)
        self.connections += 1
        self.version = clean_name(str(self.rows(VERSION)[0][0]))
        late_s = max(0.1, self.deadline_s * SHARE_OF_DEADLINE)
        bound = MARIADB_BOUND.format(late_s) if self.is_mariadb else MYSQL_BOUND.format(round(late_s * 1000))
        with suppress(pymysql.Error):  # an old server knows no bound; ours holds all the same
            self.rows(bound)

    def _greet(self) -> None:
        self.rows(VERSION)

    def _leave(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            self._asked += client.asked
            client.drop()

    def _socket(self) -> PlainSocket | TlsSocket:
        assert self._client is not None
        return self._client.socket()

    def _explain(self, error: Exception) -> TroubleError:
        error = self._origin(error)
        number = number_of(error)
        if number in _BY_NUMBER:
            return TroubleError(*_BY_NUMBER[number])
        if isinstance(error, pymysql.Error):
            if "timed out" in " ".join(str(part) for part in error.args):
                return TroubleError(Condition.TIMEOUT, self._late())
            if isinstance(error, pymysql.OperationalError | pymysql.InterfaceError):
                return TroubleError(Condition.DOWN, "the connection broke")
        return super()._explain(error)


class _Dialed(pymysql.Connection):
    """The client's side of a connection that was made already; counts what it asks."""

    asked = 0

    def meter_tls(self) -> None:
        """Count what is read through TLS too, which is used wherever the server offers it."""
        context = getattr(self, "ctx", None)
        if isinstance(context, ssl.SSLContext):
            context.sslsocket_class = TlsSocket

    def socket(self) -> PlainSocket | TlsSocket:
        """What it reads from."""
        used = self._sock  # type: ignore[attr-defined]
        assert isinstance(used, PlainSocket | TlsSocket)
        return used

    def drop(self) -> None:
        """Close it without a goodbye, which could wait for a dead server."""
        self._force_close()  # type: ignore[attr-defined]

    def _execute_command(self, command: int, sql: str | bytes) -> None:
        self.asked += command == COMMAND.COM_QUERY
        super()._execute_command(command, sql)  # type: ignore[misc]


def number_of(error: Exception) -> int:
    """The number of a server's or client's error; 0 where it has none."""
    number = error.args[0] if isinstance(error, pymysql.Error) and error.args else 0
    return number if isinstance(number, int) else 0


def part_of(error: pymysql.Error) -> TroubleError | None:
    """What keeps one part from being measured while the connection is well; None for anything else."""
    number = number_of(error)
    if number in _LATE:
        return TroubleError(Condition.TIMEOUT, "it took too long and was ended")
    if number in NOT_KEPT:
        return TroubleError(Condition.NOT_MEASURABLE, "this server does not keep it")
    known = _BY_NUMBER.get(number)
    return TroubleError(*known) if known and known[0] is Condition.NO_PRIVILEGE else None
