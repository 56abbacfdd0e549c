"""The demo's start, stop, death and return."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest

from demo.__main__ import _listen
from tests.demo.running import ROOT, DemoProcess, living, running_demo, wait_until
from tests.servers.ports import free_port

CLEAN_STOP_S = 5.0
INVOICE = {"supplier": "Probe Ltd", "number": "KEEP-1", "amount_cents": 12500, "currency": "EUR"}


@pytest.fixture
def demo(tmp_path: Path) -> Iterator[DemoProcess]:
    with running_demo(tmp_path) as running:
        yield running


def test_it_says_one_line_when_ready_and_listens_here_alone(demo: DemoProcess) -> None:
    wait_until(lambda: demo.lines)
    listeners = [c for c in psutil.Process(demo.pid).net_connections("tcp") if c.status == psutil.CONN_LISTEN]
    assert {(c.laddr.ip, c.laddr.port) for c in listeners} == {("127.0.0.1", demo.port)}
    demo.stop()
    ready = [line for line in demo.lines if demo.url in line]
    assert len(ready) == 1


def test_its_server_never_runs_as_root(demo: DemoProcess) -> None:
    servers = demo.postgres()
    assert len(servers) > 1
    assert all(one.uids().effective != 0 and one.uids().saved != 0 for one in servers)


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_everything_within_five_seconds(demo: DemoProcess, how: signal.Signals) -> None:
    servers = demo.postgres()
    started = time.monotonic()
    assert demo.stop(how) == 0
    assert time.monotonic() - started < CLEAN_STOP_S
    assert living(servers) == []
    assert not any("Traceback" in line for line in demo.lines)


def test_a_signal_during_the_start_leaves_nothing(tmp_path: Path) -> None:
    demo = DemoProcess(tmp_path / "demo")
    try:
        process = psutil.Process(demo.launch().pid)
        wait_until(lambda: any(one.name().startswith("postgres") for one in process.children(recursive=True)))
        servers = process.children(recursive=True)
        assert demo.stop() == 0
        wait_until(lambda: living(servers) == [])
        assert not any("Traceback" in line for line in demo.lines)
    finally:
        demo.close()


def test_a_restart_keeps_the_data(demo: DemoProcess) -> None:
    made = demo.client.post("/api/v1/invoices/", json=INVOICE).json()
    demo.stop()
    demo.start()
    kept = demo.client.get(f"/api/v1/invoices/{made['id']}").json()
    assert kept["number"] == "KEEP-1"


def test_kill_9_leaves_no_server_and_loses_nothing(demo: DemoProcess) -> None:
    made = demo.client.post("/api/v1/invoices/", json=INVOICE).json()
    servers = demo.postgres()
    demo.stop(signal.SIGKILL)
    wait_until(lambda: living(servers) == [])
    demo.start()
    assert demo.client.get(f"/api/v1/invoices/{made['id']}").status_code == 200


def test_files_that_wait_at_kill_9_do_not_wait_for_ever(demo: DemoProcess) -> None:
    content = b"supplier: A\nnumber: 1\namount_cents: 5\n"
    made = [
        demo.client.post("/api/v1/invoices/upload", files={"file": ("a.txt", content)}).json()["id"]
        for _ in range(40)
    ]
    demo.stop(signal.SIGKILL)
    demo.start()
    states = [demo.client.get(f"/api/v1/invoices/{one}/processing").json()["state"] for one in made]
    assert set(states) <= {"processed", "failed"}
    assert states[-1] == "failed"


def test_a_server_that_outlives_kill_9_is_replaced(demo: DemoProcess) -> None:
    made = demo.client.post("/api/v1/invoices/", json=INVOICE).json()
    servers = demo.postgres()
    demo.postmaster().suspend()
    demo.stop(signal.SIGKILL)
    assert living(servers)
    demo.start()
    assert living(servers) == []
    assert demo.client.get(f"/api/v1/invoices/{made['id']}").status_code == 200


def test_without_its_database_it_says_so_and_recovers_by_itself(demo: DemoProcess) -> None:
    """Suspended, so that the outage lasts as long as the test needs; then killed, to be started again."""
    postmaster = demo.postmaster()
    backends = [one for one in demo.postgres() if one.pid != postmaster.pid]
    postmaster.suspend()
    for backend in backends:
        backend.kill()
    health = demo.client.get("/health")
    assert health.status_code == 503
    assert health.json()["status"] != "ok"
    invoices = demo.client.get("/api/v1/invoices/")
    assert invoices.status_code == 503
    assert "database" in invoices.json()["detail"]
    assert demo.client.get("/metrics").status_code == 200
    postmaster.kill()
    wait_until(demo.healthy, 30)
    assert demo.postmaster().pid != postmaster.pid
    assert demo.client.get("/api/v1/invoices/").status_code == 200


def test_it_runs_on_the_wheel_where_that_is_all_there_is(tmp_path: Path) -> None:
    with running_demo(tmp_path, "--postgres", "wheel") as demo:
        assert demo.client.get("/api/v1/invoices/").json()["total"] == 20_000
        assert not demo.postmaster().exe().startswith("/usr/lib/postgresql")
        assert all(one.uids().effective != 0 for one in demo.postgres())


@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("setpriv"), reason="only root can become another")
def test_it_runs_as_an_ordinary_user(tmp_path: Path) -> None:
    """Under `nobody`, who may read everything, because the interpreter may lie below /root."""
    folder = Path(tempfile.mkdtemp(dir="/var/tmp"))
    os.chown(folder, 65534, 65534)
    become = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
    become += ["--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search"]
    port = free_port()
    command = [*become, sys.executable, "-m", "demo", "--port", str(port), "--data-dir", str(folder / "demo")]
    try:
        with subprocess.Popen(command, cwd=ROOT) as process:
            wait_until(lambda: process.poll() is not None or answers(port), 60)
            servers = psutil.Process(process.pid).children(recursive=True)
            assert {one.uids().effective for one in servers} == {65534}
            assert (folder / "demo" / "postgres").is_dir()
            process.terminate()
            assert process.wait(15) == 0
        assert living(servers) == []
    finally:
        shutil.rmtree(folder)


def answers(port: int) -> bool:
    """Whether a demo on this port says that it is well."""
    try:
        return httpx.get(f"http://127.0.0.1:{port}/health", trust_env=False).status_code == 200
    except httpx.HTTPError:
        return False


def test_answers_are_sent_at_once() -> None:
    """asyncio turns Nagle's algorithm off only for sockets that name their protocol."""
    with _listen(0) as listener:
        assert listener.proto == socket.IPPROTO_TCP


