"""What sending load costs: requests a second per core, and the price of recording each."""

from __future__ import annotations

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
PAIRED_S = 40.0
BLOCK = 1000
SETTLING = 4
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

OURS = """
from loadtests.spool import Spool
sent = [0]
record = Spool.request
def count(self, *arguments, **named):
    sent[0] += 1
    record(self, *arguments, **named)
Spool.request = count
from loadtests.locustfile import LoadShape, LoadUser
from locust import events
@events.quitting.add_listener
def tell(**_):
    print("REQUESTS", sent[0], flush=True)
"""

BY_TURNS = f"""
import time
from loadtests.spool import Spool
kinds = (Spool.request, lambda self, *arguments, **named: None)
sent, began, spent = 0, time.process_time(), []
def count(self, *arguments, **named):
    global sent, began
    kinds[sent // {BLOCK} % 2](self, *arguments, **named)
    sent += 1
    if sent % {BLOCK} == 0:
        now = time.process_time()
        spent.append(now - began)
        began = now
Spool.request = count
from loadtests.locustfile import LoadShape, LoadUser
from locust import events
@events.quitting.add_listener
def tell(**_):
    print("SPENT", *spent)
    print("REQUESTS", sent, flush=True)
"""

KINDS = {"Locust's own FastHttpUser, no hooks": STOCK, "our users, each request recorded": OURS}


def measure() -> Section:
    """Rounds of each kind in turn against one server; CPU time is the generator's own."""
    with scratch() as folder, bare_server() as url:
        rates: dict[str, list[float]] = {kind: [] for kind in KINDS}
        for _ in range(ROUNDS):
            for kind, locustfile in KINDS.items():
                rates[kind].append(_per_cpu_second(folder, url, kind, locustfile))
        rows = [(kind, _spread(values)) for kind, values in rates.items()]
        rows += _wrk(url)
        with_us, without_us = _by_turns(folder, url)
        rows.append(("recording one request, while load is sent", f"{with_us - without_us:.1f} us"))
        rows.append(("recording one request, again and again", f"{_hook_us(folder):.1f} us"))
    stock, recorded = (statistics.median(values) for values in rates.values())
    ratio = without_us / with_us
    return Section(
        "Sending load",
        f"""{USERS} users ask a bare asyncio server for 15 bytes without a pause, {ROUNDS} rounds of
{ROUND_S:g} s of each kind in turn. Requests a second per core are requests divided by the generator's own
CPU seconds, without those it takes to start: the machine's two cores are shared with the server.""",
        ("", "requests/s per core: median (least to most)"),
        rows,
        f"""With and without hooks there are two readings of (asked for: at least {LEAST_SHARE}). Against
Locust's own client without any hook, with every request recorded: {recorded / stock:.2f} times its rate; a
request costs {1e6 / recorded:.0f} us, Locust's own {1e6 / stock:.0f} us. Against our own sender with
recording taken out: {ratio:.3f}; both by turns in one process, {BLOCK:,} requests each, the median of the
pairs, since differences of a few us are lost between processes.""",
    )


@contextmanager
def bare_server() -> Iterator[str]:
    """The address of a server that answers 15 bytes to whatever it is asked."""
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
    said, cpu_s = _said(folder, url, locustfile, seconds, listing=listing)
    counted = [line for line in said.splitlines() if line.startswith("REQUESTS")]
    return int(counted[0].split()[1]) if counted else 0, cpu_s


def _said(
    folder: Path, url: str, locustfile: str, seconds: float, *, listing: bool = False
) -> tuple[str, float]:
    """What Locust printed, and its CPU seconds."""
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
    assert listing or "REQUESTS" in ended.stdout, ended.stderr[-2000:]
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return ended.stdout, cpu_s


def _by_turns(folder: Path, url: str) -> tuple[float, float]:
    """CPU time of a request in us, with recording and without: medians over blocks of one process."""
    said = _said(folder, url, BY_TURNS, PAIRED_S)[0]
    spent = next(line for line in said.splitlines() if line.startswith("SPENT")).split()[1:]
    each_us = [float(seconds) / BLOCK * 1e6 for seconds in spent][2 * SETTLING :]
    pairs = list(zip(each_us[::2], each_us[1::2], strict=False))
    without_us = statistics.median(without for _, without in pairs)
    return without_us + statistics.median(recorded - without for recorded, without in pairs), without_us


def _wrk(url: str) -> list[tuple[str, str]]:
    """Requests per CPU second of wrk, and which; nothing where it is not installed."""
    if shutil.which("wrk") is None:
        print("wrk is not installed: its line is left out", file=sys.stderr)
        return []
    told = subprocess.run(["wrk", "-v"], capture_output=True, text=True, check=False).stdout
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = ["wrk", "-t1", f"-c{USERS}", f"-d{ROUND_S:g}s", f"{url}/health"]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    requests = next(int(line.split()[0]) for line in said.splitlines() if "requests in" in line)
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return [(f"wrk {told.split()[1]}, one thread, held back by the server", f"{requests / cpu_s:,.0f}")]


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


def _spread(values: list[float]) -> str:
    return f"{statistics.median(values):,.0f} ({min(values):,.0f} to {max(values):,.0f})"
