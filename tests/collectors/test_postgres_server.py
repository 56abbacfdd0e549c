"""A PostgreSQL's numbers, locks and tables, told as planted."""

import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import pairwise

import psycopg
import pytest

from tests.collectors.watching import Watched, run
from warehouse.model import LockWait, Outcome, Sample


def test_the_pool_is_measured_against_what_can_be_used(database: Watched) -> None:
    """48 of 60 - 3: the reserved ones are for superusers alone."""
    with ExitStack() as stack:
        admin = stack.enter_context(database.connect())
        database.collect()
        count = "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'"
        while admin.execute(count).fetchall()[0][0] < 48:
            stack.enter_context(database.connect())
        database.collect()
        assert database.value("connections") == 48
        assert database.value("connections_usable") == 57
        assert database.value("connections_used_ratio") == pytest.approx(0.842, abs=0.0005)
        assert database.value("connections_idle") == 47


def test_ages_of_transactions_and_queries(database: Watched) -> None:
    database.collect()
    assert database.value("longest_idle_in_transaction_s") == 0
    with database.connect() as idle, database.connect() as busy, idle.transaction():
        idle.execute("SELECT 1")
        running = threading.Thread(target=busy.execute, args=["SELECT pg_sleep(1.2)"])
        running.start()
        time.sleep(0.6)
        database.collect()
        running.join()
    assert 0.5 < (database.value("longest_idle_in_transaction_s") or 0) < 30
    assert 0.5 < (database.value("longest_transaction_s") or 0) < 30
    assert 0.4 < (database.value("longest_query_s") or 0) < 30
    assert database.value("connections_active") == 1
    assert database.value("connections_idle_in_transaction") == 1


def test_growth_per_database(database: Watched) -> None:
    name = database.database
    with database.connect() as application:
        application.execute("CREATE TABLE item AS SELECT g AS id FROM generate_series(1, 300000) AS g")
        database.collect()
        assert not database.samples("transactions_per_s", name)
        began = time.monotonic()
        run(application, "SELECT 1", 200)
        with pytest.raises(psycopg.errors.DivisionByZero):
            application.execute("SELECT 1 / 0")
        application.execute("SET work_mem = '64kB'")
        application.execute("SELECT id FROM item ORDER BY id DESC LIMIT 1 OFFSET 299999")
    time.sleep(1)  # instants stand some ms beside the intervals of rates: little, of a long interval
    database.collect_until(lambda: database.sum("temp_bytes", name) > 1_000_000)
    took_s = time.monotonic() - began
    database.collect()
    assert database.sum("temp_files_total", name) >= 1
    assert database.value("deadlocks_total", name) == 0
    ratios = [row.value or 0 for row in database.samples("cache_hit_ratio", name)]
    assert ratios
    assert all(0 < ratio <= 1 for ratio in ratios)
    rates = database.samples("transactions_per_s", name)
    instants = [row.at for row in database.told(Sample) if row.metric == "connections_usable"]
    gaps = [(b - a).total_seconds() for a, b in pairwise(instants)]
    counted = sum((row.value or 0) * gap for row, gap in zip(rates, gaps, strict=False))
    assert counted == pytest.approx(203, abs=12 + took_s)
    assert sum(row.value or 0 for row in database.samples("rollbacks_per_s", name)) > 0


def test_without_traffic_there_is_no_hit_ratio(database: Watched) -> None:
    with database.connect() as admin:
        admin.execute("CREATE DATABASE quiet")
        try:
            database.collect()
            database.collect()
            assert database.value("transactions_per_s", "quiet") == 0
            assert not database.samples("cache_hit_ratio", "quiet")
        finally:
            admin.execute("DROP DATABASE quiet")


