"""Scheduled runs through a real warehouse: APScheduler's own cron, and an instant at which it is due."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

from loadtests.agent import Agent
from loadtests.schedule import Schedule
from tests.servers.warehouse import running_warehouse
from warehouse.client import Client

CONFIGURATION = """
[[target]]
name = "shop"
url = "http://127.0.0.1:1"
endpoint = [{ path = "/health" }]
load = { users = 10, requests_per_s = 100, duration_s = 300 }
[[schedule]]
name = "hourly"
cron = "0 * * * *"
target = "shop"
preset = "smoke"
"""
BEFORE = datetime(2026, 11, 24, 12, 59, 30, tzinfo=UTC)
DUE = datetime(2026, 11, 24, 13, 0, 0, tzinfo=UTC)


def test_a_due_run_is_requested_and_one_at_a_busy_target_is_audited_as_refused(tmp_path: Path) -> None:
    with running_warehouse(tmp_path, CONFIGURATION) as warehouse, warehouse.client("cli") as cli:
        settings = warehouse.settings
        with Client.for_process(settings, "agent", retries=0) as client:
            schedule = Schedule(settings.schedule, Agent(settings, client).request, since=BEFORE)
            schedule.tick(DUE - timedelta(seconds=1))
            assert cli.ask("runs").height == 0
            schedule.tick(DUE)
            (run,) = cli.ask("runs").to_dicts()
            assert (run["target"], run["preset"], run["via"]) == ("shop", "smoke", "schedule")
            assert run["state"] == "requested"
            schedule.tick(DUE + timedelta(hours=1))
            assert cli.ask("runs").height == 1
        start = datetime.now(UTC) - timedelta(hours=1)
        log = cli.ask("audit_log", start=start, end=start + timedelta(hours=2)).sort("at").to_dicts()
        assert [(row["via"], row["outcome"]) for row in log] == [
            ("schedule", "done"),
            ("schedule", "refused"),
        ]
        assert run["run_id"] in log[-1]["text"]


def test_a_missed_run_is_in_the_audit_log_once(tmp_path: Path) -> None:
    with running_warehouse(tmp_path, CONFIGURATION) as warehouse, warehouse.client("cli") as cli:
        settings = warehouse.settings
        with Client.for_process(settings, "agent", retries=0) as client:
            agent = Agent(settings, client)
            for _ in range(2):  # an agent that is started again may tell it again
                schedule = Schedule(
                    settings.schedule, agent.request, since=BEFORE, tell_missed=agent.tell_missed
                )
                schedule.tick(DUE + timedelta(hours=1))
        assert cli.ask("runs").height == 0
        end = datetime.now(UTC) + timedelta(minutes=1)
        (row,) = cli.ask("audit_log", start=end - timedelta(hours=1), end=end).to_dicts()
    assert (row["who"], row["subject"], row["outcome"]) == ("schedule hourly", "smoke at shop", "missed")
    assert row["text"] == (
        "due at 2026-11-24 13:00:00 UTC: no load agent looked until 2026-11-24 14:00:00 UTC"
    )
