"""The MySQL collector against a real MariaDB: statements as deltas, blockers named, troubles told apart."""

import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from collectors.mysql.collector import MySqlCollector
from collectors.record import Row
from tests.collectors.databases import approx, numbers, settings_of, states, texts
from tests.servers.mariadb import StartedMariaDb, mariadb, running_mariadb
from tests.servers.ports import free_port
from tests.servers.silent import How, running_silent_server
from warehouse.model import LockWait, QueryShape, QueryStat

__all__ = ["mariadb"]

CANARY = "canary-51ab"
GRANTS = (
    f"CREATE OR REPLACE USER watch IDENTIFIED BY '{CANARY}'",
    "GRANT PROCESS, REPLICA MONITOR, BINLOG MONITOR ON *.* TO watch",
    "GRANT SELECT ON performance_schema.* TO watch",
    "GRANT SELECT ON sys.* TO watch",
    "GRANT EXECUTE ON sys.* TO watch",
)
SHOP = (
    "CREATE OR REPLACE DATABASE shop",
    "CREATE TABLE shop.item (id INT PRIMARY KEY, name VARCHAR(40)) ENGINE=InnoDB",
    "INSERT INTO shop.item VALUES (1, 'a'), (2, 'b'), (3, 'c')",
)


@pytest.fixture
def collector(mariadb: StartedMariaDb, tmp_path: Path) -> Iterator[MySqlCollector]:
    mariadb.run(*GRANTS, *SHOP)
    made = MySqlCollector(settings_of("mysql", mariadb.url("watch", CANARY), tmp_path, deadline_s=60.0))
    made.collect()
    yield made
    made.close()


def stats(rows: Sequence[Row]) -> dict[str, QueryStat]:
    """Statistics of the database `shop` by the text of their shape."""
    known = {row.shape: row.query for row in rows if isinstance(row, QueryShape)}
    return {
        known.get(row.shape, row.shape): row
        for row in rows
        if isinstance(row, QueryStat) and row.database == "shop"
    }


def ask(server: StartedMariaDb, *statements: str) -> None:
    server.run(*statements, database="shop")


def test_statements_are_counted_to_the_call_and_free_of_literals(
    mariadb: StartedMariaDb, collector: MySqlCollector
) -> None:
    ask(mariadb, "SELECT name FROM item WHERE id = 1")
    collector.collect()
    listed = ["1", "1, 2", "1, 2, 3"]
    ask(
        mariadb,
        *[f"SELECT name FROM item WHERE id = {number % 3}" for number in range(7)],
        *[f"SELECT count(*) FROM item WHERE name IN ('{CANARY}', {ids})" for ids in listed],
        "UPDATE item SET name = 'planted@example.com' WHERE id = 2",
        "SELECT sleep(0.3)",
    )
    rows = collector.collect()
    found = stats(rows)
    by_calls = {text: stat.calls for text, stat in found.items()}
    point = next(stat for text, stat in found.items() if stat.calls == 7)
    assert point.rows == sum(number % 3 != 0 for number in range(7))
    assert [calls for text, calls in by_calls.items() if "IN (" in text] == [3]
    slept = next(stat for text, stat in found.items() if "sleep" in text.lower())
    assert (slept.calls, slept.max_us, slept.is_partial) == (1, slept.total_us, False)
    assert 300_000 <= slept.total_us < 3_000_000
    assert CANARY not in texts(rows)
    assert "planted@example.com" not in texts(rows)
    assert not any("performance_schema" in text for text in found)
    assert stats(collector.collect()) == {}


def test_a_truncated_digest_table_is_a_reset_and_never_negative(
    mariadb: StartedMariaDb, collector: MySqlCollector
) -> None:
    ask(mariadb, *["SELECT id FROM item WHERE id = 1"] * 9)
    collector.collect()
    mariadb.run("TRUNCATE TABLE performance_schema.events_statements_summary_by_digest")
    ask(mariadb, *["SELECT id FROM item WHERE id = 1"] * 4)
    rows = collector.collect()
    again = [stat for stat in stats(rows).values() if stat.calls == 4]
    assert [stat.is_partial for stat in again] == [True]
    assert numbers(rows)["statements_resets_total"] == 1
    assert numbers(collector.collect())["statements_resets_total"] == 0


def test_numbers_are_those_of_the_interval(mariadb: StartedMariaDb, collector: MySqlCollector) -> None:
    ask(mariadb, "BEGIN", "UPDATE item SET name = 'z' WHERE id = 1", "ROLLBACK")
    began = time.monotonic()
    held = [mariadb.connect() for _ in range(3)]
    rows = collector.collect()
    told = numbers(rows)
    for connection in held:
        connection.close()
    assert told["connections"] >= 4
    assert told["connections_used_ratio"] == approx(told["connections"] / told["connections_usable"])
    assert told["rollbacks_per_s"] > 0
    assert told["queries_per_s"] * (time.monotonic() - began + 60) > 3
    assert "cache_hit_ratio" not in told or 0 <= told["cache_hit_ratio"] <= 1
    assert told["longest_transaction_s"] == 0


