"""The collectors' wall clock steps by an hour and by a month, both ways: samples go on, losses are told."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from tests.collectors.processes import (
    QUICK,
    CountingTarget,
    DaemonProcess,
    asked,
    counting_target,
    running_daemon,
    ship_rest,
    wait_for,
    watching,
)
from tests.servers.clocks import LIBRARIES, WallClock
from tests.servers.warehouse import WarehouseProcess, running_warehouse
from warehouse.model import GapReason, now

HOUR = 3600
MONTH = 30 * 86_400
SOON_S = 60
"""Samples go on within a second or two; the rest is for a machine busy with other tests."""

pytestmark = pytest.mark.skipif(not LIBRARIES, reason="libfaketime is not installed")


class World:
    """A warehouse on the true clock, and collectors on one that is moved."""

    def __init__(
        self, warehouse: WarehouseProcess, daemon: DaemonProcess, target: CountingTarget, clock: WallClock
    ):
        self.warehouse = warehouse
        self.daemon = daemon
        self.target = target
        self.clock = clock

    def stored_between(self, start: datetime, end: datetime) -> int:
        with self.warehouse.client("dashboard") as client:
            end = max(end, start + timedelta(seconds=1))
            return client.ask("attempts", target="shop", start=start, end=end).height

    def gaps(self, reason: GapReason) -> pl.DataFrame:
        with self.warehouse.client("dashboard") as client:
            window = {"start": now() - timedelta(days=31), "end": now() + timedelta(days=31)}
            return client.ask("gaps", **window).filter(reason=reason.value)

    def step(self, seconds: float) -> None:
        """Step, and wait until it is still measured."""
        before = self.target.served.total()
        self.clock.step_to(seconds)
        wait_for(lambda: self.target.served.total() > before + 10, SOON_S)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    clock = WallClock(tmp_path / "offset")
    with counting_target() as target:
        config = QUICK + watching("shop", target.url, ["/a", "/b"], interval_s=0.2)
        with (
            running_warehouse(tmp_path, config) as warehouse,
            running_daemon(warehouse.config, **clock.environment) as daemon,
        ):
            wait_for(lambda: target.served.total() > 10)
            yield World(warehouse, daemon, target, clock)
            assert "Traceback" not in daemon.log


@pytest.mark.parametrize("seconds", [HOUR, -HOUR])
def test_a_step_of_an_hour_loses_nothing_and_is_a_gap(world: World, seconds: int) -> None:
    world.step(seconds)
    moved = now() + timedelta(seconds=seconds)
    wait_for(
        lambda: world.stored_between(moved - timedelta(minutes=3), moved + timedelta(minutes=3)) > 10, SOON_S
    )
    wait_for(lambda: not world.gaps(GapReason.CLOCK_STEP).is_empty(), SOON_S)
    first = world.gaps(GapReason.CLOCK_STEP)
    world.step(0)
    wait_for(lambda: world.gaps(GapReason.CLOCK_STEP).height > first.height, SOON_S)
    assert world.daemon.end()[0] == 0
    ship_rest(world.warehouse)
    assert world.gaps(GapReason.REFUSED).is_empty()
    stored = asked(world.warehouse, "attempts", target="shop").height
    everything = world.stored_between(now() - timedelta(hours=2), now() + timedelta(hours=2))
    assert stored <= everything
    assert everything >= world.target.served.total()


def test_a_month_ahead_is_refused_by_name_told_and_over_when_the_clock_is_right(world: World) -> None:
    world.step(MONTH)
    wait_for(lambda: "was refused: attempts.0.at: expected a time within" in world.daemon.log, SOON_S)
    began = now()
    world.step(0)
    wait_for(lambda: world.stored_between(began, now()) > 10, SOON_S)
    wait_for(lambda: not world.gaps(GapReason.REFUSED).is_empty(), SOON_S)
    wait_for(lambda: told_of_refusals(world), SOON_S)
    assert world.daemon.end()[0] == 0
    ship_rest(world.warehouse)
    aside = list((world.warehouse.settings.spool_dir / "refused").glob("*.batch"))
    lost = sum(int(file.name.split("_")[2]) for file in aside)
    told = world.gaps(GapReason.REFUSED)
    due = world.target.served.total() + asked(world.warehouse, "gaps")["missed"].sum()
    assert 10 <= lost <= told["missed"].sum() < 2 * due, "what was measured is lost, not a month"
    assert (told["job"] == "daemon").all()
    assert world.stored_between(now() + timedelta(days=1), now() + timedelta(days=60)) == 0


def told_of_refusals(world: World) -> int:
    """Events of the daemon that say so, at a time that the warehouse takes."""
    events = asked(world.warehouse, "events")
    return events.filter(pl.col("job") == "daemon", pl.col("text").str.contains("refused a batch")).height


def test_a_month_behind_is_stored_as_it_was_told(world: World) -> None:
    world.step(-MONTH)
    then = now() - timedelta(seconds=MONTH)
    wait_for(
        lambda: world.stored_between(then - timedelta(minutes=3), then + timedelta(minutes=3)) > 10, SOON_S
    )
    world.step(0)
    began = now()
    wait_for(lambda: world.stored_between(began, now()) > 10, SOON_S)
    assert world.daemon.end()[0] == 0
    assert world.gaps(GapReason.REFUSED).is_empty()
    assert world.gaps(GapReason.CLOCK_STEP).height >= 2