def test_two_demos_never_share_their_data(demo: DemoProcess, tmp_path: Path) -> None:
    second = DemoProcess(demo.data_dir)
    process = second.launch()
    assert process.wait(20) == 75
    second.stop()
    second.client.close()
    assert str(demo.pid) in "".join(second.lines)
    assert demo.healthy()


def test_a_taken_port_is_told_in_one_line(tmp_path: Path) -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        demo = DemoProcess(tmp_path / "demo", port=holder.getsockname()[1])
        assert demo.launch().wait(20) == 69
        demo.stop()
        demo.client.close()
    assert len(demo.lines) == 1
    assert str(demo.port) in demo.lines[0]
    assert not list(tmp_path.rglob("PG_VERSION"))


NO_POSTGRES = """
import sys
from demo import __main__, binaries
binaries.DEBIAN_ROOT, binaries.WHEEL = binaries.DEBIAN_ROOT / "none", "no_such_wheel"
sys.exit(__main__.main())
"""


def test_without_any_postgresql_it_says_what_to_do(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", NO_POSTGRES, "--port", "0", "--data-dir", str(tmp_path / "demo")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=20,
    )
    assert done.returncode == 69
    said = (done.stdout + done.stderr).strip()
    assert "\n" not in said
    assert "apt-get install postgresql" in said
