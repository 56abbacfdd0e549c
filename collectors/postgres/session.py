"""One connection to the server: read only, bounded in time, and known to belong to which server."""

from __future__ import annotations

import contextlib
import math
import os
import socket
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import psycopg
from psycopg import sql
from psycopg.errors import error_from_result
from psycopg.pq import ExecStatus
from psycopg.pq.abc import PGresult

from collectors.postgres.refusals import refused
from collectors.trouble import TroubleError
from warehouse.errors import ConfigurationError
from warehouse.model import DatabaseCondition
from warehouse.settings import DatabaseSettings

APPLICATION = "perfhouse"
OLDEST = 140_000
"""The oldest server version that is watched, as server_version_num has it."""

LONGEST_WAKING_S = 1.0
"""How long `shut` waits for the thread that it has cut off."""

LEAST_CONNECT_S = 2
"""libpq's shortest connect_timeout."""

SET = """
    SELECT set_config(name, value, false)
    FROM unnest(%s::text[], %s::text[]) AS wanted(name, value)
"""

FACTS = """
    SELECT
        current_setting('server_version_num')::int AS version,
        (SELECT system_identifier FROM pg_control_system()) AS system,
        pg_postmaster_start_time() AS started_at,
        current_user::text AS role,
        current_database()::text AS database,
        (SELECT oid::int8 FROM pg_database WHERE datname = current_database()) AS database_oid,
        to_regclass('pg_catalog.pg_stat_checkpointer') IS NOT NULL AS has_checkpointer,
        CASE WHEN pg_has_role('pg_read_all_settings', 'USAGE')
            THEN current_setting('shared_preload_libraries') END AS libraries
"""

EXTENSIONS = """
    SELECT extname::text, nspname::text, array(
        SELECT unnest(proargnames) FROM pg_proc
        WHERE pronamespace = extnamespace AND proname = extname AND proargnames IS NOT NULL
    )
    FROM pg_extension JOIN pg_namespace ON pg_namespace.oid = extnamespace
    WHERE extname IN ('pg_stat_statements', 'pgstattuple')
"""


@dataclass(frozen=True)
class Extension:
    """An extension of the connected database: where it is, and the columns its function answers with."""

    schema: str
    columns: frozenset[str]


@dataclass(frozen=True)
class Facts:
    """What does not change while a connection lives."""

    version: int
    system: int
    started_at: datetime
    role: str
    database: str
    database_oid: int
    has_checkpointer: bool
    libraries: str | None

    @property
    def identity(self) -> tuple[int, datetime]:
        """Counters can be compared while this is the same: one server, not restarted."""
        return (self.system, self.started_at)


