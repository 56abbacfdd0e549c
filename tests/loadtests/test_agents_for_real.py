"""The agent's process among real ones: how soon a run starts, who takes it up, who helps, who ends it."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from loadtests.reattach import processes_of
from tests.cli.children import wait_for
from tests.cli.running import ROOT, clean_environment, perfhouse
from tests.loadtests.observatory import AgentProcess, kill, observatory
from warehouse.errors import RefusedError

STARTS_WITHIN_S = 2.0


def test_a_run_starts_within_two_seconds_of_its_request(tmp_path: Path) -> None:
    with observatory(tmp_path, "--stop-runs") as seen:
        wait_for(lambda: "load agent" in seen.agent.said)
        requested_at = time.time()
        run_id = seen.request("long")
        wait_for(lambda: seen.state(run_id) is not None, told=lambda: seen.agent.said)
        state = seen.state(run_id)
        assert state is not None
        assert psutil.Process(state.pid).create_time() - requested_at < STARTS_WITHIN_S


def test_one_run_per_target_and_several_targets_at_once(tmp_path: Path) -> None:
    with observatory(tmp_path, "--stop-runs") as seen:
        first = seen.request("middle")
        other = seen.request("short", target="other")
        with pytest.raises(RefusedError, match=first):
            seen.request("short")
        waiting = seen.request("short", waits=True)
        seen.wait_attacking(first)
        seen.wait_attacking(other, least=20)
        assert not seen.folder_of(waiting).path.exists()
        seen.wait_complete(first)
        seen.wait_complete(waiting)
        ended, began = seen.state(first), seen.state(waiting)
        assert ended is not None
        assert began is not None
        assert ended.state == began.state == "finished"
        assert (ended.ended_at_us or 0) < (began.started_at_us or 0)


def test_a_stopped_agent_leaves_the_run_going_and_the_next_reports_it(tmp_path: Path) -> None:
    with observatory(tmp_path) as seen:
        run_id = seen.request("middle")
        seen.wait_attacking(run_id)
        assert seen.agent.end() == 0
        assert "1 runs go on without us" in seen.agent.said
        before = seen.spooled(run_id)
        wait_for(lambda: seen.spooled(run_id) > before + 50)
        seen.agent.start()
        wait_for(lambda: f"reattached to {run_id}" in seen.agent.said)
        seen.wait_complete(run_id)
        run, rows, _ = seen.stored(run_id)
        assert (run["state"], rows) == ("finished", seen.target.total)


def test_a_launcher_killed_while_no_agent_watches_leaves_no_attack_and_a_partial_run(tmp_path: Path) -> None:
    with observatory(tmp_path) as seen:
        run_id = seen.request("long-2")
        seen.wait_attacking(run_id)
        state = seen.state(run_id)
        assert state is not None
        seen.agent.end(signal.SIGKILL)
        kill(state.pid, signal.SIGKILL)
        seen.agent.start()
        seen.wait_complete(run_id)
        assert list(processes_of(seen.folder_of(run_id))) == []
        served = seen.target.total
        run, rows, _ = seen.stored(run_id)
        assert (run["state"], run["is_partial"]) == ("failed", True)
        assert "the launcher" in run["reason"]
        assert rows <= served == seen.target.total


def test_an_agent_told_to_stop_its_runs_stops_them_gracefully(tmp_path: Path) -> None:
    with observatory(tmp_path, "--stop-runs") as seen:
        run_id = seen.request("long")
        seen.wait_attacking(run_id)
        assert seen.agent.end() == 0
        wait_for(lambda: list(processes_of(seen.folder_of(run_id))) == [])
        seen.agent.start()
        seen.wait_complete(run_id)
        run, rows, _ = seen.stored(run_id)
        assert (run["state"], run["is_partial"]) == ("cancelled", False)
        assert rows == seen.target.total


def test_a_second_agent_exits_75(tmp_path: Path) -> None:
    with observatory(tmp_path) as seen:
        wait_for(lambda: "load agent" in seen.agent.said)
        done = perfhouse("agent", config=seen.agent.config)
        assert done.returncode == 75
        assert "a load agent of" in done.stderr


def test_the_secrets_a_plan_names_reach_the_target_and_no_file(tmp_path: Path) -> None:
    """The launcher gets the variable; the plan, the logs and its command line hold only its name."""
    with observatory(tmp_path, agent=False) as seen:
        text = seen.warehouse.config.read_text().replace(
            'name = "shop"', 'name = "shop"\nheaders = { Authorization = { env = "SHOP_KEY" } }'
        )
        seen.warehouse.stop()
        seen.warehouse.config.write_text(text)
        seen.warehouse.start()
        command = [sys.executable, str(ROOT / "perfhouse.py"), "--config", str(seen.agent.config), "agent"]
        with (tmp_path / "agent.log").open("ab") as log:
            seen.agent.process = subprocess.Popen(
                command, cwd=ROOT, stdout=log, stderr=log, env=clean_environment(SHOP_KEY="hunter2")
            )
        run_id = seen.request("short")
        seen.wait_complete(run_id)
        tokens = seen.target.told()["tokens"]
        assert tokens["hunter2"] == seen.target.total > 0
        files = [file for file in tmp_path.rglob("*") if file.is_file()]
        assert [file.name for file in files if b"hunter2" in file.read_bytes()] == []


def test_two_agents_share_a_run_and_each_ships_its_own(tmp_path: Path) -> None:
    with observatory(tmp_path) as seen:
        options = ("--scope", "load", "--scope", "ingest", "--source", "second")
        token = perfhouse("token", "add", "second", *options, config=seen.warehouse.config).stdout
        there = tmp_path / "there"
        there.mkdir()
        (there / "token").write_text(token)
        (there / "perfhouse.toml").write_text(
            f'[agent]\nname = "second"\nwarehouse_url = "{seen.warehouse.settings.warehouse.url}"\n'
            'token = { file = "token" }\n'
        )
        second = AgentProcess(there / "perfhouse.toml", there / "agent.log", "--stop-runs")
        second.start()
        try:
            run_id = seen.request("shared")
            wait_for((second.settings.runs_dir / run_id / "plan.json").exists, 30)
            seen.wait_complete(run_id)
            seen.wait_complete(run_id, second)
        finally:
            second.stop()
        here, helped = seen.spooled(run_id), seen.spooled(run_id, second)
        assert min(here, helped) > 20
        run, rows, distinct = seen.stored(run_id)
        assert run["state"] == "finished"
        assert rows == distinct == here + helped == seen.target.total
