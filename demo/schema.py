"""Prepares the database: roles, extension, numbered migrations and the seed."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
from psycopg import sql

from demo.postgres import Cluster
from demo.private import write_private

MIGRATIONS = Path(__file__).with_name("migrations")
DATABASE = "invoices"
APP_ROLE = "invoice_app"
OBSERVER_ROLE = "observer"
SEEDED_INVOICES = 20_000
SEEDED_SUPPLIERS = 200

RECORD_TABLE = """
CREATE TABLE IF NOT EXISTS migrations (
    number     integer PRIMARY KEY,
    name       text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
)
"""

FAIL_UNFINISHED = """
WITH failed AS (
    UPDATE processings
    SET state = 'failed', finished_at = now(), error = 'the service was restarted before it was processed'
    WHERE state IN ('queued', 'processing')
    RETURNING invoice_id
)
UPDATE invoices SET status = 'failed' FROM failed WHERE id = failed.invoice_id
"""


@dataclass(frozen=True)
class Access:
    """How the application and whoever watches it connect; each URL holds a password."""

    app_url: str
    observer_url: str


def prepare(cluster: Cluster) -> Access:
    """Make the started cluster ready for the application; safe to repeat while no application runs.

    The URLs are written next to the cluster's own as app.url and observer.url, mode 0600. The observer
    is a role with pg_monitor for monitoring programs.
    """
    with psycopg.connect(cluster.admin_url, autocommit=True, sslmode="disable") as admin:
        # Statements about roles keep their literals: keep them out of what observers can read.
        admin.execute("SET pg_stat_statements.track = 'none'")
        access = Access(
            _renew_role(cluster, admin, APP_ROLE, "app.url"),
            _renew_role(cluster, admin, OBSERVER_ROLE, "observer.url"),
        )
        admin.execute(sql.SQL("GRANT pg_monitor TO {}").format(sql.Identifier(OBSERVER_ROLE)))
        _make_database(admin)
    with psycopg.connect(url_of(cluster.admin_url, database=DATABASE), sslmode="disable") as admin:
        admin.execute("CREATE EXTENSION IF NOT EXISTS pg_stat_statements")
    migrate(access.app_url)
    with psycopg.connect(access.app_url, sslmode="disable") as app:
        app.execute(FAIL_UNFINISHED)
    return access


def url_of(url: str, *, database: str) -> str:
    """The same connection to another database."""
    return urlsplit(url)._replace(path=f"/{database}").geturl()


def migrate(url: str) -> None:
    """Apply what is missing, each migration in a transaction of its own, and gather statistics."""
    with psycopg.connect(url, autocommit=True, sslmode="disable") as connection:
        connection.execute(RECORD_TABLE)
        applied = {number for (number,) in connection.execute("SELECT number FROM migrations")}
        pending = [file for file in sorted(MIGRATIONS.glob("*.sql")) if _number(file) not in applied]
        for file in pending:
            with connection.transaction():
                connection.execute(file.read_bytes())
                connection.execute(
                    "INSERT INTO migrations (number, name) VALUES (%s, %s)", (_number(file), file.stem)
                )
        if pending:
            for table in ("suppliers", "invoices", "invoice_lines"):
                connection.execute(sql.SQL("VACUUM (ANALYZE) {}").format(sql.Identifier(table)))


def _number(file: Path) -> int:
    return int(file.name.partition("_")[0])


def _renew_role(cluster: Cluster, admin: psycopg.Connection, role: str, file: str) -> str:
    """Give the role a new random password, making it where it is missing; its connection URL."""
    password = secrets.token_urlsafe(24)
    verifier = admin.pgconn.encrypt_password(password.encode(), role.encode(), b"scram-sha-256").decode()
    known = admin.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", (role,)).fetchone()
    verb = "ALTER" if known else "CREATE"
    admin.execute(
        sql.SQL("{} ROLE {} LOGIN PASSWORD {}").format(
            sql.SQL(verb), sql.Identifier(role), sql.Literal(verifier)
        )
    )
    url = f"postgresql://{role}:{password}@{cluster.address}/{DATABASE}"
    write_private(cluster.data_dir / file, url)
    return url


def _make_database(admin: psycopg.Connection) -> None:
    known = admin.execute("SELECT 1 FROM pg_database WHERE datname = %s", (DATABASE,)).fetchone()
    if known is None:
        admin.execute(
            sql.SQL("CREATE DATABASE {} OWNER {}").format(sql.Identifier(DATABASE), sql.Identifier(APP_ROLE))
        )
