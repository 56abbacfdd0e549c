"""Scheduled runs are requested when they are due, once; what was missed is told and not made up."""

import logging
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from loadtests.schedule import Schedule, cron_trigger
from tests.cli.running import perfhouse
from tests.servers.warehouse import write_config
from warehouse.errors import ConfigurationError, PerfhouseError, RefusedError, WarehouseAwayError
from warehouse.settings import ScheduleSettings

HOURLY = ScheduleSettings(name="hourly", cron="0 * * * *", target="shop", preset="smoke")
START = datetime(2026, 11, 24, 12, 30, tzinfo=UTC)
DUE = datetime(2026, 11, 24, 13, 0, tzinfo=UTC)


class Requests(list[str]):
    def __call__(self, entry: ScheduleSettings) -> None:
        self.append(entry.name)


def seconds(number: float) -> timedelta:
    return timedelta(seconds=number)


def test_a_run_is_requested_once_each_time_it_is_due() -> None:
    made = Requests()
    schedule = Schedule([HOURLY], made, since=START)
    for second in range(0, 2 * 3600, 1):
        schedule.tick(START + seconds(second))
        schedule.tick(START + seconds(second + 0.4))
    assert made == ["hourly", "hourly"]
    assert schedule.next_at("hourly") == DUE + seconds(2 * 3600)


def test_fields_are_read_as_cron_reads_them_in_utc() -> None:
    weekdays = ScheduleSettings(name="night", cron="30 2 * * mon-fri", target="shop", preset="smoke")
    friday_noon = datetime(2026, 11, 27, 12, 0, tzinfo=UTC)
    schedule = Schedule([weekdays], Requests(), since=friday_noon)
    assert schedule.next_at("night") == datetime(2026, 11, 30, 2, 30, tzinfo=UTC)


WEEK = [datetime(2026, 11, 22 + day, tzinfo=UTC) for day in range(7)]
"""Sunday to Saturday."""


@pytest.mark.parametrize(
    ("days", "due"),
    [
        ("1-5", [1, 2, 3, 4, 5]),
        ("0", [0]),
        ("7", [0]),
        ("5-7", [0, 5, 6]),
        ("0,3", [0, 3]),
        ("mon,6", [1, 6]),
        ("*/2", [0, 2, 4, 6]),
        ("1-5/2", [1, 3, 5]),
        ("4/2", [4, 6]),
        ("sat", [6]),
        ("*", [0, 1, 2, 3, 4, 5, 6]),
    ],
)
def test_days_of_the_week_are_numbered_as_cron_numbers_them(days: str, due: list[int]) -> None:
    entry = ScheduleSettings(name="days", cron=f"0 0 * * {days}", target="shop", preset="smoke")
    trigger = cron_trigger(entry)
    assert [day for day, at in enumerate(WEEK) if trigger.get_next_fire_time(None, at) == at] == due


@pytest.mark.parametrize("days", ["8", "5-2", "1/0", "funday"])
def test_days_that_are_none_are_refused(days: str) -> None:
    entry = ScheduleSettings(name="days", cron=f"0 0 * * {days}", target="shop", preset="smoke")
    with pytest.raises(ConfigurationError, match="schedule days: cron"):
        cron_trigger(entry)


def test_what_was_due_while_nobody_looked_is_told_and_not_made_up(caplog: pytest.LogCaptureFixture) -> None:
    made = Requests()
    schedule = Schedule([HOURLY], made, since=START)
    with caplog.at_level(logging.WARNING):
        schedule.tick(DUE + seconds(3 * 3600 + 600))
    assert made == []
    assert "schedule hourly was due at 2026-11-24T13:00:00+00:00 and missed" in caplog.text
    assert schedule.next_at("hourly") == DUE + seconds(4 * 3600)
    assert Schedule([HOURLY], made, since=DUE + seconds(1)).next_at("hourly") == DUE + seconds(3600)


