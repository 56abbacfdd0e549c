"""Setup and teardown: once a run, however it ends."""

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.loadtests.running import LaunchedRun, launch, make_plan, request
from tests.servers.counting import CountingServer, counting_server
from warehouse.plan import PARTS, Plan

SETUP = request("/items", "setup", method="POST", extract={"item": "data.0.id"})
TEARDOWN = request("/items/{item}", "teardown", method="DELETE")
TOKEN = request("/token", "token", method="POST")


@pytest.fixture
def server() -> Iterator[CountingServer]:
    with counting_server() as started:
        yield started


def long_plan(url: str, workers: int = 0) -> Plan:
    users = request("/health/{item}")
    return make_plan(url, users, setup=(SETUP,), teardown=(TEARDOWN,), stages=((60, 5, 50),), workers=workers)


def kill(run: LaunchedRun, worker: int) -> None:
    """kill -9 one of Locust's processes; 0 is the master or the only one."""
    os.kill(run.state["locust_pids"][worker], signal.SIGKILL)


ENDINGS: dict[str, tuple[Callable[[LaunchedRun], None], str]] = {
    "cancelled": (lambda run: run.cancel(), "a test"),
    "SIGTERM": (lambda run: run.process.send_signal(signal.SIGTERM), "the launcher got SIGTERM"),
    "Locust killed": (lambda run: kill(run, 0), "Locust was ended by SIGKILL"),
}


@pytest.mark.parametrize("workers", [0, 2], ids=["one process", "two workers"])
@pytest.mark.parametrize("how", ENDINGS)
def test_setup_and_teardown_run_once_however_a_run_ends(
    server: CountingServer, tmp_path: Path, how: str, workers: int
) -> None:
    end, reason = ENDINGS[how]
    with launch(tmp_path / "runs", long_plan(server.url, workers)) as run:
        run.wait_running()
        end(run)
        state = run.wait_ended()
        assert not run.members()
    counts = server.counts()
    assert (counts["POST /items"], counts["DELETE /items/1"]) == (1, 1)
    assert counts["GET /health/1"] > 10, "what the setup extracted is there for the users"
    assert state["reason"] == reason
    assert [PARTS[row.part] for row in run.rows()].count("teardown") == 1
    in_flight = 5 if how == "Locust killed" else 0
    assert server.total - in_flight <= len(run.rows()) <= server.total


@pytest.mark.parametrize("workers", [0, 2], ids=["one process", "two workers"])
def test_a_run_whose_launcher_is_killed_ends_itself(
    server: CountingServer, tmp_path: Path, workers: int
) -> None:
    with launch(tmp_path / "runs", long_plan(server.url, workers)) as run:
        run.wait_running()
        run.process.kill()
        run.wait_for(lambda run: not run.members())
    assert (run.state["state"], run.state["is_partial"]) == ("failed", True)
    assert run.state["reason"].startswith("the launcher was ended;")
    assert run.state["reason"].endswith("; the teardown was run")
    assert server.counts()["DELETE /items/1"] == 1
    assert run.outcomes() == {"ok": server.total}


def test_a_setup_that_fails_ends_the_run_before_its_load(server: CountingServer, tmp_path: Path) -> None:
    failing = (request("/status/500", "setup"), SETUP)
    plan = make_plan(server.url, setup=failing, teardown=(request("/health", "teardown"),))
    with launch(tmp_path / "runs", plan) as run:
        state = run.wait_ended()
    assert (state["state"], state["reason"]) == ("failed", "the setup failed: GET /status/500: status 500")
    assert server.counts() == {"GET /status/500": 1, "GET /health": 1}
    assert run.outcomes() == {"bad_status": 1, "ok": 1}


def test_a_teardown_that_fails_is_told(server: CountingServer, tmp_path: Path) -> None:
    plan = make_plan(server.url, teardown=(request("/status/500", "teardown"),), stages=((1, 2, 50),))
    with launch(tmp_path / "runs", plan) as run:
        state = run.wait_ended()
    assert state["state"] == "finished"
    assert state["reason"] == "the teardown failed: GET /status/500: status 500"


def test_each_user_asks_for_its_token_once(server: CountingServer, tmp_path: Path) -> None:
    plan = make_plan(server.url, token=TOKEN, stages=((2, 7, 50),))
    with launch(tmp_path / "runs", plan) as run:
        run.wait_ended()
    told = server.told()
    assert told["counts"]["POST /token"] == 7
    used = {token: count for token, count in told["tokens"].items() if token}
    assert set(used) == {f"Bearer t{number}" for number in range(1, 8)}
    assert sum(used.values()) == told["counts"]["GET /health"]
    assert [PARTS[row.part] for row in run.rows()].count("token") == 7
