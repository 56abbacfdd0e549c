"""What watching a PostgreSQL with 5,000 statements costs: CPU of the collector and of the server."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import psutil
import psycopg

from bench.report import Section
from bench.service import scratch
from collectors.postgres.collector import PostgresCollector
from collectors.record import Row
from demo.postgres import Cluster, open_cluster
from warehouse.model import QueryStat
from warehouse.settings import DatabaseSettings, Secret

STATEMENTS = 5_000
ACTIVE = 500
"""Statements that are called between two samples."""

SAMPLES = 30
INTERVAL_S = 10.0
WATCH_S = 20.0
PERIODS_MS = (20, 40, 90)


def measure() -> Section:
    """Read the CPU times of both sides around samples, and around sampling of activity."""
    rows = []
    with scratch() as folder:
        for choice in ("debian", "wheel"):
            cluster = open_cluster(folder / choice, choice)
            cluster.settings = {**cluster.settings, "pg_stat_statements.max": "10000"}
            cluster.start()
            try:
                rows += _measure(cluster, folder)
            finally:
                cluster.stop()
                cluster.discard()
    return Section(
        "Watching a PostgreSQL",
        f"""A server with {STATEMENTS:,} statements in pg_stat_statements, {ACTIVE} of them called between two
samples; {SAMPLES} samples after those in which the texts were read. CPU is user and system time of the
collector's process and of the server's process for it; the share is of one core at a sample every
{INTERVAL_S:g} s. Beside it the same for looking at running queries so often, over {WATCH_S:g} s on an idle
server.""",
        ("server", "what", "collector", "server", "together, of one core"),
        rows,
    )


def _measure(cluster: Cluster, folder: Path) -> list[tuple[str, ...]]:
    address = folder / "observer.url"
    with psycopg.connect(cluster.admin_url, autocommit=True) as admin:
        admin.execute("CREATE EXTENSION IF NOT EXISTS pg_stat_statements")
        admin.execute("CREATE ROLE watcher LOGIN PASSWORD 'watcher'")
        admin.execute("GRANT pg_monitor TO watcher")
        admin.execute("CREATE TABLE item (id int, name text)")
        address.write_text(f"postgresql://watcher:watcher@{cluster.address}/postgres", encoding="utf-8")
        version = f"PostgreSQL {cluster.binaries.version}"
        for number in range(STATEMENTS):
            admin.execute(_statement(number))
        rows = [_measure_samples(admin, address, version)]
        rows += [_measure_looks(admin, address, version, period_ms) for period_ms in PERIODS_MS]
    return rows


def _statement(number: int) -> str:
    """A query of its own shape, about 150 to 1,300 characters long."""
    columns = ", ".join(["id", "name"] * (1 + number % 60))
    condition = " OR ".join(f"id = {each}" for each in range(1 + number // 60))
    return f"SELECT {columns} FROM item WHERE name = 'x' AND ({condition})"


def _measure_samples(admin: psycopg.Connection, address: Path, version: str) -> tuple[str, ...]:
    collector = PostgresCollector(_settings(address))
    try:
        collector.collect()
        _call(admin, STATEMENTS)
        known: set[str] = set()
        while len(known) < STATEMENTS:
            known |= {row.shape for row in collector.collect() if isinstance(row, QueryStat)}
        client, server, told = [], [], 0
        for _ in range(SAMPLES):
            _call(admin)
            cost = _cost(admin, collector.collect)
            client.append(cost[0])
            server.append(cost[1])
            told = max(told, sum(isinstance(row, QueryStat) for row in cost[2]))
    finally:
        collector.close()
    if told < ACTIVE:
        raise RuntimeError(f"{told} shapes were told of {ACTIVE} called")
    both = statistics.fmean(client) + statistics.fmean(server)
    return (
        version,
        f"a sample of {STATEMENTS:,} statements",
        f"{statistics.fmean(client) * 1000:.1f} ms",
        f"{statistics.fmean(server) * 1000:.1f} ms",
        f"{both / INTERVAL_S * 100:.2f} %",
    )


def _measure_looks(admin: psycopg.Connection, address: Path, version: str, period_ms: int) -> tuple[str, ...]:
    collector = PostgresCollector(_settings(address, sample_activity_ms=period_ms))
    try:
        collector.collect()
        time.sleep(1)
        client, server, _ = _cost(admin, _wait)
    finally:
        collector.close()
    return (
        version,
        f"a look every {period_ms} ms",
        f"{client / WATCH_S * 1000:.1f} ms/s",
        f"{server / WATCH_S * 1000:.1f} ms/s",
        f"{(client + server) / WATCH_S * 100:.2f} %",
    )


def _wait() -> Sequence[Row]:
    time.sleep(WATCH_S)
    return ()


def _settings(address: Path, sample_activity_ms: int | None = None) -> DatabaseSettings:
    return DatabaseSettings(
        name="main", engine="postgres", url=Secret(file=address), sample_activity_ms=sample_activity_ms
    )


def _call(admin: psycopg.Connection, count: int = ACTIVE) -> None:
    for number in range(count):
        admin.execute(_statement(number))


def _cost(admin: psycopg.Connection, work: Callable[[], Sequence[Row]]) -> tuple[float, float, Sequence[Row]]:
    """CPU seconds of this process and of the server's processes for the watching role, and the result."""
    pids = [pid for (pid,) in admin.execute("SELECT pid FROM pg_stat_activity WHERE usename = 'watcher'")]
    servers = [psutil.Process(pid) for pid in pids]
    own_before, server_before = time.process_time(), sum(_spent(each) for each in servers)
    result = work()
    return (
        time.process_time() - own_before,
        sum(_spent(each) for each in servers) - server_before,
        result,
    )


def _spent(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)
