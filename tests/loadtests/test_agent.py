"""The agent's loops, with real processes as launchers and a warehouse in memory."""

import logging
import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from loadtests import delivery, reattach, roster
from loadtests.agent import LONGEST_PAUSE_S, Agent, Pauses
from loadtests.folder import Folder
from loadtests.launching import environment_for, launch
from loadtests.reattach import processes_of
from tests.cli.children import wait_for
from tests.loadtests.standins import MemoryDoor, new_folder, request, rows, run_name, stand_in
from warehouse.errors import AlreadyRunningError, RefusedError, WarehouseAwayError
from warehouse.settings import Settings, parse

FIRST = run_name(1)


STARTED: "list[subprocess.Popen[bytes]]" = []


def start_stand_in(folder: Folder) -> "subprocess.Popen[bytes]":
    """Start it, and keep it in view: the agents of a test come and go in one process."""
    STARTED.append(launch(folder, stand_in))
    return STARTED[-1]


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return parse('data_dir = "data"\n', tmp_path / "perfhouse.toml", {})


@pytest.fixture
def door() -> MemoryDoor:
    return MemoryDoor()


@pytest.fixture(autouse=True)
def nothing_attacks_afterwards(settings: Settings) -> Iterator[None]:
    yield
    for number in range(1, 5):
        for process in processes_of(Folder(settings.runs_dir / run_name(number))):
            process.kill()
    while STARTED:
        STARTED.pop().wait()


class Serving:
    """An agent at work in a thread."""

    def __init__(self, settings: Settings, door: MemoryDoor, *, stop_runs: bool = False) -> None:
        self.agent = Agent(settings, door, launcher=start_stand_in)
        self._stop = threading.Event()
        self._thread = threading.Thread(
            target=self.agent.serve, args=(self._stop,), kwargs={"stop_runs": stop_runs}
        )
        self._thread.start()

    def stop(self) -> None:
        """Ask it to stop, and wait until it has."""
        self._stop.set()
        self._thread.join()

    def __enter__(self) -> "Serving":
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def written(settings: Settings, number: int = 1) -> bytes:
    return (settings.runs_dir / run_name(number) / "requests-0.bin").read_bytes()


def is_running(settings: Settings, number: int = 1, least: int = 5) -> bool:
    """Whether the launcher has written some rows."""
    file = settings.runs_dir / run_name(number) / "requests-0.bin"
    return file.exists() and file.stat().st_size >= least * 32


def is_complete(door: MemoryDoor, number: int = 1) -> bool:
    return bool(door.last(run_name(number)).get("complete"))


def launcher_of(settings: Settings, number: int = 1) -> int:
    state = Folder(settings.runs_dir / run_name(number)).state
    assert state is not None
    assert state.pid is not None
    return state.pid


