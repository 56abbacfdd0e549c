"""How runs end before their time: by criteria, deadlines, and what cannot run at all."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from loadtests import attack
from loadtests.attack import Attack
from loadtests.processes import Processes
from loadtests.state import Ending, RunState
from tests.loadtests.running import launch, make_plan, request, write_plan
from tests.servers.counting import CountingServer, counting_server


@pytest.fixture
def server() -> Iterator[CountingServer]:
    with counting_server() as started:
        yield started


def test_a_broken_criterion_with_stop_ends_the_run(server: CountingServer, tmp_path: Path) -> None:
    plan = make_plan(
        server.url,
        request("/status/503"),
        request("/health", weight=3),
        stages=((60, 10, 50),),
        criteria=("p99 > 30s, stop", "errors > 5% for 2s, stop"),
    )
    with launch(tmp_path / "runs", plan) as run:
        state = run.wait_ended()
    assert state["state"] == "finished"
    assert state["reason"].startswith("stopped by a criterion: errors > 5% for 2s, stop: errors was ")
    assert state["ended_at_us"] - state["started_at_us"] < 20_000_000
    assert len(run.rows()) == server.total
    assert run.outcomes()["bad_status"] == server.counts()["GET /status/503"]


def test_a_criterion_that_holds_ends_nothing(server: CountingServer, tmp_path: Path) -> None:
    plan = make_plan(server.url, criteria=("errors > 5% for 1s, stop", "p50 > 30s for 1s, stop"))
    with launch(tmp_path / "runs", plan) as run:
        state = run.wait_ended()
    assert (state["state"], state["reason"]) == ("finished", "")


def test_what_does_not_end_in_time_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that minds neither the file nor SIGTERM."""
    monkeypatch.setattr(attack, "START_S", 1.0)
    monkeypatch.setattr(attack, "TERM_AFTER_S", 0.5)
    monkeypatch.setattr(attack, "KILL_AFTER_S", 1.0)
    plan = make_plan("http://127.0.0.1:1")
    run_dir = write_plan(tmp_path, plan)
    processes = Processes(run_dir, ())
    deaf = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(60)"
    processes.running[0] = subprocess.Popen([sys.executable, "-c", deaf])
    ending = Attack(plan, run_dir, RunState(run_dir), processes).watch()
    assert ending == Ending("failed", "it took longer than planned", is_partial=True, exit_code=-9)
    assert (run_dir / "stop").read_text() == "it took longer than planned\n"


@pytest.mark.parametrize(
    ("worker", "how", "reason"),
    [
        (0, signal.SIGTERM, "Locust was ended by SIGTERM"),
        (1, signal.SIGKILL, "Locust's worker 1 was ended by SIGKILL"),
        (2, signal.SIGTERM, "Locust's worker 2 was ended by SIGTERM"),
    ],
)
def test_a_process_that_ends_too_early_fails_the_run(
    server: CountingServer, tmp_path: Path, worker: int, how: signal.Signals, reason: str
) -> None:
    plan = make_plan(server.url, stages=((60, 6, 50),), workers=2 if worker else 0)
    with launch(tmp_path / "runs", plan) as run:
        run.wait_running(50)
        os.kill(run.state["locust_pids"][worker], how)
        state = run.wait_ended()
        assert not run.members()
    assert (state["state"], state["reason"], state["is_partial"]) == ("failed", reason, True)
    in_flight = 6 if how is signal.SIGKILL else 0
    assert server.total - in_flight <= len(run.rows()) <= server.total
