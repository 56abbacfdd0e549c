"""The seeded database: what is in it, how it is found, and who may do what."""

import asyncio
import secrets
import stat
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, NamedTuple, TypeVar

import psycopg
import pytest

from demo import invoices
from demo.database import Database, Session
from demo.metrics import Metrics
from demo.model import NewInvoice
from demo.postgres import Cluster
from demo.schema import DATABASE, SEEDED_INVOICES, SEEDED_SUPPLIERS, Access, migrate, prepare, url_of
from tests.demo.running import running_cluster

T = TypeVar("T")


class Prepared(NamedTuple):
    """A server with the seeded database, and the connections to it."""

    cluster: Cluster
    invoices: Access


@pytest.fixture(scope="module")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prepared]:
    with running_cluster(tmp_path_factory.mktemp("schema")) as cluster:
        yield Prepared(cluster, prepare(cluster))


@pytest.fixture
def ask(postgres: Prepared) -> Iterator[Callable[..., list[tuple[Any, ...]]]]:
    """Ask the database as the application."""
    with psycopg.connect(postgres.invoices.app_url, autocommit=True) as connection:
        yield lambda statement, *values: connection.execute(statement, values).fetchall()


def in_session(url: str, work: Callable[[Session], Awaitable[T]]) -> T:
    """Do something in one session of the application's own pool."""

    async def run() -> T:
        database = Database(url, Metrics())
        await database.open()
        try:
            async with database.session() as session:
                return await work(session)
        finally:
            await database.close()

    return asyncio.run(run())


def superuser(postgres: Prepared) -> str:
    """The superuser's connection to the application's database."""
    return url_of(postgres.cluster.admin_url, database=DATABASE)


def plan(ask: Callable[..., list[tuple[Any, ...]]], statement: str) -> str:
    """How PostgreSQL answers a statement."""
    return "\n".join(row[0] for row in ask(f"EXPLAIN {statement}"))


def test_the_seed_is_whole_and_consistent(ask: Callable[..., list[tuple[Any, ...]]]) -> None:
    assert ask("SELECT count(*), min(id), max(id) FROM invoices") == [(SEEDED_INVOICES, 1, SEEDED_INVOICES)]
    assert ask("SELECT count(*), max(id) FROM suppliers") == [(SEEDED_SUPPLIERS, SEEDED_SUPPLIERS)]
    assert ask(
        "SELECT count(*) FROM invoices WHERE amount_cents IS DISTINCT FROM (SELECT sum(quantity *"
        " unit_price_cents) FROM invoice_lines WHERE invoice_id = id)"
    ) == [(0,)]
    assert {row[0] for row in ask("SELECT DISTINCT status FROM invoices")} == {
        *("received", "approved", "paid", "overdue", "rejected")
    }


def test_migrations_run_once(postgres: Prepared, ask: Callable[..., list[tuple[Any, ...]]]) -> None:
    before = ask("SELECT number, applied_at FROM migrations ORDER BY number")
    migrate(postgres.invoices.app_url)
    assert ask("SELECT number, applied_at FROM migrations ORDER BY number") == before
    assert ask("SELECT count(*) FROM invoices") == [(SEEDED_INVOICES,)]


def test_the_seed_is_made_by_a_handful_of_statements(postgres: Prepared) -> None:
    """Sets, not rows: that is what makes it take a second or two."""
    with psycopg.connect(superuser(postgres)) as admin:
        made = admin.execute(
            "SELECT sum(calls), sum(rows) FROM pg_stat_statements WHERE query ~ 'INSERT INTO (supp|invo)'"
        ).fetchone()
    assert made is not None
    assert made[0] == 3
    assert made[1] > SEEDED_INVOICES * 2


@pytest.mark.parametrize(
    ("statement", "index"),
    [
        ("SELECT * FROM invoices WHERE id = 77", "invoices_pkey"),
        ("SELECT * FROM invoices ORDER BY id DESC LIMIT 20", "invoices_pkey"),
        ("SELECT * FROM invoices WHERE status = 'failed' ORDER BY id DESC LIMIT 20", "invoices_by_status"),
        ("SELECT * FROM invoices WHERE supplier_id = 7 ORDER BY id DESC LIMIT 20", "invoices_by_supplier"),
        ("SELECT * FROM invoice_lines WHERE invoice_id = 77", "invoice_lines_pkey"),
    ],
)
def test_indexes_answer_the_usual_questions(
    ask: Callable[..., list[tuple[Any, ...]]], statement: str, index: str
) -> None:
    assert index in plan(ask, statement)


def test_the_roles_can_no_more_than_they_must(postgres: Prepared) -> None:
    access = postgres.invoices
    for url in (access.app_url, access.observer_url):
        with psycopg.connect(url) as connection:
            assert connection.execute("SELECT usesuper FROM pg_user WHERE usename = user").fetchone() == (
                False,
            )
    with psycopg.connect(access.observer_url) as observer:
        visible = observer.execute(
            "SELECT count(*) FROM pg_stat_statements WHERE query = '<insufficient privilege>'"
        ).fetchone()
        assert visible == (0,)
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            observer.execute("SELECT * FROM invoices")


def test_no_password_is_remembered_by_the_server(postgres: Prepared) -> None:
    files = [postgres.cluster.data_dir / name for name in ("admin.url", "app.url", "observer.url")]
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}
    with psycopg.connect(superuser(postgres)) as admin:
        kept = "\n".join(query for (query,) in admin.execute("SELECT query FROM pg_stat_statements"))
    log = postgres.cluster.log_file.read_text()
    for file in files:
        password = psycopg.conninfo.conninfo_to_dict(file.read_text().strip())["password"]
        assert password
        assert str(password) not in kept + log
    assert "SCRAM-SHA-256$" not in kept + log


def test_trimming_keeps_the_seed_and_the_newest(
    postgres: Prepared, ask: Callable[..., list[tuple[Any, ...]]]
) -> None:
    line = {"description": "Paper", "quantity": 1, "unit_price_cents": 5}
    invoice = {"number": "N", "lines": [line]}

    async def work(session: Session) -> tuple[list[int], int]:
        made = [
            await invoices.add_invoice(
                session,
                NewInvoice.model_validate({**invoice, "supplier": f"New {secrets.token_hex(4)}"}),
            )
            for _ in range(8)
        ]
        return made, await invoices.trim(session, newest_id=made[-1], keep=3)

    made, removed = in_session(postgres.invoices.app_url, work)
    assert removed == 5
    assert [row[0] for row in ask("SELECT id FROM invoices WHERE id > 20000 ORDER BY id")] == made[-3:]
    assert ask("SELECT count(*) FROM invoices WHERE id <= 20000") == [(SEEDED_INVOICES,)]
    assert ask("SELECT count(*) FROM invoice_lines WHERE invoice_id > 20000") == [(3,)]
    ask("UPDATE suppliers SET created_at = now() - interval '1 hour' RETURNING id")
    in_session(postgres.invoices.app_url, lambda session: invoices.trim(session, newest_id=made[-1], keep=3))
    assert ask("SELECT count(*) FROM suppliers") == [(SEEDED_SUPPLIERS + 3,)]
