"""The Redis collector against a real server: numbers as deltas, and each trouble its own state."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from collectors.redis_server.collector import RedisCollector
from collectors.redis_server.session import parse_info
from tests.collectors.databases import approx, numbers, settings_of, states, texts, unmeasured
from tests.servers.ports import free_port
from tests.servers.redis import StartedRedis, running_redis

CANARY = "canary-9f3e"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[StartedRedis]:
    with running_redis(tmp_path, CANARY) as started:
        yield started


@pytest.fixture
def collector(server: StartedRedis, tmp_path: Path) -> Iterator[RedisCollector]:
    made = RedisCollector(settings_of("redis", server.url, tmp_path))
    yield made
    made.close()


def test_the_hit_ratio_is_that_of_the_interval(server: StartedRedis, collector: RedisCollector) -> None:
    with server.client() as client:
        client.set("here", "x")
        for _ in range(50):
            client.get("gone")
        first = collector.collect()
        assert states(first) == {"connection": "ok", "persistence": "ok"}
        assert "cache_hit_ratio" not in numbers(first)
        for _ in range(30):
            client.get("here")
        for _ in range(10):
            client.get("gone")
        second = numbers(collector.collect())
        assert second["cache_hit_ratio"] == 0.75
        quiet = numbers(collector.collect())
    assert "cache_hit_ratio" not in quiet
    assert quiet["statistics_resets_total"] == 0
    assert 0 < quiet["ping_ms"] < 1000


def test_evictions_keys_and_memory_are_what_the_server_has(tmp_path: Path) -> None:
    options = ("--maxmemory", "3mb", "--maxmemory-policy", "allkeys-lru")
    with running_redis(tmp_path, "", *options) as server, server.client() as client:
        collector = RedisCollector(settings_of("redis", server.url, tmp_path))
        collector.collect()
        for number in range(60):
            client.set(f"key{number}", "v" * 50_000)
        rows = collector.collect()
        told = numbers(rows)
        info = client.info()
        assert told["evictions_total"] == info["evicted_keys"] > 0
        assert numbers(rows, "db0")["keys"] == info["db0"]["keys"]
        assert told["memory_used_ratio"] == approx(told["memory_used_bytes"] / info["maxmemory"])
        assert told["connections_used_ratio"] == approx(told["connections"] / info["maxclients"])
        collector.close()


def test_without_a_limit_the_share_of_memory_is_not_measurable(collector: RedisCollector) -> None:
    assert "memory_used_ratio" in unmeasured(collector.collect())


def test_forgotten_counters_and_a_restart_give_no_number(
    server: StartedRedis, collector: RedisCollector
) -> None:
    with server.client() as client:
        for _ in range(20):
            client.get("gone")
        collector.collect()
        client.config_resetstat()
        client.get("gone")
    told = numbers(collector.collect())
    assert told["statistics_resets_total"] == 1
    assert not {"cache_hit_ratio", "commands_per_s", "evictions_total"} & set(told)
    server.stop()
    assert states(collector.collect()) == {"connection": "down"}
    server.start()
    with server.client() as client:
        for _ in range(100):
            client.get("gone")
    again = collector.collect()
    assert states(again)["connection"] == "ok"
    assert numbers(again)["statistics_resets_total"] == 1
    assert "cache_hit_ratio" not in numbers(again)
    assert numbers(collector.collect())["statistics_resets_total"] == 0


def test_slow_commands_are_counted_and_never_quoted(server: StartedRedis, collector: RedisCollector) -> None:
    with server.client() as client:
        client.config_set("slowlog-log-slower-than", 0)
        client.get(f"secret-{CANARY}")
        first = collector.collect()
        before = client.slowlog_get(1)[0]["id"]
        for _ in range(5):
            client.get(f"secret-{CANARY}")
        second = collector.collect()
        assert 5 <= numbers(second)["slow_commands_total"] <= 5 + 10
        assert client.slowlog_get(1)[0]["id"] > before
    assert CANARY not in texts([*first, *second])


@pytest.mark.parametrize(
    ("address", "state"),
    [
        ("redis://:wrong@127.0.0.1:{port}/0", "wrong_password"),
        ("redis://127.0.0.1:{port}/0", "wrong_password"),
        ("redis://:{password}@127.0.0.1:{port}/999", "no_database"),
        ("redis://:{password}@127.0.0.1:{free}/0", "down"),
        ("http://:{password}@127.0.0.1:{port}", "error"),
        ("nonsense {password}", "error"),
    ],
)
def test_each_trouble_is_a_state_of_its_own(
    server: StartedRedis, tmp_path: Path, address: str, state: str
) -> None:
    url = address.format(port=server.port, password=CANARY, free=free_port())
    collector = RedisCollector(settings_of("redis", url, tmp_path))
    rows = collector.collect()
    collector.close()
    assert states(rows) == {"connection": state}
    assert CANARY not in texts(rows)


def test_a_user_without_a_needed_command_is_told(server: StartedRedis, tmp_path: Path) -> None:
    with server.client() as client:
        client.acl_setuser("watch", enabled=True, passwords=["+pw"], commands=["+ping", "+info"])
        client.acl_setuser("blind", enabled=True, passwords=["+pw"], commands=["+ping"])
    enough = RedisCollector(settings_of("redis", f"redis://watch:pw@127.0.0.1:{server.port}/0", tmp_path))
    blind = RedisCollector(settings_of("redis", f"redis://blind:pw@127.0.0.1:{server.port}/0", tmp_path))
    first = enough.collect()
    assert states(first)["connection"] == "ok"
    assert "slow_commands_total" not in numbers(enough.collect())
    assert states(blind.collect()) == {"connection": "no_privilege"}
    enough.close()
    blind.close()


def test_a_full_server_says_so(tmp_path: Path) -> None:
    with (
        running_redis(tmp_path, "", "--maxclients", "2") as server,
        server.client() as one,
        server.client() as two,
    ):
        one.ping()
        two.ping()
        collector = RedisCollector(settings_of("redis", server.url, tmp_path))
        assert states(collector.collect()) == {"connection": "full"}
        collector.close()


def test_a_state_is_told_once_until_it_changes(server: StartedRedis, collector: RedisCollector) -> None:
    assert states(collector.collect())
    assert states(collector.collect()) == {}
    server.stop()
    assert states(collector.collect()) == {"connection": "down"}


def test_info_is_read_line_by_line() -> None:
    assert parse_info("# Server\r\nredis_version:7.0.15\r\ndb0:keys=1,expires=0\r\n\r\n") == {
        "redis_version": "7.0.15",
        "db0": "keys=1,expires=0",
    }
