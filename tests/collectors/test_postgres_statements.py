"""Query statistics of real servers: exact, through resets, restarts, evictions and failovers."""

import os
import signal
import time
from pathlib import Path

import psycopg
import pytest

from tests.collectors.conftest import CHOICES
from tests.collectors.watching import Watched, logged_ms, run, sums, watched
from tests.servers.postgres import StartedPostgres, running_postgres
from warehouse.model import QueryCategory, QueryShape, QueryStat

SLOW = "SELECT pg_sleep(0.5), 'planted'"


@pytest.fixture
def table(database: Watched) -> Watched:
    """A watched database with a table of a thousand rows."""
    with database.connect() as admin:
        admin.execute("CREATE TABLE item (id int PRIMARY KEY, name text)")
        admin.execute("INSERT INTO item SELECT g, 'name ' || g FROM generate_series(1, 1000) AS g")
    return database


def test_a_planted_slow_query_is_told_exactly(table: Watched) -> None:
    table.collect()
    with table.connect() as application:
        application.execute("SET log_min_duration_statement = 0")
        before = table.server.cluster.log_file.stat().st_size
        run(application, SLOW, 3)
        run(application, "SELECT name FROM item WHERE id = %s", 40, [7])
    table.collect()
    stat = max(
        (row for row in table.told(QueryStat) if row.database == table.database), key=lambda row: row.total_us
    )
    truth = logged_ms(table.server, "planted", before)
    assert table.queries()[stat.shape] == "SELECT pg_sleep(?), ?"
    assert stat.calls == len(truth) == 3
    assert stat.total_us == pytest.approx(sum(truth) * 1000, rel=0.01)
    assert stat.squares_us2 == pytest.approx(sum(ms * ms for ms in truth) * 1e6, rel=0.02)
    assert stat.max_us == pytest.approx(max(truth) * 1000, rel=0.01)
    assert stat.min_us == pytest.approx(min(truth) * 1000, rel=0.01)
    assert not stat.is_partial
    assert table.calls(r"FROM item WHERE id = \?") == 40
    table.collect()
    assert (
        sum(row.calls for row in table.newest if isinstance(row, QueryStat) and row.shape == stat.shape) == 0
    )


def test_in_lists_of_any_length_are_one_shape(table: Watched) -> None:
    table.collect()
    with table.connect() as application:
        for length in range(1, 21):
            numbers = ", ".join(str(number) for number in range(length))
            application.execute(f"SELECT name FROM item WHERE id IN ({numbers})")
            application.execute(
                f"INSERT INTO item VALUES {', '.join(['(0, NULL)'] * length)} ON CONFLICT DO NOTHING"
            )
    table.collect()
    assert len(sums(table.stats("IN "))) == 1
    assert table.calls("IN ") == 20
    assert len(sums(table.stats("INSERT"))) == 1
    assert table.calls("INSERT") == 20


def test_categories(table: Watched) -> None:
    table.collect()
    with table.connect() as application, application.transaction():
        application.execute("UPDATE item SET name = 'x' WHERE id = 1")
        application.execute("CREATE TABLE other (id int)")
        application.execute("SELECT count(*) FROM item")
    table.collect()
    categories = {row.query.split()[0]: row.category for row in table.told(QueryShape)}
    assert categories["UPDATE"] is QueryCategory.WRITE
    assert categories["CREATE"] is QueryCategory.DDL
    assert categories["SELECT"] is QueryCategory.READ
    assert categories["COMMIT"] is QueryCategory.TRANSACTION


def test_a_reset_in_mid_interval_is_marked_and_never_negative_or_huge(table: Watched) -> None:
    with table.connect() as application:
        run(application, "SELECT name FROM item WHERE id = %s", 30, [7])
        table.collect()
        run(application, "SELECT name FROM item WHERE id = %s", 5, [7])
        table.collect()
        run(application, "SELECT name FROM item WHERE id = %s", 10, [7])
        application.execute("SELECT pg_stat_statements_reset()")
        run(application, "SELECT name FROM item WHERE id = %s", 300, [7])  # more than there were before
        table.collect()
        marked = table.stats("FROM item")[-1]
        run(application, "SELECT name FROM item WHERE id = %s", 2, [7])
        table.collect()
    assert (marked.calls, marked.is_partial) == (300, True)
    assert sum(row.calls for row in table.stats("FROM item")) == 5 + 300 + 2
    assert not table.stats("FROM item")[-1].is_partial
    assert sum(row.value or 0 for row in table.samples("statements_resets_total")) == 1


def test_the_reset_of_one_query_is_marked(table: Watched) -> None:
    table.collect()
    with table.connect() as application:
        run(application, "SELECT name FROM item WHERE id = %s", 30, [7])
        table.collect()
        application.execute(
            "SELECT pg_stat_statements_reset(userid, dbid, queryid) FROM pg_stat_statements "
            "WHERE query LIKE 'SELECT name FROM item%'"
        )
        run(application, "SELECT name FROM item WHERE id = %s", 4, [7])
        table.collect()
    assert [row.calls for row in table.stats("FROM item WHERE")] == [30, 4]
    assert table.stats("FROM item WHERE")[-1].is_partial