def assert_all_is_stored(settings: Settings, door: MemoryDoor, number: int = 1) -> None:
    stored = door.stored(run_name(number), "requests-0.bin")
    assert stored == written(settings, number)
    assert stored == rows(*range(1, len(stored) // 32 + 1))
    assert len(stored) >= 5 * 32


def test_a_run_is_started_shipped_while_it_runs_and_completed(settings: Settings, door: MemoryDoor) -> None:
    door.waiting.append(request(1, duration_s=3))
    with Serving(settings, door):
        wait_for(lambda: len(door.stored(FIRST, "requests-0.bin")) > 0)
        assert door.last(FIRST).get("state") != "finished"
        wait_for(lambda: is_complete(door))
    assert_all_is_stored(settings, door)
    states = [report["state"] for report in door.reports[FIRST]]
    assert states[-1] == "finished"
    assert states.count("finished") == 1
    assert [FIRST] in door.claims
    last = door.last(FIRST)
    assert (last["agent"], last["is_partial"]) == ("local", False)
    assert last["started_at_us"] < last["ended_at_us"]
    assert set(last["versions"]) == {"perfhouse", "locust", "python"}


def test_runs_at_several_targets_go_side_by_side(settings: Settings, door: MemoryDoor) -> None:
    door.waiting += [request(number, duration_s=3) for number in (1, 2, 3)]
    with Serving(settings, door):
        wait_for(lambda: all(is_running(settings, number) for number in (1, 2, 3)))
        assert not any(is_complete(door, number) for number in (1, 2, 3))
        wait_for(lambda: all(is_complete(door, number) for number in (1, 2, 3)))
    for number in (1, 2, 3):
        assert_all_is_stored(settings, door, number)


def test_while_the_warehouse_is_away_the_run_goes_on_and_nothing_is_lost(
    settings: Settings, door: MemoryDoor
) -> None:
    door.waiting.append(request(1, duration_s=2))
    with Serving(settings, door):
        wait_for(lambda: is_running(settings))
        door.is_away = True
        wait_for(lambda: b"finished" in (settings.runs_dir / FIRST / "state.json").read_bytes())
        assert not is_complete(door)
        door.is_away = False
        wait_for(lambda: is_complete(door))
    assert_all_is_stored(settings, door)


def test_lost_answers_double_nothing(settings: Settings, door: MemoryDoor) -> None:
    door.waiting.append(request(1, duration_s=2))
    door.loses_answers = 3
    with Serving(settings, door):
        wait_for(lambda: is_complete(door))
    assert door.loses_answers == 0
    assert_all_is_stored(settings, door)


def test_a_run_goes_on_without_its_agent_and_the_next_takes_it_up(
    settings: Settings, door: MemoryDoor
) -> None:
    door.waiting.append(request(1, duration_s=4))
    with Serving(settings, door):
        wait_for(lambda: is_running(settings))
        pid = launcher_of(settings)
        assert os.getsid(pid) == pid, "what ends the agent's group or terminal must not end the launcher"
    before = len(written(settings))
    wait_for(lambda: len(written(settings)) > before + 20 * 32)
    assert not is_complete(door)
    with Serving(settings, door):
        wait_for(lambda: is_complete(door))
    assert door.last(FIRST)["state"] == "finished"
    assert_all_is_stored(settings, door)


def test_a_killed_launcher_leaves_a_failed_run_with_all_it_measured(
    settings: Settings, door: MemoryDoor
) -> None:
    door.waiting.append(request(1, duration_s=60))
    with Serving(settings, door):
        wait_for(lambda: is_running(settings))
        os.kill(launcher_of(settings), signal.SIGKILL)
        wait_for(lambda: is_complete(door))
    last = door.last(FIRST)
    assert (last["state"], last["is_partial"]) == ("failed", True)
    assert last["reason"] == "the launcher was ended by SIGKILL; what was measured until then is kept"
    assert last["started_at_us"] < last["ended_at_us"]
    assert_all_is_stored(settings, door)


def test_what_a_killed_launcher_leaves_running_is_stopped(
    settings: Settings, door: MemoryDoor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reattach, "KILL_AFTER_S", 0.5)
    door.waiting.append(request(1, duration_s=60, child=True))
    with Serving(settings, door):
        wait_for(
            lambda: is_running(settings) and len(list(processes_of(Folder(settings.runs_dir / FIRST)))) == 2
        )
    # Without a parent that could tell how it died, as after a crash of the agent.
    os.kill(launcher_of(settings), signal.SIGKILL)
    wait_for(lambda: len(list(processes_of(Folder(settings.runs_dir / FIRST)))) == 1)
    with Serving(settings, door):
        wait_for(lambda: is_complete(door))
        assert list(processes_of(Folder(settings.runs_dir / FIRST))) == []
    assert door.last(FIRST)["state"] == "failed"
    assert door.last(FIRST)["is_partial"] is True
    assert_all_is_stored(settings, door)


def test_a_launcher_that_falls_silent_is_stopped(
    settings: Settings, door: MemoryDoor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reattach, "SILENT_S", 1.0)
    door.waiting.append(request(1, duration_s=60, silent=True))
    with Serving(settings, door):
        wait_for(lambda: is_running(settings))
        process = psutil.Process(launcher_of(settings))
        wait_for(lambda: is_complete(door))
        assert not process.is_running()
    assert door.last(FIRST)["state"] == "failed"
    assert "silent" in door.last(FIRST)["reason"]
    assert_all_is_stored(settings, door)


def test_a_cancelled_run_ends_gracefully_and_keeps_everything(settings: Settings, door: MemoryDoor) -> None:
    door.waiting.append(request(1, duration_s=60))
    with Serving(settings, door):
        wait_for(lambda: is_running(settings))
        door.cancels.append({"run_id": FIRST, "by": "ada"})
        wait_for(lambda: is_complete(door))
    assert (settings.runs_dir / FIRST / "cancel").read_text() == "ada"
    assert door.last(FIRST)["state"] == "cancelled"
    assert_all_is_stored(settings, door)


def test_an_agent_told_to_stop_its_runs_leaves_none(settings: Settings, door: MemoryDoor) -> None:
    door.waiting.append(request(1, duration_s=60))
    with Serving(settings, door, stop_runs=True):
        wait_for(lambda: is_running(settings))
    assert list(processes_of(Folder(settings.runs_dir / FIRST))) == []
    assert is_complete(door)
    assert door.last(FIRST)["state"] == "cancelled"
    assert_all_is_stored(settings, door)


def test_a_cancel_of_a_run_that_is_not_here_is_answered(settings: Settings, door: MemoryDoor) -> None:
    door.cancels.append({"run_id": FIRST, "by": "ada"})
    with Serving(settings, door):
        wait_for(lambda: is_complete(door))
    assert (door.last(FIRST)["state"], door.last(FIRST)["reason"]) == (
        "failed",
        "the agent holds nothing of the run",
    )


def test_nobody_attacks_for_a_warehouse_that_does_not_know_the_run(
    settings: Settings, door: MemoryDoor
) -> None:
    door.waiting.append(request(1, duration_s=60))
    with Serving(settings, door) as serving:
        wait_for(lambda: is_running(settings))
        door.refuses = RefusedError("no such run", status=404)
        wait_for(lambda: serving.agent.roster.runs == [])
    assert list(processes_of(Folder(settings.runs_dir / FIRST))) == []


def test_what_the_warehouse_refuses_makes_the_run_partial_and_is_told(
    settings: Settings, door: MemoryDoor
) -> None:
    door.waiting.append(request(1))
    door.refuses = RefusedError("no such endpoint", status=422, field="endpoint")
    with Serving(settings, door):
        wait_for(lambda: is_complete(door))
    assert door.last(FIRST)["is_partial"] is True
    assert "bytes were refused: no such endpoint" in door.last(FIRST)["reason"]


def test_trouble_with_one_run_holds_up_no_other(settings: Settings, door: MemoryDoor) -> None:
    door.refuses_reports_of = {FIRST}
    door.waiting += [request(1), request(2)]
    with Serving(settings, door) as serving:
        wait_for(
            lambda: [run.run_id for run in serving.agent.roster.runs] == [FIRST] and is_complete(door, 2)
        )
        door.refuses_reports_of = set()
        wait_for(lambda: is_complete(door, 1))
    assert_all_is_stored(settings, door, 1)
    assert_all_is_stored(settings, door, 2)


def test_a_run_given_twice_is_run_once(settings: Settings, door: MemoryDoor) -> None:
    door.waiting += [request(1), request(1)]
    with Serving(settings, door):
        wait_for(lambda: is_complete(door))
        before = len(door.reports[FIRST])
        door.waiting.append(request(1))
        wait_for(lambda: len(door.reports[FIRST]) > before)
    assert "run once" in door.last(FIRST)["reason"]
    assert_all_is_stored(settings, door)


def test_a_launcher_that_cannot_be_started_is_told(settings: Settings, door: MemoryDoor) -> None:
    def broken(folder: Folder) -> "subprocess.Popen[bytes]":
        raise OSError(12, "Cannot allocate memory")

    door.waiting.append(request(1))
    agent = Agent(settings, door, launcher=broken)
    stop = threading.Event()
    thread = threading.Thread(target=agent.serve, args=(stop,))
    thread.start()
    wait_for(lambda: is_complete(door))
    stop.set()
    thread.join()
    assert door.last(FIRST)["reason"] == "the launcher could not be started: Cannot allocate memory"
    assert not (settings.runs_dir / FIRST).exists()


def test_one_agent_per_directory_of_runs(settings: Settings, door: MemoryDoor) -> None:
    with Serving(settings, door), pytest.raises(AlreadyRunningError):
        Agent(settings, door)


def test_directories_go_a_day_after_the_warehouse_has_all_and_never_before(
    settings: Settings, door: MemoryDoor, monkeypatch: pytest.MonkeyPatch
) -> None:
    door.waiting += [request(1), request(2)]
    with Serving(settings, door) as serving:
        wait_for(lambda: is_complete(door, 1) and is_complete(door, 2))
        wait_for(lambda: serving.agent.roster.runs == [])
        unshipped = new_folder(settings.runs_dir, 3)
        serving.agent.roster.clean()
        assert (settings.runs_dir / FIRST).exists()
        monkeypatch.setattr(roster, "KEPT_S", 0.0)
        serving.agent.roster.clean()
    assert [folder.name for folder in settings.runs_dir.glob("r*")] == [unshipped.run_id]


def test_the_launcher_gets_the_secrets_its_plan_names_and_no_others() -> None:
    plan = {
        "headers": {"Authorization": {"env": "SHOP_KEY"}, "X-Plain": "text", "X-File": {"file": "/key"}},
        "token": {"request": {"headers": {"X-Api-Key": {"env": "TOKEN_KEY"}}}},
        "requests": [{"headers": {"X-Other": {"env": "MISSING"}}, "json_body": {"env": "DATABASE_URL"}}],
    }
    ours = {"PATH": "/bin", "SHOP_KEY": "s1", "TOKEN_KEY": "s2", "DATABASE_URL": "s3", "LC_ALL": "C"}
    assert environment_for(Folder(Path("/data/runs") / FIRST), plan, ours) == {
        "PATH": "/bin",
        "LC_ALL": "C",
        "SHOP_KEY": "s1",
        "TOKEN_KEY": "s2",
        "PERFHOUSE_RUN": f"/data/runs/{FIRST}",
        "PYTHONUNBUFFERED": "1",
    }


def test_pauses_grow_to_a_bound_and_are_short_again_when_it_works() -> None:
    pauses = Pauses("claims", 0.5)
    lengths = [pauses.after(WarehouseAwayError("away")) for _ in range(12)]
    assert lengths[0] <= 1.0
    assert LONGEST_PAUSE_S / 2 <= lengths[-1] <= LONGEST_PAUSE_S
    pauses.well()
    assert pauses.after(WarehouseAwayError("away")) <= 1.0


def test_a_run_that_nothing_happens_to_is_reported_each_second(settings: Settings, door: MemoryDoor) -> None:
    door.waiting.append(request(1, duration_s=60))
    with Serving(settings, door, stop_runs=True):
        wait_for(lambda: [report["state"] for report in door.reports.get(FIRST, [])].count("running") >= 3)
    assert delivery.REPORT_EVERY_S < reattach.SILENT_S / 5


def test_a_schedule_that_was_due_while_no_agent_ran_is_told_and_not_made_up(
    tmp_path: Path, door: MemoryDoor, caplog: pytest.LogCaptureFixture
) -> None:
    entry = '[[schedule]]\nname = "each"\ncron = "* * * * *"\ntarget = "a"\npreset = "smoke"\n'
    target = '[[target]]\nname = "a"\nurl = "http://a"\nendpoint = [{ path = "/" }]\n'
    file = tmp_path / "perfhouse.toml"
    file.write_text(target + entry)
    scheduled = parse(file.read_text(), file, {})
    with Serving(scheduled, door):
        pass
    an_hour_ago = time.time() - 3600
    for each in (file, scheduled.runs_dir / "agent.lock"):
        os.utime(each, (an_hour_ago, an_hour_ago))
    with caplog.at_level(logging.WARNING), Serving(scheduled, door):
        wait_for(lambda: "schedule each was due at" in caplog.text)
        told = door.requested
    assert "and missed" in caplog.text
    assert len(told) <= 1, "only the minute that may have begun while this test ran"
