"""The Redis collector while its server is half well: cannot save, lost its master, hangs, comes back."""

import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis
import trustme

from collectors.redis_server.collector import RedisCollector, server_name
from tests.collectors.databases import numbers, settings_of, states, texts
from tests.servers.ports import free_port
from tests.servers.redis import StartedRedis, running_redis

PATIENCE_S = 10


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StartedRedis]:
    with running_redis(tmp_path_factory.mktemp("redis"), "", "--repl-diskless-sync-delay", "0") as started:
        yield started


@pytest.fixture
def collector(shared: StartedRedis, tmp_path: Path) -> Iterator[RedisCollector]:
    made = RedisCollector(settings_of("redis", shared.url, tmp_path))
    made.collect()
    yield made
    made.close()


def wait_until(is_so: Callable[[], bool]) -> None:
    until = time.monotonic() + PATIENCE_S
    while not is_so():
        assert time.monotonic() < until
        time.sleep(0.02)


def test_its_own_commands_are_not_counted(shared: StartedRedis, collector: RedisCollector) -> None:
    with shared.client() as client:
        client.ping()
        collector.collect()
        began = time.monotonic()
        for _ in range(200):
            client.get("gone")
        told = numbers(collector.collect())
        most_s = time.monotonic() - began
    assert 0 < 200 / told["commands_per_s"] <= most_s + 1
    assert [numbers(collector.collect())["commands_per_s"] for _ in range(3)] == [0, 0, 0]


def test_a_server_that_cannot_save_is_measured_all_the_same(tmp_path: Path) -> None:
    with running_redis(tmp_path) as server, server.client() as client:
        (tmp_path / "dump.rdb").mkdir()
        client.config_set("save", "3600 1")
        client.set("a", "b")
        client.bgsave()
        wait_until(lambda: client.info("persistence")["rdb_last_bgsave_status"] == "err")
        with pytest.raises(redis.ResponseError, match="MISCONF"):
            client.ping()
        collector = RedisCollector(settings_of("redis", server.url, tmp_path))
        rows = collector.collect()
        collector.close()
    assert states(rows) == {"connection": "ok", "persistence": "error"}
    assert numbers(rows, "db0")["keys"] == 1
    assert numbers(rows)["ping_ms"] > 0


def test_a_replica_without_its_master_is_measured_all_the_same(tmp_path: Path) -> None:
    with running_redis(tmp_path, "", "--replica-serve-stale-data", "no") as server:
        with server.client() as client:
            client.replicaof("127.0.0.1", free_port())
            with pytest.raises(redis.exceptions.MasterDownError):
                client.ping()
        collector = RedisCollector(settings_of("redis", server.url, tmp_path))
        rows = collector.collect()
        collector.close()
    assert states(rows) == {"connection": "ok", "persistence": "ok", "replication": "down"}


def test_a_replica_tells_how_far_behind_it_is(shared: StartedRedis, tmp_path: Path) -> None:
    with running_redis(tmp_path, "", "--replicaof", f"127.0.0.1 {shared.port}") as server:
        with server.client() as client:
            wait_until(lambda: client.info("replication")["master_link_status"] == "up")
        collector = RedisCollector(settings_of("redis", server.url, tmp_path))
        rows = collector.collect()
        collector.close()
    assert states(rows)["replication"] == "ok"
    assert 0 <= numbers(rows)["replication_lag_s"] < 60


def test_a_script_that_never_ends_is_a_timeout(shared: StartedRedis, collector: RedisCollector) -> None:
    def run() -> None:
        with shared.client() as client, pytest.raises(redis.ResponseError):
            client.eval("while true do end", 0)

    with shared.client() as client:
        client.config_set("busy-reply-threshold", 50)
        thread = threading.Thread(target=run)
        thread.start()
        time.sleep(0.3)
        rows = collector.collect()
        client.script_kill()
        thread.join(PATIENCE_S)
    assert states(rows) == {"connection": "timeout"}
    assert states(collector.collect())["connection"] == "ok"


def test_a_server_that_hangs_ends_at_the_deadline_and_comes_back(
    shared: StartedRedis, tmp_path: Path
) -> None:
    collector = RedisCollector(settings_of("redis", shared.url, tmp_path, deadline_s=0.5))
    collector.collect()
    shared.signal(signal.SIGSTOP)
    try:
        rows = collector.collect()
    finally:
        shared.signal(signal.SIGCONT)
    assert states(rows) == {"connection": "timeout"}
    assert numbers(rows) == {}
    assert states(collector.collect())["connection"] == "ok"
    collector.close()


def test_a_server_that_came_back_between_two_looks_is_never_told_as_down(tmp_path: Path) -> None:
    with running_redis(tmp_path) as server:
        collector = RedisCollector(settings_of("redis", server.url, tmp_path))
        collector.collect()
        server.stop()
        server.start()
        rows = collector.collect()
        collector.close()
    assert states(rows) == {}
    assert numbers(rows)["statistics_resets_total"] == 1


def test_a_password_where_the_server_has_none_is_told(shared: StartedRedis, tmp_path: Path) -> None:
    url = f"redis://:surplus-pw@127.0.0.1:{shared.port}/0"
    collector = RedisCollector(settings_of("redis", url, tmp_path))
    rows = collector.collect()
    collector.close()
    assert states(rows) == {"connection": "wrong_password"}
    assert "surplus-pw" not in texts(rows)


def test_its_certificate_is_checked(tmp_path: Path, authority: trustme.CA, authority_file: Path) -> None:
    pair = authority.issue_cert("127.0.0.1")
    pair.private_key_pem.write_to_path(tmp_path / "key.pem")
    pair.cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
    port = free_port()
    options = ("--tls-port", str(port), "--tls-cert-file", "cert.pem", "--tls-key-file", "key.pem")
    ca = ("--tls-ca-cert-file", str(authority_file), "--tls-auth-clients", "no")
    with running_redis(tmp_path, "", *options, *ca):
        address = f"rediss://127.0.0.1:{port}/0"
        trusting, strange, lost = (
            RedisCollector(settings_of("redis", address + query, tmp_path))
            for query in (f"?ca={authority_file}", "", "?ca=/nowhere.pem")
        )
        told = [states(each.collect()) for each in (trusting, strange, lost)]
        rows = [*strange.collect(), *trusting.collect()]
    for each in (trusting, strange, lost):
        each.close()
    assert [each["connection"] for each in told] == ["ok", "tls", "tls"]
    assert numbers(rows)["ping_ms"] > 0


def test_while_it_loads_it_is_starting(tmp_path: Path) -> None:
    slow = ("--key-load-delay", "500", "--loading-process-events-interval-bytes", "1024")
    with running_redis(tmp_path, "", *slow) as server:
        with server.client() as client:
            client.mset({f"key{number}": "x" * 20 for number in range(2000)})
            client.save()
        server.stop()
        server.launch()
        collector = RedisCollector(settings_of("redis", server.url, tmp_path))
        told: set[str] = set()
        until = time.monotonic() + PATIENCE_S
        while "ok" not in told and time.monotonic() < until:
            told |= {state for part, state in states(collector.collect()).items() if part == "connection"}
            time.sleep(0.05)
        collector.close()
    assert told - {"down"} == {"starting", "ok"}


def test_what_took_the_place_of_redis_is_named() -> None:
    assert server_name({"redis_version": "7.2.4", "valkey_version": "8.1.1"}) == "Valkey 8.1.1"
    assert server_name({"redis_version": "7.0.15"}) == "Redis 7.0.15"