def test_a_reset_of_a_databases_counters_is_no_growth(database: Watched) -> None:
    with database.connect() as admin:
        run(admin, "SELECT 1", 50)
        database.collect()
        run(admin, "SELECT 1", 50)
        database.collect()
        told = len(database.samples("transactions_per_s", database.database))
        admin.execute("SELECT pg_stat_reset()")
        run(admin, "SELECT 1", 500)
        time.sleep(1.2)  # until the server has summed them up
        database.collect()
        assert len(database.samples("transactions_per_s", database.database)) == told
        assert all((row.value or 0) >= 0 for row in database.told(Sample))


def test_the_server_as_a_whole(database: Watched) -> None:
    database.collect()
    with database.connect() as admin:
        admin.execute("CREATE TABLE item AS SELECT g FROM generate_series(1, 10000) AS g")
        admin.execute("CHECKPOINT")
    database.collect_until(lambda: database.sum("checkpoints_total") >= 1)
    assert database.sum("wal_bytes_per_s") > 0
    assert (database.value("transaction_id_age") or 0) > 0
    assert (database.value("database_bytes", database.database) or 0) > 1_000_000
    assert database.value("replication_lag_s") is None


@contextmanager
def _blocked(database: Watched, statement: str) -> Iterator[None]:
    """Somebody holds row 1, and somebody else waits for it."""
    with database.connect() as admin:
        admin.execute("CREATE TABLE account (id int PRIMARY KEY, sum int)")
        admin.execute("INSERT INTO account VALUES (1, 0)")
    with (
        database.connect(application_name="nightly job") as holder,
        database.connect(application_name="checkout") as waiter,
        holder.transaction(),
    ):
        holder.execute("UPDATE account SET sum = 1 WHERE id = 1")
        waiting = threading.Thread(target=waiter.execute, args=[statement])
        waiting.start()
        while not holder.execute("SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock'").fetchall():
            time.sleep(0.01)
        yield
        holder.execute("SELECT 1")
    waiting.join()


def test_the_blocker_is_named_within_one_sample(database: Watched) -> None:
    database.collect()
    with _blocked(database, "UPDATE account SET sum = 2 WHERE id = 1"):
        time.sleep(0.2)
        database.collect()
    wait = database.told(LockWait)[0]
    assert (wait.waiter_application, wait.blocker_application) == ("checkout", "nightly job")
    assert wait.blocker_state == "idle in transaction"
    assert wait.blocker_pid != wait.waiter_pid
    assert wait.relation == "public.account"
    assert 100_000 < (wait.waited_us or 0) < 60_000_000
    assert (wait.blocker_transaction_us or 0) >= (wait.waited_us or 0)
    assert wait.database == database.database
    assert database.value("lock_waits") == 1
    database.collect()
    assert not [row for row in database.newest if isinstance(row, LockWait)]


def test_the_shapes_of_waiter_and_blocker_are_known(database: Watched) -> None:
    with _blocked(database, "UPDATE account SET sum = 2 WHERE id = 1"):
        database.collect()
    wait = database.told(LockWait)[-1]
    with database.connect() as admin:
        texts = dict(admin.execute("SELECT queryid, query FROM pg_stat_statements").fetchall())
    assert any("SELECT FROM pg_stat_activity" in text for text in texts.values())
    assert wait.blocker_shape is not None


