"""What sampling running queries tells of a load whose truth is in the server's log."""

import contextlib
import random
import threading
import time
from pathlib import Path

import psycopg
import pytest

from collectors.postgres.session import Session
from collectors.postgres.shapes import ShapeBook
from tests.collectors.watching import Watched, logged_ms, run, watched
from tests.servers.postgres import StartedPostgres
from warehouse.model import QueryLatency, QueryStat
from warehouse.settings import DatabaseSettings, Secret

PERIOD_MS = 20


@pytest.fixture
def sampled(database_server: StartedPostgres, tmp_path: Path) -> Watched:
    with watched(database_server, tmp_path, sample_activity_ms=PERIOD_MS) as found:
        yield found


def test_the_truth_of_a_bimodal_load_lies_within_the_bounds(sampled: Watched) -> None:
    sampled.collect()
    time.sleep(0.3)  # the sampler connects
    before = sampled.server.cluster.log_file.stat().st_size

    def load(seed: int) -> None:
        chance = random.Random(seed)
        with sampled.connect() as application:
            application.execute("SET log_min_duration_statement = 0")
            for _ in range(25):
                seconds = chance.uniform(0.1, 0.14) if chance.random() < 0.25 else 0.005
                application.execute(f"SELECT pg_sleep({seconds}), 'bimodal'")

    threads = [threading.Thread(target=load, args=[seed]) for seed in range(3)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        time.sleep(0.2)
        sampled.collect()
    time.sleep(0.2)
    sampled.collect()
    truth = logged_ms(sampled.server, "bimodal", before)
    slow = sorted(ms for ms in truth if ms > 90)
    rows = [row for row in sampled.latencies() if (row.high_us or 0) > 90_000]
    assert len(truth) == 75
    assert sum(row.calls for row in rows) == len(slow)
    assert sampled.calls("pg_sleep") == 75
    # Every threshold is passed by a number of executions that lies within what the rows allow.
    for limit_us in range(100_000, 140_000, 2_000):
        least = sum(row.calls for row in rows if row.low_us > limit_us)
        most = sum(row.calls for row in rows if (row.high_us or 0) > limit_us)
        assert least <= sum(ms * 1000 > limit_us for ms in slow) <= most


def test_what_is_told_shares_the_interval_of_the_statistics(sampled: Watched) -> None:
    sampled.collect()
    time.sleep(0.3)
    with sampled.connect() as application:
        application.execute("SELECT pg_sleep(0.2)")
    time.sleep(0.1)
    sampled.collect()
    stat = sampled.stats("pg_sleep")[0]
    latency = sampled.latencies()[0]
    assert (latency.since, latency.at) == (stat.since, stat.at)
    assert latency.low_us < 200_000 * 1.1
    assert (latency.high_us or 0) > 200_000


def test_utility_and_transaction_control_are_no_queries(sampled: Watched) -> None:
    sampled.collect()
    time.sleep(0.3)
    with sampled.connect() as application:
        application.execute("DO $$ BEGIN PERFORM pg_sleep(0.3); END $$")
        application.execute("SELECT pg_sleep(0.3)")
    time.sleep(0.1)
    sampled.collect()
    sampled.collect()
    assert sum(row.calls for row in sampled.latencies() if row.low_us > 100_000) == 1


def test_it_goes_on_after_its_connection_was_lost(sampled: Watched) -> None:
    sampled.collect()
    time.sleep(0.3)
    with sampled.connect() as application:
        application.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'watcher'"
        )
        deadline = time.monotonic() + 20
        while not any(row.low_us > 100_000 for row in sampled.latencies()):
            assert time.monotonic() < deadline
            application.execute("SELECT pg_sleep(0.2)")
            time.sleep(0.1)
            sampled.collect()
    assert sampled.state("activity") == "ok"


def test_without_the_extension_it_still_tells(sampled: Watched) -> None:
    with sampled.connect() as application:
        application.execute("DROP EXTENSION pg_stat_statements")
        sampled.collect()
        time.sleep(0.3)
        application.execute("SELECT pg_sleep(0.2)")
        time.sleep(0.1)
        sampled.collect()
    assert sampled.state("statements") == "missing_extension"
    assert not sampled.told(QueryStat)
    assert sum(row.calls for row in sampled.told(QueryLatency) if row.low_us > 100_000) == 1


def test_its_looks_are_no_transactions_of_the_application(sampled: Watched) -> None:
    sampled.collect()
    time.sleep(1.2)
    sampled.collect()
    with sampled.connect() as application:
        began = time.monotonic()
        run(application, "SELECT 1", 100)
        application.execute("SELECT pg_stat_force_next_flush()")
        time.sleep(1)
        sampled.collect()
        took_s = time.monotonic() - began
    rate = sampled.value("transactions_per_s", sampled.database) or 0
    assert sampled.collector.own_queries > 50
    assert rate * took_s == pytest.approx(102, abs=15)


def test_a_session_shut_while_it_is_asked_lets_its_thread_go(
    database_server: StartedPostgres, tmp_path: Path
) -> None:
    with watched(database_server, tmp_path) as found:
        address = Secret(file=tmp_path / "observer.url")
        for turn in range(50):
            session = Session(DatabaseSettings(engine="postgres", name="main", url=address))
            session.open()
            asking = threading.Thread(target=ask_until_shut, args=[session], daemon=True)
            asking.start()
            time.sleep(0.01 + turn / 10_000)
            session.shut()
            with found.connect() as other:  # takes the number of the socket, where that was given back
                other.execute("SELECT 1")
            asking.join(5)
            assert not asking.is_alive()
            assert not session.is_open


def ask_until_shut(session: Session) -> None:
    with contextlib.suppress(psycopg.Error):
        while True:
            session.numbers("SELECT 1 FROM pg_sleep(0.001) WHERE $1 <> ''", "x")


def test_it_ends_with_its_collector(sampled: Watched) -> None:
    sampled.collect()
    time.sleep(0.3)
    assert len(sampled.pids_of("watcher")) == 2
    sampled.collector.close()
    deadline = time.monotonic() + 10
    while sampled.pids_of("watcher") or "activity" in [thread.name for thread in threading.enumerate()]:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_texts_are_read_so_seldom_that_they_cost_little(monkeypatch: pytest.MonkeyPatch) -> None:
    present = 1000.0
    monkeypatch.setattr(time, "monotonic", lambda: present)
    book = ShapeBook("main")
    assert book.is_due()
    book.take([(1, 2, "SELECT 1")], took_s=0.05)
    book.work([])
    present += 14
    assert not book.is_due()
    present += 2
    assert book.is_due()


def test_many_texts_are_turned_into_shapes_in_slices() -> None:
    book = ShapeBook("main")
    texts = [(1, number, "SELECT " + "a, " * 500 + f"b{number}") for number in range(3000)]
    book.take(texts, took_s=0.0)
    began = time.monotonic()
    book.work([(1, 2999)], 0.05)
    assert time.monotonic() - began < 2
    assert 0 < len(book) < 3000
    assert book.get((1, 2999)) is not None  # what is wanted comes first
    while len(book) < 3000:
        book.work([])


def test_a_prepared_statement_is_counted_once(sampled: Watched) -> None:
    sampled.collect()
    with sampled.connect() as application:
        run(application, "SELECT relname FROM pg_class WHERE oid = %s", 20, [1259])
    sampled.collect()
    assert sampled.calls("relname") == 20
