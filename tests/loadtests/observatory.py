"""Everything a load test needs, each in a process of its own: warehouse, load agents, and the target."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import duckdb

from loadtests.folder import Folder, RunState
from loadtests.reattach import processes_of
from loadtests.shipping import Shipment
from loadtests.spool_format import ROW_BYTES, used
from tests.cli.children import wait_for
from tests.cli.running import ROOT, clean_environment
from tests.servers.counting import CountingServer, counting_server
from tests.servers.warehouse import WarehouseProcess, running_warehouse
from warehouse.settings import Settings, load

USERS = 5
STOP_S = 15
BOUND_S = 45

CONFIGURATION = """
[[target]]
name = "shop"
url = "{url}"
endpoint = [{{ path = "/health" }}]
load = {{ users = 50, requests_per_s = 2000, duration_s = 120 }}
[[target]]
name = "other"
url = "{other}"
endpoint = [{{ path = "/health" }}]
load = {{ users = 50, requests_per_s = 2000, duration_s = 120 }}
[[scenario]]
name = "plain"
think_s = 0.05
request = [{{ path = "/health" }}, {{ path = "/items/1", method = "POST" }}]
[[scenario]]
name = "tidy"
think_s = 0.05
request = [{{ path = "/health" }}]
setup = [{{ path = "/items/setup", method = "POST" }}]
teardown = [{{ path = "/items/teardown", method = "DELETE" }}]
[[preset]]
name = "short"
users = 5
spawn_rate = 50
duration_s = 4
[[preset]]
name = "short-2"
users = 5
spawn_rate = 50
duration_s = 4
workers = 2
[[preset]]
name = "middle"
users = 5
spawn_rate = 50
duration_s = 9
[[preset]]
name = "middle-2"
users = 5
spawn_rate = 50
duration_s = 9
workers = 2
[[preset]]
name = "long"
users = 5
spawn_rate = 50
duration_s = 60
[[preset]]
name = "long-2"
users = 5
spawn_rate = 50
duration_s = 60
workers = 2
[[preset]]
name = "shared"
users = 6
spawn_rate = 50
duration_s = 5
agents = 2
"""


class AgentProcess:
    """The load agent of one configuration file."""

    def __init__(self, config: Path, log: Path, *options: str) -> None:
        self.config = config
        self.settings: Settings = load(config, {})
        self._log = log
        self._options = options
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it; what it says goes to the log."""
        command = [sys.executable, str(ROOT / "perfhouse.py"), "--config", str(self.config), "agent"]
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(
                [*command, *self._options], cwd=ROOT, stdout=log, stderr=log, env=clean_environment()
            )

    @property
    def said(self) -> str:
        """Its log so far."""
        return self._log.read_text(encoding="utf-8", errors="replace")

    def end(self, how: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal and wait for its end; its exit code."""
        assert self.process is not None
        self.process.send_signal(how)
        return self.process.wait(STOP_S)

    def stop(self) -> None:
        """Stop it if it runs."""
        if self.process is not None and self.process.poll() is None:
            self.end()


class Observatory:
    """A warehouse, an agent and a target; `run` requests a run and follows it."""

    def __init__(
        self, folder: Path, warehouse: WarehouseProcess, agent: AgentProcess, target: CountingServer
    ) -> None:
        self.folder = folder
        self.warehouse = warehouse
        self.agent = agent
        self.target = target

    def request(self, preset: str, target: str = "shop", scenario: str = "plain", **options: Any) -> str:
        """Request a run as the command line does; its id."""
        with self.warehouse.client("cli") as client:
            told = client.request_run(target, preset, scenario, via="cli", **options)
        return str(told["run_id"])

    def cancel(self, run_id: str) -> None:
        """Stop a run as the command line does."""
        with self.warehouse.client("cli") as client:
            client.cancel_run(run_id)

    def folder_of(self, run_id: str, agent: AgentProcess | None = None) -> Folder:
        """What the agent keeps of a run."""
        return Folder((agent or self.agent).settings.runs_dir / run_id)

    def state(self, run_id: str) -> RunState | None:
        """What the launcher said last."""
        return self.folder_of(run_id).state

    def spooled(self, run_id: str, agent: AgentProcess | None = None) -> int:
        """Requests in the spool so far."""
        files = self.folder_of(run_id, agent).path.glob("requests-*.bin")
        return sum(used(file.read_bytes()) // ROW_BYTES for file in files)

    def wait_attacking(self, run_id: str, least: int = 50) -> None:
        """Wait until the load is on."""
        wait_for(lambda: self.spooled(run_id) >= least, BOUND_S, told=lambda: self.told(run_id))

    def wait_complete(self, run_id: str, agent: AgentProcess | None = None) -> None:
        """Wait until the warehouse has all of a run."""
        folder = self.folder_of(run_id, agent)
        wait_for(
            lambda: Shipment(folder).complete_at is not None, BOUND_S, told=lambda: self.told(run_id, agent)
        )

    def told(self, run_id: str, agent: AgentProcess | None = None) -> str:
        """All that may explain a failure."""
        folder = self.folder_of(run_id, agent)
        logs = [file.read_text(errors="replace")[-2000:] for file in sorted(folder.path.glob("*.log"))]
        return "\n".join([str(folder.state), (agent or self.agent).said[-3000:], *logs])

    def stored(self, run_id: str) -> tuple[dict[str, Any], int, int]:
        """The run's row, its requests, and how many of them are there once; the warehouse is stopped."""
        self.warehouse.stop()
        with duckdb.connect(str(self.warehouse.settings.database_file), read_only=True) as held:
            found = held.execute("SELECT * FROM run WHERE run_id = ?", [run_id])
            names = [column[0] for column in found.description]
            (row,) = found.fetchall()
            run = dict(zip(names, row, strict=True))
            ((count, distinct),) = held.execute(
                "SELECT count(*), count(DISTINCT (worker, ts, user_no, endpoint, wait_us, service_us)) "
                "FROM load_request WHERE run_no = ?",
                [run["run_no"]],
            ).fetchall()
        return run, count, distinct


@contextmanager
def observatory(folder: Path, *options: str, agent: bool = True) -> Iterator[Observatory]:
    """A started observatory with two targets; nothing of it is left at the end."""
    with ExitStack() as stack:
        target = stack.enter_context(counting_server())
        other = stack.enter_context(counting_server())
        text = CONFIGURATION.format(url=target.url, other=other.url)
        warehouse = stack.enter_context(running_warehouse(folder, text, log=folder / "warehouse.log"))
        own = AgentProcess(warehouse.config, folder / "agent.log", *options)
        if agent:
            own.start()
        stack.callback(end_runs, own)
        stack.callback(own.stop)
        yield Observatory(folder, warehouse, own, target)


def end_runs(agent: AgentProcess) -> None:
    """Kill whatever still attacks."""
    for path in agent.settings.runs_dir.glob("r*"):
        for process in processes_of(Folder(path)):
            process.kill()


def kill(pid: int | None, how: signal.Signals) -> None:
    """Send a signal to a process that must be there."""
    assert pid is not None
    os.kill(pid, how)