def test_a_little_late_is_not_missed() -> None:
    made = Requests()
    Schedule([HOURLY], made, since=START).tick(DUE + seconds(20))
    assert made == ["hourly"]


def test_a_refusal_is_told_and_the_next_is_made(caplog: pytest.LogCaptureFixture) -> None:
    made = Requests()

    def request(entry: ScheduleSettings) -> None:
        if not made:
            made.append("refused")
            raise RefusedError("the target is busy with r1", status=409)
        made(entry)

    schedule = Schedule([HOURLY], request, since=START)
    with caplog.at_level(logging.WARNING):
        schedule.tick(DUE)
    assert "made no run: the target is busy with r1" in caplog.text
    schedule.tick(DUE + seconds(3600))
    assert made == ["refused", "hourly"]


def test_a_cron_that_is_none_is_named() -> None:
    wrong = ScheduleSettings(name="odd", cron="61 * * * *", target="shop", preset="smoke")
    with pytest.raises(ConfigurationError, match="schedule odd: cron"):
        Schedule([wrong], Requests(), since=START)


def test_a_missed_run_is_told_as_soon_as_somebody_hears_it() -> None:
    told: list[tuple[str, datetime, str]] = []
    away = [WarehouseAwayError("away")] * 2

    def tell(entry: ScheduleSettings, due: datetime, why: str) -> None:
        if away:
            raise away.pop()
        told.append((entry.name, due, why))

    schedule = Schedule([HOURLY], Requests(), since=START, tell_missed=tell)
    for second in (600, 601):
        with pytest.raises(WarehouseAwayError):
            schedule.tick(DUE + seconds(second))
    for second in (602, 603):
        schedule.tick(DUE + seconds(second))
    assert told == [("hourly", DUE, "no load agent looked until 2026-11-24 13:10:00 UTC")]


@pytest.mark.parametrize(
    ("error", "amount"), [(WarehouseAwayError("nobody answers"), 1), (RefusedError("busy", status=409), 0)]
)
def test_a_run_that_could_not_be_requested_is_missed_unless_the_warehouse_refused_it(
    error: PerfhouseError, amount: int
) -> None:
    told: list[str] = []

    def request(_: ScheduleSettings) -> None:
        raise error

    schedule = Schedule([HOURLY], request, since=START, tell_missed=lambda *said: told.append(said[2]))
    schedule.tick(DUE + seconds(1))
    assert told == ["it could not be requested: nobody answers"] * amount


LIMITED = """
[[target]]
name = "shop"
url = "http://127.0.0.1:9"
endpoint = [{ path = "/" }]
load = { users = 10, requests_per_s = 10, duration_s = 200 }
[[target]]
name = "fenced"
url = "http://127.0.0.1:9"
endpoint = [{ path = "/" }]
"""


def scheduled(folder: Path, **fields: str) -> str:
    """What `check` says of a configuration with this schedule."""
    told = {"name": "night", "cron": "0 2 * * *", "target": "shop", "preset": "smoke"} | fields
    entry = "[[schedule]]\n" + "".join(f'{key} = "{value}"\n' for key, value in told.items())
    done = perfhouse("check", config=write_config(folder, LIMITED + entry))
    assert done.returncode == (0 if ": ok;" in done.stderr else 78)
    return done.stderr


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({}, ": ok;"),
        (
            {"preset": "light"},
            "schedule night: preset: light asks for users = 20, ",
        ),
        ({"target": "fenced"}, "schedule night: target: "),
        ({"scenario": "invoice-api"}, "schedule night: scenario: "),
        ({"target": "nowhere"}, "nowhere"),
        ({"cron": "61 2 * * *"}, "schedule night: cron: "),
    ],
)
def test_check_refuses_schedules_that_would_never_make_a_run(
    tmp_path: Path, fields: dict[str, str], said: str
) -> None:
    assert said in scheduled(tmp_path, **fields)