@pytest.mark.parametrize("choice", CHOICES)
def test_a_restart_loses_an_interval_and_invents_nothing(
    choice: str, tmp_path_factory: pytest.TempPathFactory, tmp_path: Path
) -> None:
    with (
        running_postgres(tmp_path_factory.mktemp("own"), choice) as server,
        watched(server, tmp_path) as found,
    ):
        _restart(found)


def _restart(table: Watched) -> None:
    with table.connect() as admin:
        admin.execute("CREATE TABLE item (id int PRIMARY KEY, name text)")
    with table.connect() as application:
        run(application, "SELECT name FROM item WHERE id = %s", 30, [7])
    table.collect()
    with table.connect() as application:
        run(application, "SELECT name FROM item WHERE id = %s", 7, [7])
    table.collect()
    table.server.cluster.start()
    with table.connect() as application:
        run(application, "SELECT name FROM item WHERE id = %s", 3, [7])
    table.collect()
    with table.connect() as application:
        run(application, "SELECT name FROM item WHERE id = %s", 2, [7])
    table.collect()
    assert table.state("connection") == "ok"
    assert [row.calls for row in table.stats("FROM item WHERE")] == [7, 2]


def test_a_crash_of_the_server_is_a_reset(table: Watched) -> None:
    with table.connect() as application:
        run(application, "SELECT name FROM item WHERE id = %s", 30, [7])
    table.collect()
    application = table.connect()
    run(application, "SELECT name FROM item WHERE id = %s", 5, [7])
    os.kill(application.info.backend_pid, signal.SIGKILL)
    with pytest.raises(psycopg.OperationalError):
        application.execute("SELECT 1")
    application.close()
    deadline = time.monotonic() + 20
    while True:
        try:
            with table.connect() as application:
                run(application, "SELECT name FROM item WHERE id = %s", 40, [7])
            break
        except psycopg.OperationalError:
            assert time.monotonic() < deadline
            time.sleep(0.2)
    table.collect_until(lambda: table.stats("FROM item WHERE"))
    assert [(row.calls, row.is_partial) for row in table.stats("FROM item WHERE")] == [(40, True)]


def test_another_server_at_the_same_address_is_no_growth(
    table: Watched, tmp_path_factory: pytest.TempPathFactory, tmp_path: Path
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    with (
        running_postgres(tmp_path_factory.mktemp("other"), "debian") as other,
        watched(other, elsewhere) as standby,
    ):
        with standby.connect() as application:
            run(application, "SELECT 1 FROM pg_class WHERE relname = %s", 500, ["x"])
        with table.connect() as application:
            run(application, "SELECT 1 FROM pg_class WHERE relname = %s", 20, ["x"])
            table.collect()
            table.point_at(standby.watcher_url)
            application.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'watcher'"
            )
        table.collect()
        table.collect()
        assert not table.told(QueryStat)
        with standby.connect() as application:
            run(application, "SELECT 1 FROM pg_class WHERE relname = %s", 3, ["x"])
        table.collect()
        assert [row.calls for row in table.told(QueryStat) if row.database == standby.database] == [3]


def test_a_lost_connection_loses_nothing(table: Watched) -> None:
    table.collect()
    with table.connect() as application:
        run(application, "SELECT name FROM item WHERE id = %s", 9, [7])
        application.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'watcher'"
        )
    table.collect()
    assert table.state("connection") == "ok"
    assert table.calls("FROM item WHERE") == 9


def test_evictions_are_told_and_nothing_is_counted_twice(
    tmp_path_factory: pytest.TempPathFactory, tmp_path: Path
) -> None:
    settings = {"pg_stat_statements.max": "100"}
    with (
        running_postgres(tmp_path_factory.mktemp("small"), "debian", **settings) as server,
        watched(server, tmp_path) as found,
        found.connect() as application,
    ):
        application.execute("CREATE TABLE item (id int, name text)")
        found.collect()
        executed = 0
        for round_ in range(4):
            for number in range(150):
                application.execute(f"SELECT id{', id' * (150 * round_ + number)} FROM item")
                executed += 1
            run(application, "SELECT name FROM item", 10)
            found.collect()
        assert sum(row.value or 0 for row in found.samples("statements_evictions_total")) > 0
        assert found.state("statements") == "incomplete"
        assert 0 < found.calls("SELECT id") <= executed
        assert found.calls("SELECT name") <= 40
        assert any(row.is_partial for row in found.stats("SELECT id"))


def test_own_and_excluded_roles_are_left_out(database_server: StartedPostgres, tmp_path: Path) -> None:
    with watched(database_server, tmp_path, exclude_users=("backup",)) as found:
        with found.connect() as admin:
            admin.execute("DROP ROLE IF EXISTS backup")
            admin.execute("CREATE ROLE backup")
            found.collect()
            admin.execute("SET ROLE backup")
            run(admin, "SELECT 'backup', 1", 5)
            admin.execute("RESET ROLE")
            admin.execute("SET SESSION AUTHORIZATION backup")
            run(admin, "SELECT 'backup', 1, 2", 5)
            admin.execute("RESET SESSION AUTHORIZATION")
            run(admin, "SELECT 'not backup', 1, 2, 3", 5)
        found.collect()
        found.collect()
        assert found.calls(r"SELECT \?, \?, \?, \?") == 5
        assert not found.stats(r"^SELECT \?, \?$")
        assert not found.stats(r"^SELECT \?, \?, \?$")
        assert not found.stats("pg_stat|set_config|pg_database")
