"""Everything that can be wrong with a PostgreSQL is a state of its own, in words free of secrets."""

import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from tests.collectors.watching import Watched, run, watched
from tests.servers.postgres import StartedPostgres, running_postgres
from warehouse.model import DatabaseState, QueryStat, Sample

ROLE = "SECRET0ROLE"
PASSWORD = "hunter2-canary"


@pytest.fixture
def silent() -> Iterator[int]:
    """A port that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


@pytest.fixture
def own(tmp_path_factory: pytest.TempPathFactory, tmp_path: Path) -> Iterator[Watched]:
    """A watched database on a server that the test may stop."""
    with (
        running_postgres(tmp_path_factory.mktemp("own"), "debian") as server,
        watched(server, tmp_path, deadline_s=2.0) as found,
    ):
        yield found


def test_a_healthy_server_is_ok_in_every_part(database: Watched) -> None:
    database.watch(tables=5, sample_activity_ms=50)
    database.collect()
    assert {part: row.state for part, row in database.states().items()} == {
        "connection": "ok",
        "statements": "ok",
        "activity": "ok",
        "tables": "ok",
    }
    database.collect()
    assert not [row for row in database.newest if isinstance(row, DatabaseState)]


def test_a_wrong_password(database: Watched) -> None:
    database.point_at(database.watcher_url.replace(database.password, PASSWORD))
    database.collect()
    assert database.state("connection") == "wrong_password"
    assert_no_secret(database, PASSWORD)


def test_an_unknown_role(database: Watched) -> None:
    database.point_at(database.watcher_url.replace("watcher", ROLE))
    database.collect()
    assert database.state("connection") == "wrong_password"


def test_an_unknown_database(database: Watched) -> None:
    database.point_at(database.watcher_url.replace(database.database, "nosuch"))
    database.collect()
    assert database.state("connection") == "no_database"
    assert_no_secret(database, database.password)


def test_nothing_listens(database: Watched) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    database.point_at(f"postgresql://watcher:{PASSWORD}@127.0.0.1:{port}/shop")
    database.collect()
    assert database.state("connection") == "down"
    assert_no_secret(database, PASSWORD)


def test_a_host_without_address(database: Watched) -> None:
    database.point_at(f"postgresql://watcher:{PASSWORD}@nosuch.invalid/shop")
    database.collect()
    assert database.state("connection") == "down"
    assert_no_secret(database, PASSWORD)


def test_encryption_that_the_server_does_not_have(database: Watched) -> None:
    database.point_at(f"{database.watcher_url}?sslmode=require")
    database.collect()
    assert database.state("connection") == "tls"


@pytest.mark.parametrize(
    "address",
    [
        f"postgresql://watcher:{PASSWORD}@127.0.0.1:99x/shop",
        f"postgresql://watcher:{PASSWORD}%ZZ@host/shop",
        f"mysql://watcher:{PASSWORD}@host/shop",
        PASSWORD,
        f"postgresql://host/shop?nonsense={PASSWORD}",
    ],
)
def test_an_address_that_is_none(database: Watched, address: str) -> None:
    database.point_at(address)
    database.collect()
    assert database.state("connection") == "error"
    assert_no_secret(database, PASSWORD)


def test_an_address_that_is_not_there(database: Watched, tmp_path: Path) -> None:
    (tmp_path / "observer.url").unlink()
    database.collect()
    assert database.state("connection") == "error"
    assert "observer.url" in database.states()["connection"].text


def test_a_server_that_never_answers_ends_within_the_deadline(database: Watched, silent: int) -> None:
    database.watch(deadline_s=1.0)
    database.point_at(f"postgresql://watcher:{PASSWORD}@127.0.0.1:{silent}/shop")
    began = time.monotonic()
    database.collect()
    assert database.state("connection") == "timeout"
    assert time.monotonic() - began < 2.5


def test_a_server_that_stops_answering_is_told_in_time_and_taken_up_again(own: Watched) -> None:
    own.collect()
    with own.connect() as application:
        run(application, "SELECT 1, 2, 3", 6)
    pids = own.pids_of("watcher")
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        began = time.monotonic()
        own.collect()
        assert own.state("connection") == "timeout"
        assert time.monotonic() - began < 4
        while any(thread.name == "postgres" for thread in threading.enumerate()):
            assert time.monotonic() - began < 20  # nobody waits for an answer that never comes
            time.sleep(0.05)
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)
    own.collect_until(lambda: own.state("connection") == "ok")
    own.collect_until(lambda: own.calls(r"SELECT \?, \?, \?") == 6)


def test_a_server_that_is_stopped_is_down_then_up_again(own: Watched) -> None:
    own.collect()
    own.server.cluster.stop()
    own.collect()
    assert own.state("connection") == "down"
    own.server.cluster.start()
    own.collect_until(lambda: own.state("connection") == "ok")
    assert own.collector is not None


def test_a_server_that_is_stopping(own: Watched) -> None:
    own.collect()
    with own.connect() as application:
        pid, watcher = own.server.cluster.pid, own.pids_of("watcher")[0]
        assert pid is not None
        os.kill(pid, signal.SIGTERM)  # it waits for the sessions that are open
        os.kill(watcher, signal.SIGTERM)
        own.collect_until(lambda: own.state("connection") == "starting")
        application.execute("SELECT 1")


def test_a_server_without_a_free_connection_is_full(own: Watched) -> None:
    with own.connect() as admin:
        admin.execute("ALTER ROLE watcher CONNECTION LIMIT 0")
    own.collect()
    assert own.state("connection") == "full"


def test_a_role_without_privilege_is_no_lack_of_data(database: Watched) -> None:
    with database.connect() as admin:
        admin.execute("REVOKE pg_monitor FROM watcher")
        try:
            database.collect()
            run(admin, "SELECT 1, 2, 3", 3)
            database.collect()
            assert database.state("connection") == "ok"
            assert database.state("statements") == "no_privilege"
            assert database.state("activity") == "no_privilege"
            assert not database.told(QueryStat)
            assert database.value("connections") is None
        finally:
            admin.execute("GRANT pg_monitor TO watcher")
        database.collect()
        assert database.state("statements") == "ok"


def test_a_missing_extension_is_named_and_its_coming_is_seen(database: Watched) -> None:
    with database.connect() as admin:
        admin.execute("DROP EXTENSION pg_stat_statements")
        database.collect()
        assert database.state("connection") == "ok"
        assert database.state("statements") == "missing_extension"
        assert database.database in database.states()["statements"].text
        assert database.value("connections") is not None
        admin.execute('CREATE SCHEMA "odd \' name"')
        admin.execute('CREATE EXTENSION pg_stat_statements SCHEMA "odd \' name"')
        database.collect()
        assert database.state("statements") == "no_privilege"
        assert "USAGE" in database.states()["statements"].text
        admin.execute('GRANT USAGE ON SCHEMA "odd \' name" TO watcher')
        database.collect()
        assert database.state("statements") == "ok"
        run(admin, "SELECT 1, 2, 3", 3)
        database.collect()
        assert database.calls(r"SELECT \?, \?, \?") == 3


@pytest.mark.parametrize("has_extension", [True, False])
def test_a_library_that_is_not_loaded(
    tmp_path_factory: pytest.TempPathFactory, tmp_path: Path, *, has_extension: bool
) -> None:
    with (
        running_postgres(tmp_path_factory.mktemp("bare"), "debian", shared_preload_libraries="") as server,
        watched(server, tmp_path) as found,
    ):
        if not has_extension:
            with found.connect() as admin:
                admin.execute("DROP EXTENSION pg_stat_statements")
        found.collect()
        assert found.state("connection") == "ok"
        assert found.state("statements") == "not_loaded"


def test_an_old_extension_on_a_new_server(database: Watched) -> None:
    with database.connect() as admin:
        admin.execute("DROP EXTENSION pg_stat_statements")
        admin.execute("CREATE EXTENSION pg_stat_statements VERSION '1.8'")
        database.collect()
        run(admin, "SELECT 1, 2, 3", 3)
        database.collect()
    assert database.state("statements") == "ok"
    assert database.calls(r"SELECT \?, \?, \?") == 3


def test_failures_are_followed_by_longer_and_longer_pauses(database: Watched) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        tries = 0

        def refuse() -> None:
            nonlocal tries
            while True:
                try:
                    taken, _ = listener.accept()
                except OSError:
                    return
                tries += 1
                taken.close()

        threading.Thread(target=refuse, daemon=True).start()
        port = listener.getsockname()[1]
        database.point_at(f"postgresql://watcher@127.0.0.1:{port}/shop?sslmode=disable")
        for _ in range(20):
            database.collect()
        listener.shutdown(socket.SHUT_RDWR)
    assert tries == 1
    assert database.state("connection") == "down"


def test_an_abandoned_sample_is_not_started_twice(database: Watched, silent: int) -> None:
    database.watch(deadline_s=0.2)
    database.point_at(f"postgresql://watcher@127.0.0.1:{silent}/shop")
    before = threading.active_count()
    for _ in range(5):
        database.collect()
    assert threading.active_count() <= before + 1
    assert database.state("connection") == "timeout"


def test_the_session_may_change_nothing(database_server: StartedPostgres, database: Watched) -> None:
    database.collect()
    with database.connect() as admin:
        sessions = admin.execute(
            "SELECT application_name FROM pg_stat_activity WHERE usename = 'watcher'"
        ).fetchall()
    assert sessions == [("perfhouse",)]
    session = database.collector._watch._session
    with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
        session.query("CREATE TABLE x (id int)")
    assert session.query("SHOW statement_timeout") == [("4s",)]


def assert_no_secret(database: Watched, secret: str) -> None:
    assert database.rows
    assert not any(secret in row.model_dump_json() for row in database.rows)
    assert not [row for row in database.rows if isinstance(row, Sample)]
