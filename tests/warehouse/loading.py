"""What load agents send, for the tests of runs: spools' bytes and the life of a run."""

import json
from datetime import datetime, timedelta

import numpy as np

from tests.servers.warehouse import WarehouseProcess
from warehouse.client import Client
from warehouse.model import Outcome, now
from warehouse.run_model import ENDED, RunState
from warehouse.run_rows import ROW

OUTCOMES = list(Outcome)
AGENT = "local"

TARGETS = """
[[target]]
name = "shop"
url = "http://127.0.0.1:9"
[target.load]
users = 200
requests_per_s = 1000
duration_s = 3600
environment = "test"
[[target.endpoint]]
path = "/"
[[target.endpoint]]
path = "/cart"
[[target]]
name = "other"
url = "http://127.0.0.1:9"
[target.load]
users = 10
requests_per_s = 10
duration_s = 600
[[target.endpoint]]
path = "/"
[[target]]
name = "watched"
url = "http://127.0.0.1:9"
[[target.endpoint]]
path = "/"
[[preset]]
name = "tiny"
users = 2
duration_s = 20
[[preset]]
name = "judged"
users = 2
duration_s = 20
criteria = ["p50 < 500ms", "GET /cart: errors < 10%"]
[[preset]]
name = "shared"
users = 2
duration_s = 20
workers = 1
agents = 3
[access]
launch = ["ann"]
"""


def us(at: datetime) -> int:
    """Microseconds since 1970."""
    return round(at.timestamp() * 1_000_000)


def rows(
    start: datetime,
    service_ms: list[float],
    *,
    every_ms: float = 100,
    wait_ms: float = 0,
    **columns: object,
) -> np.ndarray:
    """Requests, one each `every_ms` from `start`; `outcome` is one name or a list of them."""
    made = np.zeros(len(service_ms), ROW)
    made["start_us"] = us(start) + np.arange(len(service_ms)) * int(every_ms * 1000)
    made["service_us"] = [int(each * 1000) for each in service_ms]
    made["wait_us"] = int(wait_ms * 1000)
    made["status"] = 200
    outcome = columns.pop("outcome", "ok")
    names = outcome if isinstance(outcome, list) else [outcome] * len(service_ms)
    made["outcome"] = [OUTCOMES.index(Outcome(name)) for name in names]
    for name, value in columns.items():
        made[name] = value
    return made


def beats(start: datetime, cpu: list[float], **columns: object) -> list[dict[str, object]]:
    """A beat each second from `start`."""
    return [
        {"kind": "beat", "at_us": us(start + timedelta(seconds=number)), "users": 2, "cpu_ratio": ratio}
        | {"dropped": 0, "backlog": 0, "memory_bytes": 50_000_000}
        | columns
        for number, ratio in enumerate(cpu)
    ]


def lines(*events: dict[str, object]) -> bytes:
    """Events as a spool's lines."""
    return b"".join(json.dumps(event).encode() + b"\n" for event in events)


def launch(served: WarehouseProcess, preset: str = "tiny", target: str = "shop", **more: object) -> str:
    """A run that is requested from the command line."""
    with served.client("cli") as client:
        return str(client.request_run(target, preset, via="cli", **more)["run_id"])


def start(client: Client, run_id: str, agent: str = AGENT) -> datetime:
    """Claim this run and say that it runs; the instant it began."""
    given = client.claim(agent)["run"]
    assert given is not None
    assert given["run_id"] == run_id
    began = now() - timedelta(seconds=30)
    client.report_run(run_id, agent=agent, state="running", started_at_us=us(began))
    return began


def finish(client: Client, run_id: str, began: datetime, seconds: float = 20, **told: object) -> str:
    """Say that it finished and that all it measured is stored; its verdict."""
    ended = us(began + timedelta(seconds=seconds))
    told = {"agent": AGENT, "state": "finished", "ended_at_us": ended, "complete": True} | told
    return str(client.report_run(run_id, **told)["verdict"])


def forget_runs(served: WarehouseProcess) -> None:
    """End and delete every run, so that the next test finds none."""
    with served.client("cli") as cli, served.client("agent") as agent:
        for run in cli.ask("runs").to_dicts():
            run_id, state = run["run_id"], run["state"]
            if state == RunState.REQUESTED:
                cli.cancel_run(run_id)
            elif state not in ENDED:
                agent.report_run(run_id, agent=run["agent"], state="failed")
            if run["is_baseline"]:
                cli.pin_run(run_id, pinned=False)
            cli.delete_run(run_id)
