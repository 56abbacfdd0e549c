"""The server that other tests use shows their statements."""

import psycopg

from tests.servers.postgres import StartedPostgres


def test_each_database_is_its_own_and_its_statements_are_seen(started_postgres: StartedPostgres) -> None:
    first, second = (started_postgres.make_database(name) for name in ("first_seen", "second_seen"))
    with psycopg.connect(first, autocommit=True) as connection:
        connection.execute("CREATE TABLE only_here (id integer)")
        connection.execute("SELECT count(*) FROM only_here")
        calls = connection.execute(
            "SELECT calls FROM pg_stat_statements WHERE query = 'SELECT count(*) FROM only_here'"
        ).fetchall()
    assert calls == [(1,)]
    with psycopg.connect(second) as connection:
        assert connection.execute("SELECT to_regclass('only_here')").fetchone() == (None,)
