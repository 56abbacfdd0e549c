"""A wall clock that steps: the warehouse's work goes on, and retention deletes nothing for it."""

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta, tzinfo
from pathlib import Path
from typing import Any

import apscheduler.executors.base as executors
import apscheduler.schedulers.base as schedulers
import pytest

from tests.collectors.processes import wait_for
from tests.servers.warehouse import ROOT, SERVE, WarehouseProcess, write_config
from warehouse.client import pack
from warehouse.clock import HOLD_S, Clock
from warehouse.model import Batch, Gap, GapReason, now
from warehouse.schedule import Schedule

HOUR = timedelta(hours=1)
MONTH = timedelta(days=30)
LIBRARIES = sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))


class Hands:
    """Two clocks that only move when they are moved."""

    def __init__(self) -> None:
        self.wall = datetime(2026, 11, 24, 12, tzinfo=UTC)
        self.steady = 5000.0

    def pass_(self, time_: timedelta) -> None:
        self.wall += time_
        self.steady += time_.total_seconds()

    def clock(self, file: Path, boot: str = "boot 1") -> Clock:
        return Clock(file, wall=lambda: self.wall, steady=lambda: self.steady, boot=boot)


@pytest.fixture
def hands() -> Hands:
    return Hands()


@pytest.mark.parametrize("step", [-HOUR, -MONTH, timedelta(minutes=59), timedelta(seconds=2)])
def test_a_step_back_or_a_small_one_holds_nothing(hands: Hands, tmp_path: Path, step: timedelta) -> None:
    clock = hands.clock(tmp_path / "clock")
    hands.wall += step
    assert clock.look() == (step if abs(step) > timedelta(seconds=2) else timedelta())
    assert (clock.held_s, clock.why) == (0, "")


@pytest.mark.parametrize(("step", "words"), [(HOUR * 1.01, "3636 s"), (MONTH, "30 days")])
def test_a_step_forward_holds_for_a_day_and_no_longer(
    hands: Hands, tmp_path: Path, step: timedelta, words: str
) -> None:
    clock = hands.clock(tmp_path / "clock")
    hands.pass_(timedelta(days=3))
    assert clock.look() == timedelta()
    hands.wall += step
    assert clock.look() == step
    assert clock.held_s == HOLD_S
    assert clock.why == f"the clock stepped forward by {words}"
    hands.pass_(timedelta(hours=23.9))
    assert clock.look() == timedelta()
    assert clock.held_s > 0
    hands.pass_(timedelta(hours=0.2))
    assert (clock.held_s, clock.why) == (0, "")


def test_time_in_which_the_machine_sleeps_is_no_step(hands: Hands, tmp_path: Path) -> None:
    clock = hands.clock(tmp_path / "clock")
    hands.pass_(timedelta(hours=9))
    assert clock.look() == timedelta()
    assert clock.held_s == 0


def test_a_restart_ends_no_hold(hands: Hands, tmp_path: Path) -> None:
    clock = hands.clock(tmp_path / "clock")
    hands.wall += MONTH
    clock.look()
    hands.pass_(timedelta(hours=4))
    clock.look()
    clock.save()
    again = hands.clock(tmp_path / "clock")
    assert again.held_s == HOLD_S - 4 * 3600
    assert again.why == "the clock stepped forward by 30 days"


def test_a_step_is_told_in_the_nearest_whole_days(hands: Hands, tmp_path: Path) -> None:
    clock = hands.clock(tmp_path / "clock")
    hands.wall += MONTH - timedelta(seconds=1)
    clock.look()
    assert clock.why == "the clock stepped forward by 30 days"


def test_a_step_while_nothing_ran_is_seen_at_the_next_start(hands: Hands, tmp_path: Path) -> None:
    hands.clock(tmp_path / "clock").save()
    hands.pass_(timedelta(days=5))
    assert hands.clock(tmp_path / "clock").held_s == 0, "the machine ran on: time passed, nothing stepped"
    hands.wall += MONTH
    stepped = hands.clock(tmp_path / "clock")
    assert stepped.held_s == HOLD_S
    assert stepped.why == "the clock stepped forward by 30 days while the warehouse did not run"


@pytest.mark.parametrize(("off", "held"), [(timedelta(hours=14), False), (MONTH, True)])
def test_after_a_boot_only_a_long_absence_holds(
    hands: Hands, tmp_path: Path, off: timedelta, held: bool
) -> None:
    """A machine that is off every night must still delete what is old."""
    hands.clock(tmp_path / "clock").save()
    hands.wall += off
    hands.steady = 20.0
    assert bool(hands.clock(tmp_path / "clock", boot="boot 2").held_s) == held


