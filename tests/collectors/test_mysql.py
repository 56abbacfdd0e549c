"""The MySQL collector against a real MariaDB: numbers, blockers named, troubles told apart."""

import signal
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import pymysql
import pytest
import trustme
from pymysql.connections import Connection

from collectors.mysql.collector import MySqlCollector
from collectors.record import Row
from tests.collectors.databases import approx, numbers, settings_of, states, texts, unmeasured
from tests.collectors.shop import CANARY, GRANTS, SHOP, watch
from tests.servers.mariadb import StartedMariaDb, running_mariadb
from tests.servers.ports import free_port
from warehouse.model import LockWait, QueryShape

WAIT_S = 10
CACHED_S = 0.3
"""InnoDB tells what it knew of transactions before, to who asks more often than each 0.1 s."""


@pytest.fixture
def collector(mariadb: StartedMariaDb, tmp_path: Path) -> Iterator[MySqlCollector]:
    made = watch(mariadb, tmp_path)
    yield made
    made.close()


def ask(connection: "Connection[pymysql.cursors.Cursor]", *statements: str) -> None:
    with connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)


def in_thread(connection: "Connection[pymysql.cursors.Cursor]", statement: str) -> threading.Thread:
    """Run a statement that has to wait."""

    def run() -> None:
        with suppress(pymysql.MySQLError):  # it may be the one that is chosen to end a deadlock
            ask(connection, statement)

    thread = threading.Thread(target=run)
    thread.start()
    return thread


def collect_waits(collector: MySqlCollector) -> tuple[Sequence[Row], list[LockWait]]:
    """Look until somebody waits: what was told until then, and the waits."""
    until = time.monotonic() + WAIT_S
    rows: list[Row] = []
    while time.monotonic() < until:
        rows += collector.collect()
        waits = [row for row in rows if isinstance(row, LockWait)]
        if waits:
            return rows, waits
        time.sleep(CACHED_S)
    raise AssertionError("nobody waits")


def test_queries_and_transactions_are_counted_to_the_last_without_our_own(
    mariadb: StartedMariaDb, collector: MySqlCollector
) -> None:
    with mariadb.connect("shop") as client:
        collector.collect()
        began = time.monotonic()
        ask(client, *["SELECT 1"] * 100, "BEGIN", "ROLLBACK", *["BEGIN", "COMMIT"] * 3)
        told = numbers(collector.collect())
        most_s = time.monotonic() - began
        seconds = 108 / told["queries_per_s"]
        assert 0 < seconds <= most_s + 1
        assert told["transactions_per_s"] * seconds == approx(4)
        assert told["rollbacks_per_s"] * seconds == approx(1)
        quiet = [numbers(collector.collect()) for _ in range(3)]
    assert [each["queries_per_s"] for each in quiet] == [0, 0, 0]
    assert [each["temp_disk_tables_total"] for each in quiet] == [0, 0, 0]
    assert all("cache_hit_ratio" not in each or 0 <= each["cache_hit_ratio"] <= 1 for each in quiet)


def test_connections_and_sizes_are_what_the_server_has(
    mariadb: StartedMariaDb, tmp_path: Path, collector: MySqlCollector
) -> None:
    before = numbers(collector.collect())
    held = [mariadb.connect() for _ in range(3)]
    told = numbers(collector.collect())
    assert told["connections"] == before["connections"] + 3
    assert told["connections_used_ratio"] == approx(told["connections"] / told["connections_usable"])
    for connection in held:
        connection.close()
    fresh = MySqlCollector(settings_of("mysql", mariadb.url("watch", CANARY), tmp_path, deadline_s=10.0))
    assert numbers(fresh.collect(), "shop")["database_bytes"] == mariadb.file_bytes("shop") > 0
    fresh.close()


def test_who_blocks_whom_is_named_within_one_sample(
    mariadb: StartedMariaDb, collector: MySqlCollector
) -> None:
    with mariadb.connect("shop") as holder, mariadb.connect("shop") as waiter:
        ask(holder, "BEGIN", f"UPDATE item SET name = '{CANARY}' WHERE id = 1")
        thread = in_thread(waiter, f"UPDATE item SET name = '{CANARY}' WHERE id = 1")
        rows, (found,) = collect_waits(collector)
        holder.rollback()
        thread.join(WAIT_S)
        assert (found.blocker_pid, found.waiter_pid) == (holder.thread_id(), waiter.thread_id())
    assert (found.blocker_user, found.waiter_user, found.database) == ("root", "root", "shop")
    assert found.blocker_state == "idle in transaction"
    assert "item" in found.relation
    assert found.waited_us is not None
    assert found.blocker_transaction_us is not None
    assert found.blocker_transaction_us >= found.waited_us
    shapes = {row.shape: row.query for row in rows if isinstance(row, QueryShape)}
    assert found.blocker_shape is not None
    assert shapes[found.blocker_shape].startswith("UPDATE")
    assert CANARY not in texts(rows)
    assert numbers(rows)["lock_waits"] == 1
    assert numbers(rows)["longest_transaction_s"] > 0
    time.sleep(CACHED_S)
    assert numbers(collector.collect())["longest_transaction_s"] == 0


