"""Samples one Redis server: what its counters did since the last look, and how it is now."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence

from collectors.names import clean_name
from collectors.numbers import Counters, Metrics, Numbers
from collectors.parts import Parts
from collectors.record import Row
from collectors.redis_server.session import Look, Session
from collectors.trouble import TroubleError
from warehouse.model import DatabaseCondition as Condition
from warehouse.model import Engine, now
from warehouse.settings import DatabaseSettings

METRICS: Metrics = {
    "ping_ms": ("ms", "lower"),
    "cache_hit_ratio": ("ratio", "higher"),
    "commands_per_s": ("1/s", None),
    "memory_used_bytes": ("bytes", "lower"),
    "memory_used_ratio": ("ratio", "lower"),
    "memory_fragmentation_ratio": ("1", "lower"),
    "evictions_total": ("1", "lower"),
    "expired_total": ("1", None),
    "slow_commands_total": ("1", "lower"),
    "keys": ("1", None),
    "connections": ("1", "lower"),
    "connections_usable": ("1", None),
    "connections_used_ratio": ("ratio", "lower"),
    "connections_blocked": ("1", "lower"),
    "rejected_connections_total": ("1", "lower"),
    "replication_lag_s": ("s", "lower"),
    "persistence_last_save_age_s": ("s", "lower"),
    "statistics_resets_total": ("1", None),
}
"""Every metric of a Redis server: its unit, and which direction is better."""

GROWING: Mapping[str, str] = {
    "evictions_total": "evicted_keys",
    "expired_total": "expired_keys",
    "rejected_connections_total": "rejected_connections",
}
"""Counters that are told as what they grew by since the last look."""

COUNTERS = (
    *("keyspace_hits", "keyspace_misses", "total_commands_processed", *GROWING.values()),
    *("total_connections_received", "total_net_input_bytes", "total_net_output_bytes"),
)
"""The more of them, the surer it is that one falls when all were set to nothing."""

VERSIONS = (("valkey_version", "Valkey"), ("redis_version", "Redis"))

MOST_DATABASES = 1000
"""Databases of one server whose keys are told."""

_KEYSPACE = re.compile(r"keys=(\d{1,15})")
_DATABASE = re.compile(r"db\d{1,9}")


class RedisCollector:
    """Called from one thread at a time."""

    def __init__(self, settings: DatabaseSettings) -> None:
        self._name = settings.name
        self._session = Session(settings)
        self._parts = Parts(clean_name(settings.name), Engine.REDIS)
        self._counters = Counters()
        self._run_id: str | None = None
        self._slow: int | None = None
        self._own_commands = 0

    def collect(self) -> Sequence[Row]:
        """Everything at this instant; counters stand on the previous look, so the first has none."""
        at = now()
        numbers = Numbers(self._name, METRICS, at)
        if not self._session.is_due:
            return self._parts.rows(at)
        try:
            look = self._session.look()
        except TroubleError as trouble:
            self._parts.say("connection", trouble.condition, trouble.text)
        else:
            self._parts.say("connection", Condition.OK, server_name(look.info))
            numbers.add("ping_ms", look.ping_ms)
            self._read_growth(look, numbers)
            _read_state(look.info, numbers)
            self._judge_persistence(look.info)
            self._judge_replication(look.info)
        return [*numbers.samples, *self._parts.rows(at)]

    def close(self) -> None:
        """Give the connection back."""
        self._session.close()

    def _read_growth(self, look: Look, numbers: Numbers) -> None:
        """What happened since the last look. A server that started anew, or forgot, tells nothing of it."""
        was_seen, is_same = self._run_id is not None, self._run_id == look.info.get("run_id", "")
        self._run_id = look.info.get("run_id", "")
        known = {name: _number(look.info, name) for name in COUNTERS}
        grown = self._counters.grow({name: value for name, value in known.items() if value is not None})
        slow_before, self._slow = self._slow, look.slow
        own_before, self._own_commands = self._own_commands, look.own_commands
        if grown is None or not is_same:
            numbers.add("statistics_resets_total", 1 if was_seen else 0)
            return
        numbers.add("statistics_resets_total", 0)
        seconds, by = grown
        hits, misses = by.get("keyspace_hits"), by.get("keyspace_misses")
        if hits is not None and misses is not None and hits + misses > 0:
            numbers.add("cache_hit_ratio", hits / (hits + misses))
        processed = by.get("total_commands_processed")
        if processed is not None and seconds > 0:
            others = max(0.0, processed - (look.own_commands - own_before))
            numbers.add("commands_per_s", others / seconds)
        for metric, counter in GROWING.items():
            numbers.add(metric, by.get(counter))
        if look.slow is not None and slow_before is not None and look.slow >= slow_before:
            numbers.add("slow_commands_total", look.slow - slow_before)

    def _judge_persistence(self, info: Mapping[str, str]) -> None:
        failed = [
            what
            for name, what in (
                ("rdb_last_bgsave_status", "the last snapshot"),
                ("aof_last_write_status", "the last write of the append-only file"),
                ("aof_last_bgrewrite_status", "the last rewrite of the append-only file"),
            )
            if info.get(name, "ok") != "ok"
        ]
        state = Condition.ERROR if failed else Condition.OK
        self._parts.say("persistence", state, f"{' and '.join(failed)} failed" if failed else "")

    def _judge_replication(self, info: Mapping[str, str]) -> None:
        if info.get("role") != "slave":
            return
        linked = info.get("master_link_status") == "up"
        text = "a replica" if linked else "a replica that has lost its master"
        self._parts.say("replication", Condition.OK if linked else Condition.DOWN, text)


def server_name(info: Mapping[str, str]) -> str:
    """The program and its version: one that took Redis's place tells both."""
    name, program = next((name, program) for name, program in VERSIONS if name in info)
    return clean_name(f"{program} {info[name]}")


def _read_state(info: Mapping[str, str], numbers: Numbers) -> None:
    """How the server is now."""
    used, most = _number(info, "used_memory"), _number(info, "maxmemory")
    numbers.add("memory_used_bytes", used)
    if used is not None and most:
        numbers.add("memory_used_ratio", used / most)
    else:
        numbers.missing("memory_used_ratio")
    numbers.add("memory_fragmentation_ratio", _number(info, "mem_fragmentation_ratio"))
    clients, usable = _number(info, "connected_clients"), _number(info, "maxclients")
    numbers.add("connections", clients)
    numbers.add("connections_usable", usable)
    if clients is not None and usable:
        numbers.add("connections_used_ratio", clients / usable)
    numbers.add("connections_blocked", _number(info, "blocked_clients"))
    if info.get("role") == "slave":
        numbers.add("replication_lag_s", _number(info, "master_last_io_seconds_ago", least=0))
    saved, present = _number(info, "rdb_last_save_time"), _number(info, "server_time_usec")
    if saved is not None and present is not None:
        numbers.add("persistence_last_save_age_s", max(0.0, present / 1e6 - saved))
    databases = [name for name in info if _DATABASE.fullmatch(name)]
    for name in databases[:MOST_DATABASES]:
        if keys := _KEYSPACE.match(info[name]):
            numbers.add("keys", float(keys[1]), name)


def _number(info: Mapping[str, str], name: str, least: float | None = None) -> float | None:
    """A number of INFO; None where it is absent, none, or below `least`, which Redis uses for unknown."""
    try:
        value = float(info[name])
    except (KeyError, ValueError):
        return None
    return None if not math.isfinite(value) or (least is not None and value < least) else value
