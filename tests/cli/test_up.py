"""`up` with the real processes: ready, restarted, stopped, and never left behind."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx
import psutil
import pytest

from loadtests.folder import Folder
from loadtests.reattach import processes_of
from tests.cli.children import wait_for
from tests.cli.running import ROOT, clean_environment, perfhouse
from tests.servers.counting import counting_server
from tests.servers.ports import free_port
from tests.servers.warehouse import running_warehouse, write_config
from warehouse.client import Client
from warehouse.settings import Settings, load

READY_S = 120
STOP_S = 10
GONE_S = 20

WATCHED = """
[demo]
enabled = true
port = {port}
[host]
interval_s = 1
[[target]]
name = "demo"
url = "http://127.0.0.1:{port}"
interval_s = 1
[[target.endpoint]]
path = "/health"
[collectors]
health_interval_s = 1
"""


LOADED = """
[[target]]
name = "shop"
url = "{url}"
interval_s = 3600
endpoint = [{{ path = "/health" }}]
load = {{ users = 10, requests_per_s = 500, duration_s = 120 }}
[[preset]]
name = "minutes"
users = 5
spawn_rate = 5
duration_s = 120
"""


class Up:
    """A running `up`, with what it says."""

    def __init__(self, config: Path, log: Path, **environment: str) -> None:
        self.settings: Settings = load(config, {})
        self.config = config
        self.log = log
        with log.open("w") as stderr:
            self.process = subprocess.Popen(
                [sys.executable, str(ROOT / "perfhouse.py"), "--config", str(config), "up"],
                stdout=subprocess.PIPE,
                stderr=stderr,
                text=True,
                env=clean_environment(**environment),
                cwd=config.parent,
            )

    @property
    def said(self) -> str:
        return self.log.read_text()

    def wait_ready(self) -> None:
        wait_for(lambda: "Perfhouse is ready" in self.said, READY_S, told=lambda: self.said)

    def descendants(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children(recursive=True)

    def end(self, how: signal.Signals) -> float:
        """Send a signal; the seconds until the supervisor was gone."""
        began = time.monotonic()
        self.process.send_signal(how)
        self.process.wait(READY_S)
        return time.monotonic() - began

    def status(self) -> dict[str, object]:
        report: dict[str, object] = json.loads(perfhouse("status", "--json", config=self.config).stdout)
        return report

    def __enter__(self) -> "Up":
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()


@pytest.fixture
def config(tmp_path: Path) -> Path:
    return write_config(tmp_path, WATCHED.format(port=free_port()))


def all_gone(processes: list[psutil.Process]) -> bool:
    return not [each for each in processes if each.is_running() and each.status() != psutil.STATUS_ZOMBIE]


def parts_by_name(report: dict[str, object]) -> dict[str, dict[str, object]]:
    parts = report["parts"]
    assert isinstance(parts, list)
    return {part["name"]: part for part in parts}


def test_the_real_set_starts_heals_and_stops(config: Path, tmp_path: Path) -> None:
    with Up(config, tmp_path / "up.log") as up:
        up.wait_ready()
        settings = up.settings
        dashboard = f"http://127.0.0.1:{settings.dashboard.port}"
        for url in (
            f"{settings.warehouse.url}/healthz",
            f"{dashboard}/_stcore/health",
            f"http://127.0.0.1:{settings.demo.port}/health",
        ):
            assert httpx.get(url, trust_env=False, timeout=10).is_success
        wait_for(lambda: up.status()["healthy"] is True, told=lambda: json.dumps(up.status(), indent=1))

        parts = parts_by_name(up.status())
        assert all(part["running"] and part["since_at"] for part in parts.values())
        collect = parts["collect"]["pid"]
        assert isinstance(collect, int)
        os.kill(collect, signal.SIGKILL)
        wait_for(lambda: "collect   | was ended by SIGKILL; starting again in 0.5 s" in up.said)
        wait_for(lambda: parts_by_name(up.status())["collect"]["pid"] not in (None, collect))
        again = parts_by_name(up.status())
        assert {name for name in parts if parts[name]["pid"] != again[name]["pid"]} == {"collect"}

        children = up.descendants()
        assert len(children) >= 5
        assert up.end(signal.SIGTERM) < STOP_S
        assert up.process.returncode == 0
        assert all_gone(children)
        assert "killing it" not in up.said
        assert up.process.stdout is not None
        assert up.process.stdout.read() == f"{dashboard}\n"
    assert perfhouse("status", config=config).returncode == 69


def test_nothing_outlives_a_killed_supervisor_and_it_starts_again(config: Path, tmp_path: Path) -> None:
    with Up(config, tmp_path / "first.log") as up:
        up.wait_ready()
        children = up.descendants()
        up.end(signal.SIGKILL)
        wait_for(lambda: all_gone(children), GONE_S, told=lambda: repr(children))
    with Up(config, tmp_path / "second.log") as up:
        up.wait_ready()
        assert up.end(signal.SIGINT) < STOP_S
        assert up.process.returncode == 0


def test_a_load_test_survives_its_agent_and_ends_with_up(tmp_path: Path) -> None:
    with counting_server() as target:
        config = write_config(tmp_path, LOADED.format(url=target.url))
        with Up(config, tmp_path / "up.log") as up:
            up.wait_ready()
            with Client.for_process(up.settings, "cli") as client:
                run_id = str(client.request_run("shop", "minutes", via="cli")["run_id"])
            run = Folder(up.settings.runs_dir / run_id)
            wait_for(lambda: target.total > 50, told=lambda: up.said)
            state = run.state
            assert state is not None
            assert state.pid is not None
            launcher = psutil.Process(state.pid)
            agent = parts_by_name(up.status())["agent"]["pid"]
            assert isinstance(agent, int)
            os.kill(agent, signal.SIGKILL)
            wait_for(lambda: f"reattached to {run_id}" in up.said, told=lambda: up.said)
            assert launcher.is_running()
            seen = target.total
            wait_for(lambda: target.total > seen + 20)

            assert up.end(signal.SIGINT) < STOP_S
            assert "killing it" not in up.said
            wait_for(lambda: list(processes_of(run)) == [])
            seen = target.total
            ended = run.state
            assert ended is not None
            assert (ended.state, ended.is_partial) == ("cancelled", False)
        spooled = sum(file.stat().st_size // 32 for file in run.path.glob("requests-*.bin"))
        assert spooled <= seen == target.total
        probes = seen - spooled
        assert probes <= 2


def test_up_ends_with_the_words_of_the_part_that_cannot_run(tmp_path: Path) -> None:
    with running_warehouse(tmp_path) as running:
        done = perfhouse(
            "up",
            config=running.config,
            PERFHOUSE_WAREHOUSE__PORT=str(free_port()),
            PERFHOUSE_DASHBOARD__PORT=str(free_port()),
        )
        assert done.returncode == 75
        assert done.stdout == ""
        ending = done.stderr.partition("A part cannot run\n")[2]
        assert "warehouse ended with exit code 75, everything was stopped" in ending
        assert f"is already open in process {running.pid}" in ending
        with running.client("cli", retries=0) as client:
            assert client.health()["status"] == "ok"


def test_a_machine_that_sends_elsewhere_runs_only_collectors(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    with running_warehouse(tmp_path / "there") as there:
        token = perfhouse("token", "add", "remote", config=there.config).stdout
        (tmp_path / "token").write_text(token)
        config = tmp_path / "perfhouse.toml"
        config.write_text(
            f'[collectors]\nname = "remote"\nwarehouse_url = "{there.settings.warehouse.url}"\n'
            'token = { file = "token" }\nhealth_interval_s = 1\n[host]\ninterval_s = 1\n'
        )
        with Up(config, tmp_path / "up.log") as up, there.client("cli") as client:
            up.wait_ready()
            assert "starting collect;" in up.said
            wait_for(lambda: "remote" in client.ask("freshness")["source"].to_list(), told=lambda: up.said)
            assert up.end(signal.SIGTERM) < STOP_S