def test_deadlocks_are_counted(mariadb: StartedMariaDb, collector: MySqlCollector) -> None:
    collector.collect()
    with mariadb.connect("shop") as one, mariadb.connect("shop") as other:
        ask(one, "BEGIN", "UPDATE item SET name = 'x' WHERE id = 1")
        ask(other, "BEGIN", "UPDATE item SET name = 'x' WHERE id = 2")
        thread = in_thread(one, "UPDATE item SET name = 'x' WHERE id = 2")
        _, waits = collect_waits(collector)
        assert len(waits) == 1
        also = in_thread(other, "UPDATE item SET name = 'x' WHERE id = 1")
        thread.join(WAIT_S)
        also.join(WAIT_S)
    assert numbers(collector.collect())["deadlocks_total"] == 1
    assert numbers(collector.collect())["deadlocks_total"] == 0


def test_flushed_status_gives_no_number(mariadb: StartedMariaDb, collector: MySqlCollector) -> None:
    collector.collect()
    mariadb.run("FLUSH STATUS")
    told = numbers(collector.collect())
    assert told["statistics_resets_total"] == 1
    assert not {"queries_per_s", "cache_hit_ratio", "deadlocks_total"} & set(told)
    assert numbers(collector.collect())["queries_per_s"] == 0


def test_what_a_mariadb_does_not_keep_says_so(mariadb: StartedMariaDb, tmp_path: Path) -> None:
    mariadb.run(*GRANTS, *SHOP)
    collector = MySqlCollector(settings_of("mysql", mariadb.url("watch", CANARY), tmp_path))
    rows = collector.collect()
    collector.close()
    ok = dict.fromkeys(("connection", "statements", "locks", "transactions", "sizes"), "ok")
    assert states(rows) == {**ok, "histogram": "not_measurable"}
    assert "MariaDB 10." in texts(rows)
    assert '"engine":"mariadb"' in texts(rows)
    assert not unmeasured(rows)


def test_a_user_without_grants_is_told_part_by_part(mariadb: StartedMariaDb, tmp_path: Path) -> None:
    mariadb.run("CREATE OR REPLACE USER blind IDENTIFIED BY 'pw'")
    collector = MySqlCollector(settings_of("mysql", mariadb.url("blind", "pw"), tmp_path))
    rows = collector.collect()
    collector.close()
    lacking = ("statements", "locks", "transactions", "replication", "sizes")
    assert states(rows) == {
        "connection": "ok",
        "histogram": "not_measurable",
        **dict.fromkeys(lacking, "no_privilege"),
    }
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


def test_its_certificate_is_checked(tmp_path: Path, authority: trustme.CA, authority_file: Path) -> None:
    pair = authority.issue_cert("127.0.0.1")
    pair.private_key_pem.write_to_path(tmp_path / "key.pem")
    pair.cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
    with running_mariadb(
        tmp_path, f"--ssl-cert={tmp_path / 'cert.pem'}", f"--ssl-key={tmp_path / 'key.pem'}"
    ) as server:
        server.run(*GRANTS, "ALTER USER watch REQUIRE SSL")
        address = server.url("watch", CANARY)
        told = []
        for query in ("", f"?ca={authority_file}", "?tls=1", "?ca=/nowhere.pem", "?sslmode=none"):
            collector = MySqlCollector(settings_of("mysql", address + query, tmp_path))
            told.append(states(collector.collect())["connection"])
            collector.close()
    assert told == ["ok", "ok", "tls", "tls", "error"]


def test_a_server_that_hangs_ends_at_the_deadline_and_comes_back(
    mariadb: StartedMariaDb, tmp_path: Path
) -> None:
    collector = watch(mariadb, tmp_path, deadline_s=1.0)
    mariadb.signal(signal.SIGSTOP)
    began = time.monotonic()
    try:
        rows = collector.collect()
    finally:
        mariadb.signal(signal.SIGCONT)
    assert time.monotonic() - began < 1.0 + 4
    assert (states(rows), numbers(rows)) == ({"connection": "timeout"}, {})
    assert states(collector.collect())["connection"] == "ok"
    collector.close()


def test_without_performance_schema_it_says_so_and_recovers_after_a_restart(tmp_path: Path) -> None:
    with running_mariadb(tmp_path, "--performance-schema=OFF", "--max-connections=10") as server:
        server.run(*GRANTS)
        collector = MySqlCollector(settings_of("mysql", server.url("watch", CANARY), tmp_path))
        first = collector.collect()
        assert states(first)["statements"] == "not_loaded"
        assert "performance_schema is off" in texts(first)
        assert numbers(first)["connections"] == 1
        collector.close()
        held = [server.connect() for _ in range(10)]
        assert states(collector.collect()) == {"connection": "full"}
        for connection in held:
            connection.close()
        server.stop()
        assert states(collector.collect()) == {"connection": "down"}
        server.start()
        rows = collector.collect()
        assert states(rows)["connection"] == "ok"
        assert numbers(rows)["statistics_resets_total"] == 1
        assert "queries_per_s" not in numbers(rows)
        assert numbers(collector.collect())["queries_per_s"] == 0
        collector.close()
