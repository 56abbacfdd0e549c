"""What sending load costs: requests a second per core, the price of recording each, memory over many."""

from __future__ import annotations

import json
import os
import resource
import shutil
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.report import Section
from bench.service import ROOT, free_port, process, scratch
from loadtests.rundir import LAUNCHER, RUN_DIR, WORKER, WORKERS
from loadtests.spool import Spool
from loadtests.spool_format import ROW_BYTES
from warehouse.model import Outcome
from warehouse.plan import Plan, PlanRequest

USERS = 20
ROUNDS = 5
ROUND_S = 6.0
LONG_S = 60.0
RECORDED = 200_000
LEAST_SHARE = 0.95

SERVER = """
import asyncio, sys
BODY = b'{"status":"ok"}'
ANSWER = b"HTTP/1.1 200 OK\\r\\ncontent-length: 15\\r\\n\\r\\n" + BODY
class Connection(asyncio.Protocol):
    def connection_made(self, transport):
        self.transport = transport
    def data_received(self, data):
        self.transport.write(ANSWER * data.count(b"\\r\\n\\r\\n"))
async def main():
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Connection, "127.0.0.1", int(sys.argv[1]), backlog=512)
    await server.serve_forever()
asyncio.run(main())
"""

STOCK = """
import os
from locust import FastHttpUser, LoadTestShape, constant, events
class Stock(FastHttpUser):
    host = os.environ["BENCH_URL"]
    wait_time = constant(0)
    def ask(self):
        self.client.get("/health")
    tasks = [ask]
class Shape(LoadTestShape):
    def tick(self):
        return (20, 100) if self.get_run_time() < float(os.environ["BENCH_S"]) else None
@events.quitting.add_listener
def tell(environment, **_):
    print("REQUESTS", environment.stats.total.num_requests, flush=True)
"""

COUNTING = """
from loadtests.spool import Spool
sent = [0]
REPLACE
from loadtests.locustfile import LoadShape, LoadUser
from locust import events
@events.quitting.add_listener
def tell(**_):
    print("REQUESTS", sent[0], flush=True)
"""

RECORDING = """
record = Spool.request
def count(self, *arguments, **named):
    sent[0] += 1
    record(self, *arguments, **named)
Spool.request = count
"""

BARE = """
def count(self, *arguments, **named):
    sent[0] += 1
Spool.request = count
"""

KINDS = {
    "Locust's own FastHttpUser": STOCK,
    "our users, nothing recorded": COUNTING.replace("REPLACE", BARE),
    "our users, each request recorded": COUNTING.replace("REPLACE", RECORDING),
}


def measure() -> Section:
    """Rounds of each kind in turn against one server; CPU time is the generator's own."""
    with scratch() as folder, _server() as url:
        rates: dict[str, list[float]] = {kind: [] for kind in KINDS}
        for _ in range(ROUNDS):
            for kind, locustfile in KINDS.items():
                rates[kind].append(_per_cpu_second(folder, url, kind, locustfile))
        rows = [(kind, _spread(values), "") for kind, values in rates.items()]
        wrk = _wrk(url)
        rows.append(("wrk, one thread", wrk, "the same server is its bound") if wrk else _no_wrk())
        rows.append(("recording one request", f"{_hook_us(folder):.1f} us", "two stores into a mapped file"))
        rows.append(_memory(folder, url))
    stock, bare, recorded = (statistics.median(values) for values in rates.values())
    return Section(
        "Sending load",
        f"""{USERS} users ask a bare asyncio server for 15 bytes without a pause, {ROUNDS} rounds of
{ROUND_S:g} s of each kind in turn. Requests a second per core are requests divided by the generator's own
CPU seconds, without those it takes to start: the machine's two cores are shared with the server.""",
        ("", "requests/s per core: median (least to most)", ""),
        rows,
        f"""With every request recorded the rate is {recorded / stock:.2f} times that of Locust's own client
without any hook (asked for: at least {LEAST_SHARE}). Recording by itself takes
{1 - recorded / bare:.0%} of what our sender could do: a request costs it {1e6 / recorded:.0f} us in all,
and Locust's own {1e6 / stock:.0f} us.""",
    )


@contextmanager
def _server() -> Iterator[str]:
    port = free_port()
    with process([sys.executable, "-c", SERVER, str(port)]):
        until = time.monotonic() + 10
        while time.monotonic() < until:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.05)
        yield f"http://127.0.0.1:{port}"