def test_who_blocks_whom_is_named_within_one_sample(
    mariadb: StartedMariaDb, collector: MySqlCollector
) -> None:
    holder, waiter = mariadb.connect("shop"), mariadb.connect("shop")
    with holder.cursor() as cursor:
        cursor.execute("BEGIN")
        cursor.execute("UPDATE item SET name = 'held' WHERE id = 1")
        cursor.execute("SELECT connection_id()")
        (holder_pid,) = cursor.fetchone() or (0,)

    def wait() -> None:
        with waiter.cursor() as cursor:
            cursor.execute("UPDATE item SET name = 'waits' WHERE id = 1")

    thread = threading.Thread(target=wait)
    thread.start()
    time.sleep(0.7)
    rows = collector.collect()
    holder.rollback()
    thread.join(10)
    for connection in (holder, waiter):
        connection.close()
    (found,) = [row for row in rows if isinstance(row, LockWait)]
    assert (found.blocker_pid, found.blocker_user) == (holder_pid, "root")
    assert found.blocker_state == "idle in transaction"
    assert "item" in found.relation
    assert found.waited_us is not None
    assert found.waited_us > 100_000
    assert numbers(rows)["lock_waits"] == 1
    assert numbers(rows)["longest_transaction_s"] > 0.1


def test_what_a_mariadb_does_not_keep_says_so(mariadb: StartedMariaDb, tmp_path: Path) -> None:
    mariadb.run(*GRANTS, *SHOP)
    collector = MySqlCollector(settings_of("mysql", mariadb.url("watch", CANARY), tmp_path))
    rows = collector.collect()
    collector.close()
    told = states(rows)
    assert told["connection"] == "ok"
    assert told["statements"] in ("ok", "incomplete")
    assert told["histogram"] == "not_measurable"
    assert "MariaDB 10" in texts(rows)
    assert '"engine":"mariadb"' in texts(rows)


def test_a_user_without_grants_is_told_part_by_part(mariadb: StartedMariaDb, tmp_path: Path) -> None:
    mariadb.run("CREATE OR REPLACE USER blind IDENTIFIED BY 'pw'")
    collector = MySqlCollector(settings_of("mysql", mariadb.url("blind", "pw"), tmp_path))
    rows = collector.collect()
    collector.close()
    told = states(rows)
    assert told["connection"] == "ok"
    assert told["statements"] == "no_privilege"
    assert told["transactions"] == "no_privilege"
    assert numbers(rows)["connections"] >= 1


@pytest.mark.parametrize(
    ("address", "state"),
    [
        ("mysql://watch:wrong@127.0.0.1:{port}/", "wrong_password"),
        ("mysql://watch:{password}@127.0.0.1:{port}/nowhere", "no_database"),
        ("mysql://watch:{password}@127.0.0.1:{free}/", "down"),
        ("mysql://watch:{password}@127.0.0.1:{port}/?tls=1", "tls"),
        ("http://watch:{password}@127.0.0.1:{port}/", "error"),
        ("{password}", "error"),
    ],
)
def test_each_trouble_is_a_state_of_its_own(
    mariadb: StartedMariaDb, tmp_path: Path, address: str, state: str
) -> None:
    mariadb.run(*GRANTS, "GRANT SELECT ON *.* TO watch")
    url = address.format(port=mariadb.port, password=CANARY, free=free_port())
    collector = MySqlCollector(settings_of("mysql", url, tmp_path))
    rows = collector.collect()
    collector.close()
    assert states(rows) == {"connection": state}
    assert CANARY not in texts(rows)


@pytest.mark.parametrize(
    ("how", "state"), [("silent", "timeout"), ("dripping", "error"), ("garbage", "error")]
)
def test_it_ends_at_the_deadline_whatever_answers(tmp_path: Path, how: How, state: str) -> None:
    with running_silent_server(how) as port:
        settings = settings_of("mysql", f"mysql://a:b@127.0.0.1:{port}/", tmp_path, deadline_s=1.0)
        collector = MySqlCollector(settings)
        began = time.monotonic()
        rows = collector.collect()
        assert time.monotonic() - began < 1.0 + 4
        assert states(rows) == {"connection": state}
        collector.close()


def test_without_performance_schema_it_says_so_and_recovers_after_a_restart(tmp_path: Path) -> None:
    with running_mariadb(tmp_path, "--performance-schema=OFF", "--max-connections=10") as server:
        server.run(*GRANTS)
        collector = MySqlCollector(settings_of("mysql", server.url("watch", CANARY), tmp_path))
        assert states(collector.collect())["statements"] in ("not_loaded", "no_privilege")
        held = [server.connect() for _ in range(10)]
        collector.close()
        assert states(collector.collect())["connection"] == "full"
        for connection in held:
            connection.close()
        server.stop()
        assert states(collector.collect()) == {"connection": "down"}
        server.start()
        rows = collector.collect()
        assert states(rows)["connection"] == "ok"
        assert numbers(rows)["statistics_resets_total"] == 1
        assert "queries_per_s" not in numbers(rows)
        collector.close()