class Session:
    """A connection. One thread opens, uses and closes it; any other may `abort` or `shut` it.

    libpq frees a connection that is closed, whoever waits on it: then that thread waits for ever, on a socket
    that may be another's by now. So none is closed while it is asked.
    """

    def __init__(self, settings: DatabaseSettings) -> None:
        self._settings = settings
        self._bound_ms = max(1, round(settings.deadline_s * 800))
        self._guard = threading.Lock()
        self._asked = threading.Lock()
        self._connection: psycopg.Connection[tuple[Any, ...]] | None = None
        self._facts: Facts | None = None
        self._is_shut = False
        self._prepared: dict[str, bytes] = {}
        self.queries = 0
        """How many it has run: the server counts each as a transaction."""

    @property
    def is_open(self) -> bool:
        """Whether there is a connection that is not known to be broken."""
        return self._connection is not None and not self._connection.closed

    @property
    def facts(self) -> Facts:
        """Of the server it is connected to."""
        assert self._facts is not None
        return self._facts

    def open(self) -> None:
        """Connect. Raises TroubleError."""
        self.close()
        connection = self._connect()
        with self._guard:
            self._connection = connection
        if self._is_shut:
            self.close()
            raise TroubleError(DatabaseCondition.DOWN, "the collector is stopping")
        try:
            self._facts = self._settle()
        except psycopg.Error as error:
            self.close()
            raise refused(error) from None

    def extensions(self) -> Mapping[str, Extension]:
        """Those of the connected database that matter, by name."""
        return {
            name: Extension(schema, frozenset(columns)) for name, schema, columns in self.query(EXTENSIONS)
        }

    def query(
        self, statement: str | sql.Composed, parameters: Sequence[object] | None = None
    ) -> list[tuple[Any, ...]]:
        """All rows that a statement answers with. Raises psycopg.Error."""
        with self._in_use() as connection, connection.cursor(binary=True) as cursor:
            cursor.execute(statement, parameters)
            return cursor.fetchall()

    def numbers(self, statement: str, parameter: str) -> list[tuple[Any, ...]]:
        """All rows of a statement of one text parameter ($1) that answers with whole numbers and booleans.

        For what is asked many times a second: the statement is prepared, and nothing stands between libpq
        and us, which takes less than half of what `query` does. Raises psycopg.Error.
        """
        with self._in_use() as connection:
            if statement not in self._prepared:
                name = f"perfhouse_{len(self._prepared)}".encode()
                _good(connection.pgconn.prepare(name, statement.encode()))
                self._prepared[statement] = name
            answer = connection.pgconn.exec_prepared(
                self._prepared[statement], [parameter.encode()], result_format=1
            )
        return [
            tuple(
                None if value is None else int.from_bytes(value, signed=True)
                for value in (answer.get_value(row, column) for column in range(answer.nfields))
            )
            for row in range(_good(answer).ntuples)
        ]

    @contextlib.contextmanager
    def bounded(self, most_ms: int) -> Iterator[None]:
        """Let no statement within take longer than this. Raises psycopg.Error."""
        self.query(SET, [["statement_timeout"], [str(min(most_ms, self._bound_ms))]])
        try:
            yield
        finally:
            if self.is_open:
                self.query(SET, [["statement_timeout"], [str(self._bound_ms)]])

    def abort(self) -> None:
        """Cut the connection, so that a thread that waits for the server's answer waits no longer."""
        with self._guard, contextlib.suppress(psycopg.Error, OSError, ValueError):
            if self._connection is not None:
                with socket.socket(fileno=os.dup(self._connection.fileno())) as cut:
                    cut.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Give the connection back, if there is one."""
        with self._guard:
            connection, self._connection = self._connection, None
            self._prepared = {}
        if connection is not None:
            connection.close()

    def shut(self) -> None:
        """Close it for good; where it is asked just now, its own thread closes it, woken by the cut."""
        self._is_shut = True
        self.abort()
        if self._asked.acquire(timeout=LONGEST_WAKING_S):
            self.close()
            self._asked.release()

    @contextlib.contextmanager
    def _in_use(self) -> Iterator[psycopg.Connection[tuple[Any, ...]]]:
        """The connection, which nobody closes meanwhile. Raises psycopg.OperationalError without one."""
        with self._asked:
            connection = self._connection
            if connection is None:
                raise psycopg.OperationalError("not connected")
            self.queries += 1
            try:
                yield connection
            finally:
                if self._is_shut:
                    self.close()

    def _connect(self) -> psycopg.Connection[tuple[Any, ...]]:
        try:
            address = self._settings.url.reveal()
        except ConfigurationError as error:
            text = f"its address cannot be read: {error.message}"
            raise TroubleError(DatabaseCondition.ERROR, text) from None
        try:
            return psycopg.connect(
                address,
                autocommit=True,
                prepare_threshold=None,
                application_name=APPLICATION,
                client_encoding="utf8",
                connect_timeout=max(LEAST_CONNECT_S, math.ceil(self._settings.deadline_s)),
            )
        except psycopg.Error as error:
            raise refused(error) from None

    def _settle(self) -> Facts:
        """Bound what the session may do, and learn what the server is."""
        wanted = {
            "statement_timeout": str(self._bound_ms),
            "lock_timeout": str(min(1000, self._bound_ms)),
            "idle_in_transaction_session_timeout": str(self._bound_ms),
            "default_transaction_read_only": "on",
            "search_path": "pg_catalog",
            "jit": "off",
            "timezone": "UTC",
        }
        self.query(SET, [list(wanted), list(wanted.values())])
        facts = Facts(*self.query(FACTS)[0])
        if facts.version < OLDEST:
            self.close()
            text = f"PostgreSQL {facts.version // 10_000} is too old: 14 and newer can be watched"
            raise TroubleError(DatabaseCondition.NOT_MEASURABLE, text)
        return facts


def _good(answer: PGresult) -> PGresult:
    """The same, unless the server refused. Raises psycopg.Error."""
    if answer.status not in (ExecStatus.COMMAND_OK, ExecStatus.TUPLES_OK):
        raise error_from_result(answer)
    return answer
