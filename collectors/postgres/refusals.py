"""What PostgreSQL and libpq say of what went wrong, as a condition and words free of secrets."""

from __future__ import annotations

import re
from collections.abc import Mapping

import psycopg
from psycopg import errors

from collectors.trouble import TroubleError
from warehouse.model import DatabaseCondition

Condition = DatabaseCondition
NO_ADDRESS = "its address is not one of PostgreSQL, as postgresql://role:password@host/database"

_REFUSALS: tuple[tuple[str, DatabaseCondition, str], ...] = (
    (r"database .* does not exist", Condition.NO_DATABASE, "the server has no database of that name"),
    (r"permission denied for database", Condition.NO_PRIVILEGE, "the role may not connect to the database"),
    (
        r"too many (clients|connections)|remaining connection slots",
        Condition.FULL,
        "the server has no connection left for this role",
    ),
    (
        r"starting up|shutting down|recovery mode|not (yet )?accepting connections|hot standby",
        Condition.STARTING,
        "the server is starting, stopping or recovering",
    ),
    (
        r"no pg_hba\.conf entry|pg_hba\.conf rejects",
        Condition.WRONG_PASSWORD,
        "the server's pg_hba.conf does not let this role in from here",
    ),
    (
        r"authentication (failed|method)|no password supplied|not permitted to log in|role .* does not exist",
        Condition.WRONG_PASSWORD,
        "the server refuses the role or its password",
    ),
    (
        r"\bSSL\b|\bTLS\b|certificate|sslmode",
        Condition.TLS,
        "no encrypted connection as the address's sslmode asks for",
    ),
    (r"invalid (port|integer)", Condition.ERROR, NO_ADDRESS),
    (r"timeout expired|timed out", Condition.TIMEOUT, "no connection within the deadline"),
    (r"resolve host|translate host name", Condition.DOWN, "the host's name cannot be resolved"),
    (r"Connection refused", Condition.DOWN, "nothing listens at the address"),
    (
        r"unreachable|No route|No such file|closed the connection|reset by peer|Broken pipe",
        Condition.DOWN,
        "the server cannot be reached",
    ),
)
"""libpq tells no code of a refused connection; these are its and the server's words, in English."""

_STATES: Mapping[type[psycopg.Error], tuple[DatabaseCondition, str]] = {
    errors.QueryCanceled: (Condition.TIMEOUT, "the server did not answer within the deadline"),
    errors.LockNotAvailable: (Condition.TIMEOUT, "something that is read is locked"),
    errors.InsufficientPrivilege: (Condition.NO_PRIVILEGE, "the role may not read it: grant it pg_monitor"),
    errors.AdminShutdown: (Condition.STARTING, "the server is stopping"),
    errors.CrashShutdown: (Condition.STARTING, "the server is recovering from a crash"),
    errors.CannotConnectNow: (Condition.STARTING, "the server is starting, stopping or recovering"),
    errors.TooManyConnections: (Condition.FULL, "the server has no connection left for this role"),
    errors.ObjectNotInPrerequisiteState: (
        Condition.NOT_LOADED,
        "pg_stat_statements is not in the server's shared_preload_libraries",
    ),
}


def refused(error: psycopg.Error) -> TroubleError:
    """Why a connection could not be had."""
    said = str(error)
    if isinstance(error, errors.ConnectionTimeout):
        return TroubleError(Condition.TIMEOUT, "no connection within the deadline")
    if isinstance(error, psycopg.ProgrammingError):
        return TroubleError(Condition.ERROR, NO_ADDRESS)
    for words, condition, text in _REFUSALS:
        if re.search(words, said, re.IGNORECASE):
            return TroubleError(condition, text)
    return TroubleError(Condition.ERROR, "the server refuses the connection for a reason it does not name")


def failed(error: psycopg.Error) -> TroubleError:
    """Why a query failed on a connection that was there."""
    for kind, (condition, text) in _STATES.items():
        if isinstance(error, kind):
            return TroubleError(condition, text)
    if error.sqlstate is None:
        return TroubleError(Condition.DOWN, "the connection broke")
    return TroubleError(Condition.ERROR, f"the server refuses to tell (SQLSTATE {error.sqlstate})")
