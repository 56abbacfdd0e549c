"""What saturates is named rightly: real Locust, real servers, a real PostgreSQL, real collectors."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit

import polars as pl
import psycopg
import pytest

from tests.cli.children import wait_for
from tests.cli.running import ROOT, clean_environment, perfhouse
from tests.loadtests.observatory import AgentProcess
from tests.servers.planted import NAME, planted_server
from tests.servers.postgres import running_postgres
from tests.servers.warehouse import WarehouseProcess, running_warehouse
from warehouse.client import Client

LAST_SAMPLES_S = 3
"""So long after a run the samples of its last seconds are stored."""

HOST = f"""
[host]
interval_s = 1
processes = ["{NAME}"]
"""

# 48 users who think for 0.5 s could ask 96 times a second; each bottleneck bears 40.
CONFIGURATION = """
[collectors]
health_interval_s = 600
[[database]]
name = "shop"
engine = "postgres"
url = {{ file = "{dsn}" }}
interval_s = 1
deadline_s = 0.9
[[target]]
name = "site"
url = "{url}"
endpoint = [{{ path = "/health" }}]
interval_s = 600
load = {{ users = 50, requests_per_s = 2000, duration_s = 120 }}
[[preset]]
name = "rising"
stage = [{{ duration_s = 16, users = 48 }}, {{ duration_s = 6, users = 48 }}]
[[scenario]]
name = "burns"
think_s = 0.5
request = [{{ path = "/burn/25", deadline_s = 60 }}]
[[scenario]]
name = "asks"
think_s = 0.5
request = [{{ path = "/pooled/200", deadline_s = 60 }}]
[[scenario]]
name = "waits"
think_s = 0.5
request = [{{ path = "/limited/200", deadline_s = 60 }}]
"""


@dataclass
class World:
    """Everything a run is set against."""

    served: WarehouseProcess
    client: Client
    run_id: str = ""

    def finding(self, scenario: str, watched: str = "") -> dict[str, object]:
        """Run it as a person does, with what is watched beside the database; where it broke.

        The host is not watched where its CPU, which these tests share with others, is not the question.
        """
        words = ("loadtest", "run", "rising", "--target", "site", "--scenario", scenario, "--wait", "--json")
        with self._collecting(watched):
            done = perfhouse(*words, config=self.served.config)
        told = json.loads(done.stdout)
        assert (done.returncode, told["state"]) == (0, "finished"), done.stderr
        self.run_id = told["run_id"]
        return self.client.ask("run_saturation", run_id=self.run_id).row(0, named=True)

    def was_full_while_burning(self) -> bool:
        """Whether all cores were used up while the planted server took most of one, as samples tell it."""
        found = self.client.ask("run_resources", run_id=self.run_id).filter(
            (pl.col("metric") == "cpu_ratio") & (pl.col("elapsed_s") > 10)
        )
        machine = found.filter(kind="host")["value"].median()
        planted = found.filter(pl.col("object").str.contains(NAME))["value"].max()
        return bool((machine or 0) > 0.95 and (planted or 0) > 0.5)

    @contextmanager
    def _collecting(self, watched: str) -> Iterator[None]:
        config = self.served.config.with_name("collect.toml")
        config.write_text(self.served.config.read_text(encoding="utf-8") + watched, encoding="utf-8")
        command = [sys.executable, str(ROOT / "perfhouse.py"), "--config", str(config), "collect"]
        with config.with_suffix(".log").open("ab") as log:
            collectors = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log, env=clean_environment())
        try:
            wait_for(self._is_sampled, 30)
            yield
            time.sleep(LAST_SAMPLES_S)
        finally:
            collectors.terminate()
            collectors.wait(15)

    def _is_sampled(self) -> bool:
        """Whether the database was sampled within the last seconds."""
        end = datetime.now(UTC)
        found = self.client.ask(
            "database_trend", start=end - timedelta(seconds=4), end=end, metric=["connections"]
        )
        return not found.is_empty()


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("saturation")
    for name in ("postgres", "warehouse"):
        (folder / name).mkdir()
    with running_postgres(folder / "postgres") as postgres:
        dsn = postgres.make_database("shop")
        with psycopg.connect(dsn, autocommit=True) as admin:
            admin.execute("CREATE ROLE watcher LOGIN PASSWORD 'watching' IN ROLE pg_monitor")
        place = urlsplit(dsn)
        watcher = place._replace(netloc=f"watcher:watching@{place.netloc.rpartition('@')[2]}").geturl()
        (folder / "dsn").write_text(watcher, encoding="utf-8")
        (folder / "dsn").chmod(0o600)
        with planted_server(dsn) as target:
            text = CONFIGURATION.format(dsn=folder / "dsn", url=target.url)
            with running_warehouse(folder / "warehouse", text) as served:
                agent = AgentProcess(served.config, folder / "agent.log", "--stop-runs")
                agent.start()
                try:
                    with served.client("cli") as client:
                        yield World(served, client)
                finally:
                    agent.stop()


@pytest.mark.alone
def test_a_planted_cpu_is_named(world: World) -> None:
    """Where others too use up all cores, that is what has to be said: the process, or the machine."""
    found = world.finding("burns", HOST)
    assert found["resource"] in {"CPU", "CPU of a process"}, found["evidence"]
    assert NAME in str(found["evidence"]) or world.was_full_while_burning(), found["evidence"]
    assert "p95 rose from" in str(found["evidence"])


def test_planted_queries_are_named(world: World) -> None:
    found = world.finding("asks")
    assert (found["resource"], found["object"]) == ("queries", "shop"), found["evidence"]
    assert "pg_sleep" in str(found["evidence"])
    assert "sessions busy from" in str(found["evidence"])


def test_what_nothing_watched_is_unknown(world: World) -> None:
    """The answers get as slow as with the others, but for a reason that nobody measures."""
    found = world.finding("waits")
    assert (found["resource"], found["confidence"]) == ("unknown", "none"), found["evidence"]
    assert "no watched resource reached its limit in time" in str(found["evidence"])