@pytest.mark.parametrize("text", ["", "{", "[]", '{"wall": 3}'])
def test_a_damaged_memory_of_the_clock_is_none(hands: Hands, tmp_path: Path, text: str) -> None:
    (tmp_path / "clock").write_text(text)
    assert hands.clock(tmp_path / "clock").held_s == 0


class SteppingDatetime(datetime):
    """The wall clock that APScheduler reads, moved by `offset`."""

    offset = timedelta()

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> datetime:
        return datetime.now(tz) + cls.offset


@pytest.fixture
def stepping(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[SteppingDatetime]]:
    monkeypatch.setattr(schedulers, "datetime", SteppingDatetime)
    monkeypatch.setattr(executors, "datetime", SteppingDatetime)
    yield SteppingDatetime
    SteppingDatetime.offset = timedelta()


@pytest.mark.parametrize("step", [-HOUR, HOUR, MONTH, -MONTH])
def test_jobs_go_on_after_a_step(stepping: type[SteppingDatetime], tmp_path: Path, step: timedelta) -> None:
    def wall() -> datetime:
        return stepping.now(UTC)

    clock = Clock(tmp_path / "clock", wall=wall)
    schedule = Schedule(clock.look, wall=wall)
    runs: list[float] = []
    schedule.every(0.3, lambda: runs.append(time.monotonic()))
    schedule.start()
    try:
        wait_for(lambda: len(runs) > 3)
        stepping.offset = step
        before = len(runs)
        wait_for(lambda: len(runs) > before + 5, 20)
        time.sleep(1)
        assert len(runs) < before + 40, "runs that lay in the step were all made up for"
    finally:
        schedule.stop()


@contextmanager
def faked(process: WarehouseProcess, offset_file: Path) -> Iterator[None]:
    """The warehouse with a wall clock that the file moves; its steady clock is the machine's."""
    environment = {
        "LD_PRELOAD": str(LIBRARIES[0]),
        "FAKETIME_TIMESTAMP_FILE": str(offset_file),
        "FAKETIME_CACHE_DURATION": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "PATH": "/usr/bin:/bin",
    }
    with subprocess.Popen(
        [sys.executable, "-c", SERVE, str(process.config)], cwd=ROOT, env=environment
    ) as started:
        process._process = started
        try:
            process.wait_ready()
            yield
        finally:
            process.stop()


def kept(process: WarehouseProcess) -> tuple[int, dict[str, Any]]:
    with process.client("dashboard") as client:
        rows = dict(client.ask("storage").select("table_name", "rows").iter_rows())
        return rows["gap"], client.health()["clock"]


@pytest.mark.skipif(not LIBRARIES, reason="libfaketime is not installed")
def test_a_real_warehouse_keeps_everything_when_its_clock_jumps_a_month(tmp_path: Path) -> None:
    """Retention runs at each start; only the jump makes these gaps look old, which no cells stand for."""
    process = WarehouseProcess(write_config(tmp_path, "[retention]\nraw_days = 7\n"))
    offset = tmp_path / "offset"
    offset.write_text("+0\n")
    with faked(process, offset):
        with process.client("collect") as client:
            instants = [now() - timedelta(seconds=second) for second in range(20)]
            rows = tuple(Gap(at=at, until=at, job="j", reason=GapReason.MISSED, missed=1) for at in instants)
            client.send("kept-gaps", pack(Batch(batch_id="kept-gaps", gaps=rows)))
        assert kept(process) == (20, {"retention_held_s": 0.0, "reason": ""})
        offset.write_text("+30d\n")
        wait_for(lambda: kept(process)[1]["retention_held_s"])
        count, clock = kept(process)
        assert count == 20
        assert clock["reason"] == "the clock stepped forward by 30 days"
    with faked(process, offset):
        time.sleep(2)
        count, clock = kept(process)
        assert (count, clock["reason"]) == (20, "the clock stepped forward by 30 days")
        offset.write_text("-1h\n")
        time.sleep(2)
        assert kept(process)[0] == 20
    (tmp_path / "data" / "warehouse.clock").unlink()
    offset.write_text("+30d\n")
    with faked(process, offset):
        wait_for(lambda: kept(process)[0] == 0)