def test_tables_are_told_with_their_dead_rows_and_vacuum(database: Watched) -> None:
    with database.connect() as admin:
        admin.execute("CREATE TABLE item (id int, name text) WITH (autovacuum_enabled = off)")
        admin.execute("INSERT INTO item SELECT g, repeat('x', 100) FROM generate_series(1, 10000) AS g")
        admin.execute("SELECT pg_stat_force_next_flush()")  # else vacuum's own count comes first
        admin.execute("VACUUM ANALYZE item")
        admin.execute("CREATE TABLE fresh (id int) WITH (autovacuum_enabled = off)")
        admin.execute("INSERT INTO fresh VALUES (1)")
        admin.execute("DELETE FROM item WHERE id <= 2500")
        admin.execute("SELECT pg_stat_force_next_flush()")
        database.watch(tables=5)
        database.collect()
        size = admin.execute("SELECT pg_table_size('item')").fetchall()[0][0]
    assert database.value("table_bytes", "public.item") == size
    assert database.value("table_dead_ratio", "public.item") == pytest.approx(0.25, abs=0.001)
    assert database.value("table_rows", "public.item") == pytest.approx(7500, abs=1)
    assert 0 < (database.value("vacuum_age_s", "public.item") or 0) < 60
    assert 0 < (database.value("analyze_age_s", "public.item") or 0) < 60
    assert database.value("vacuum_never", "public.item") is None
    assert database.value("vacuum_never", "public.fresh") == 1
    assert database.value("vacuum_age_s", "public.fresh") is None
    absent = database.samples("table_free_ratio")
    assert [row.outcome for row in absent] == [Outcome.NOT_MEASURABLE]
    database.collect()
    assert len(database.samples("table_bytes", "public.item")) == 1  # once a minute


def test_free_space_is_told_where_the_extension_is(database: Watched) -> None:
    with database.connect() as admin:
        try:
            admin.execute("CREATE EXTENSION pgstattuple")
        except psycopg.Error:
            pytest.skip("this server has no pgstattuple")
        admin.execute("CREATE TABLE item (id int, name text) WITH (autovacuum_enabled = off)")
        admin.execute("INSERT INTO item SELECT g, repeat('x', 100) FROM generate_series(1, 10000) AS g")
        admin.execute("DELETE FROM item WHERE id <= 5000")
        admin.execute("VACUUM item")
        database.watch(tables=5)
        database.collect()
        truth = admin.execute("SELECT free_percent FROM pgstattuple('item')").fetchall()[0][0]
    assert database.value("table_free_ratio", "public.item") == pytest.approx(truth / 100, abs=0.05)


def test_a_locked_table_is_no_hindrance(database: Watched) -> None:
    with database.connect() as admin, database.connect() as other:
        admin.execute("CREATE TABLE item AS SELECT 1 AS id")
        admin.execute("CREATE TABLE free AS SELECT 1 AS id")
        time.sleep(1.1)
        with other.transaction():
            other.execute("LOCK TABLE item")
            database.watch(tables=5)
            database.collect()
    assert database.state("tables") == "ok"
    assert database.value("table_bytes", "public.item") is None
    assert database.value("table_bytes", "public.free") is not None


def test_planted_secrets_are_in_no_row(database: Watched) -> None:
    email, password = "ada.lovelace@example.com", f"hunter2-{secrets.token_hex(6)}"
    database.watch(tables=5, sample_activity_ms=20)
    database.collect()
    with database.connect() as application:
        application.execute("CREATE TABLE person (id int, email text)")
        application.execute(f"INSERT INTO person VALUES (1, '{email}') /* for {email} */")
        application.execute(f"SELECT * FROM person WHERE email = '{email}' AND pg_sleep(0.2) IS NOT NULL")
        application.execute(f"CREATE ROLE canary PASSWORD '{password}'")
        application.execute(f"ALTER ROLE canary PASSWORD '{password}'")
        application.execute(f"DO $$ BEGIN PERFORM '{password}'; END $$")
        application.execute(f"COMMENT ON TABLE person IS '{password}'")
        application.execute(f"SET application_name = 'app'; SELECT '{password}'")
        application.execute(f"COPY (SELECT '{password}') TO '/dev/null'")
        application.execute(f"PREPARE canary AS SELECT '{password}'")
        application.execute("DROP ROLE canary")
        with pytest.raises(psycopg.Error):
            application.execute(f"SELECT '{password}' FROM nowhere")
        known = application.execute("SELECT string_agg(query, '|') FROM pg_stat_statements").fetchall()[0][0]
    database.collect()
    database.collect()
    told = "\n".join(row.model_dump_json() for row in database.rows)
    assert password in known  # the server itself keeps it
    assert "person" in told
    for secret in (email, "lovelace", password, database.password):
        assert secret not in told