def _plan(url: str, seconds: float) -> Plan:
    host, _, port = url.removeprefix("http://").partition(":")
    return Plan(
        target="bench",
        url=url,
        environment="",
        addresses=((host, int(port)),),
        verify_tls=True,
        ca_file=None,
        headers={},
        preset="bench",
        scenario="bench",
        stages=((seconds, USERS, 100.0),),
        duration_s=seconds,
        workers=0,
        agents=0,
        max_users=USERS,
        max_requests_per_s=1_000_000,
        max_duration_s=seconds,
        order="weighted",
        think_s=(0.0, 0.0),
        pacing_s=None,
        arrivals="users",
        rate_per_s=None,
        token=None,
        requests=(PlanRequest(endpoint=0, label="GET /health", part="load", method="GET", path="/health"),),
        scenario_hash="",
    )


def _per_cpu_second(folder: Path, url: str, kind: str, locustfile: str) -> float:
    """Requests per CPU second of one round."""
    starting_s = _locust(folder, url, locustfile, 0.0, listing=True)[1]
    requests, cpu_s = _locust(folder, url, locustfile, ROUND_S)
    assert requests > 0, kind
    return requests / (cpu_s - starting_s)


def _locust(
    folder: Path, url: str, locustfile: str, seconds: float, *, listing: bool = False
) -> tuple[int, float]:
    """Run Locust; the requests it sent, and its CPU seconds. `listing`: only load the file."""
    run_dir = folder / f"run-{time.monotonic_ns()}"
    run_dir.mkdir()
    (run_dir / "plan.json").write_text(_plan(url, max(seconds, 1.0)).model_dump_json())
    file = run_dir / "locust_bench.py"
    file.write_text(locustfile)
    told = {RUN_DIR: str(run_dir), WORKER: "0", WORKERS: "1", LAUNCHER: str(os.getpid())}
    environment = {**os.environ, **told, "PYTHONPATH": str(ROOT), "HOME": str(run_dir)}
    environment |= {"BENCH_URL": url, "BENCH_S": str(seconds)}
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    ended = subprocess.run(
        [
            *(sys.executable, "-m", "locust", "-f", str(file), "--headless", "--only-summary"),
            *(["--list"] if listing else []),
        ],
        cwd=run_dir,
        env=environment,
        capture_output=True,
        text=True,
        timeout=seconds + 60,
        check=False,
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    counted = [line for line in ended.stdout.splitlines() if line.startswith("REQUESTS")]
    assert counted or listing, ended.stderr[-2000:]
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return int(counted[0].split()[1]) if counted else 0, cpu_s


def _wrk(url: str) -> str:
    """Requests per CPU second of wrk; empty where it is not installed."""
    if shutil.which("wrk") is None:
        return ""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = ["wrk", "-t1", f"-c{USERS}", f"-d{ROUND_S:g}s", f"{url}/health"]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    requests = next(int(line.split()[0]) for line in said.splitlines() if "requests in" in line)
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return f"{requests / cpu_s:,.0f}"


def _no_wrk() -> tuple[str, str, str]:
    return ("wrk", "not measured", "not installed here")


def _hook_us(folder: Path) -> float:
    """The CPU time that recording one request takes, in µs."""
    run_dir = folder / "hook"
    run_dir.mkdir()
    spool = Spool(run_dir, 0)
    began = time.process_time()
    for _ in range(RECORDED):
        spool.request(0, "load", 1, 0, 1000, 2000, Outcome.OK, 200, 15)
    taken_s = time.process_time() - began
    spool.close()
    assert (run_dir / "requests-0.bin").stat().st_size == RECORDED * ROW_BYTES
    return taken_s / RECORDED * 1e6


def _memory(folder: Path, url: str) -> tuple[str, str, str]:
    """How much a generator grows over a long round: resident bytes at its beats."""
    requests, _ = _locust(folder, url, KINDS["our users, each request recorded"], LONG_S)
    newest = max(folder.glob("run-*/events-0.jsonl"), key=lambda file: file.stat().st_mtime)
    lines = (json.loads(line) for line in newest.read_text().splitlines())
    resident = [line["memory_bytes"] for line in lines if line["kind"] == "beat"]
    grown = (resident[-2] - resident[4]) / 1e6
    return (
        "memory of a run",
        f"{resident[-2] / 1e6:.0f} MB resident, {grown:+.1f} MB since its fifth second",
        f"{requests:,} requests, as many as an hour at {requests / 3600:.0f}/s",
    )


def _spread(values: list[float]) -> str:
    return f"{statistics.median(values):,.0f} ({min(values):,.0f} to {max(values):,.0f})"
