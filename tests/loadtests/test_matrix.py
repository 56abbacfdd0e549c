"""Whatever dies: the requests that the target saw are the rows the warehouse has. Everything here is real."""

import signal
import time
from pathlib import Path

import pytest

from tests.cli.children import wait_for
from tests.loadtests.observatory import USERS, Observatory, kill, observatory

PROCESSES = pytest.mark.parametrize("processes", [1, 2])


def preset(name: str, processes: int) -> str:
    return name if processes == 1 else f"{name}-{processes}"


def assert_same(seen: Observatory, run_id: str, state: str, *, in_flight: int = 0) -> dict[str, object]:
    """The run ended so, and every request the target saw is stored once, less those in flight."""
    served = seen.target.total
    run, rows, distinct = seen.stored(run_id)
    assert run["state"] == state, run["reason"]
    assert rows == distinct
    assert rows == seen.spooled(run_id)
    assert rows > 20
    assert 0 <= served - rows <= in_flight
    assert run["started_at"] < run["ended_at"]
    return run


@PROCESSES
def test_a_normal_end(tmp_path: Path, processes: int) -> None:
    with observatory(tmp_path) as seen:
        run_id = seen.request(preset("short", processes))
        seen.wait_complete(run_id)
        run = assert_same(seen, run_id, "finished")
        assert run["is_partial"] is False
        assert run["complete_at"] is not None


@PROCESSES
def test_a_cancel(tmp_path: Path, processes: int) -> None:
    with observatory(tmp_path) as seen:
        run_id = seen.request(preset("long", processes))
        seen.wait_attacking(run_id)
        began = time.monotonic()
        seen.cancel(run_id)
        wait_for(lambda: bool((state := seen.state(run_id)) and state.has_ended))
        assert time.monotonic() - began < 10
        seen.wait_complete(run_id)
        run = assert_same(seen, run_id, "cancelled")
        assert run["is_partial"] is False


@PROCESSES
def test_sigterm_of_the_launcher(tmp_path: Path, processes: int) -> None:
    with observatory(tmp_path) as seen:
        run_id = seen.request(preset("long", processes))
        seen.wait_attacking(run_id)
        state = seen.state(run_id)
        assert state is not None
        kill(state.pid, signal.SIGTERM)
        seen.wait_complete(run_id)
        assert_same(seen, run_id, "cancelled")


@PROCESSES
def test_kill_9_of_the_launcher(tmp_path: Path, processes: int) -> None:
    with observatory(tmp_path) as seen:
        run_id = seen.request(preset("long", processes))
        seen.wait_attacking(run_id)
        state = seen.state(run_id)
        assert state is not None
        kill(state.pid, signal.SIGKILL)
        seen.wait_complete(run_id)
        run = assert_same(seen, run_id, "failed", in_flight=USERS)
        assert run["is_partial"] is True
        assert "the launcher was ended" in str(run["reason"])


@PROCESSES
def test_what_a_run_set_up_is_torn_down_after_kill_9_of_the_launcher(tmp_path: Path, processes: int) -> None:
    with observatory(tmp_path) as seen:
        run_id = seen.request(preset("long", processes), scenario="tidy")
        seen.wait_attacking(run_id)
        state = seen.state(run_id)
        assert state is not None
        kill(state.pid, signal.SIGKILL)
        seen.wait_complete(run_id)
        counts = seen.target.counts()
        assert (counts["POST /items/setup"], counts["DELETE /items/teardown"]) == (1, 1)
        run = assert_same(seen, run_id, "failed", in_flight=USERS)
        assert run["is_partial"] is True


@PROCESSES
def test_kill_9_of_the_agent(tmp_path: Path, processes: int) -> None:
    with observatory(tmp_path) as seen:
        run_id = seen.request(preset("middle", processes))
        seen.wait_attacking(run_id)
        seen.agent.end(signal.SIGKILL)
        before = seen.spooled(run_id)
        wait_for(lambda: seen.spooled(run_id) > before + 50)
        seen.agent.start()
        seen.wait_complete(run_id)
        assert_same(seen, run_id, "finished")


@PROCESSES
def test_kill_9_of_the_warehouse(tmp_path: Path, processes: int) -> None:
    with observatory(tmp_path) as seen:
        run_id = seen.request(preset("middle", processes))
        seen.wait_attacking(run_id)
        seen.warehouse.kill()
        before = seen.spooled(run_id)
        wait_for(lambda: seen.spooled(run_id) > before + 50)
        seen.warehouse.start()
        seen.wait_complete(run_id)
        assert_same(seen, run_id, "finished")


def test_kill_9_of_agent_and_warehouse_again_and_again(tmp_path: Path) -> None:
    with observatory(tmp_path) as seen:
        run_id = seen.request("middle")
        seen.wait_attacking(run_id)
        for _ in range(3):
            seen.agent.end(signal.SIGKILL)
            seen.warehouse.kill()
            seen.agent.start()
            seen.warehouse.start()
            before = seen.spooled(run_id)
            wait_for(lambda before=before: seen.spooled(run_id) > before + 20 or bool(seen.state(run_id)))  # type: ignore[misc]
        seen.wait_complete(run_id)
        assert_same(seen, run_id, "finished")
