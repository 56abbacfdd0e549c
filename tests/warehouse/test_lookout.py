"""A change of what is watched is told once, with what moved beside it, and has a life."""

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Any

import pyarrow as pa
import pytest

from tests.warehouse.watched_worlds import POINT, World, last_point
from warehouse.change_points import Found
from warehouse.lookout import Lookout
from warehouse.settings import Settings
from warehouse.store import Store
from warehouse.watched import Metric, Watched
from warehouse.writer import Writer

DAYS = 3
Ask = Callable[..., pa.Table]


@pytest.fixture
def lookout(store: Store, writer: Writer, settings: Settings) -> Iterator[Lookout]:
    lookout = Lookout(store, writer, settings)
    yield lookout
    lookout.stop()


@pytest.fixture
def world(store: Store) -> World:
    """Three days in which nothing changed, up to six hours ago."""
    end = last_point() - timedelta(hours=6)
    world = World(store, end - timedelta(days=DAYS))
    world.go_on(end)
    return world


def found(ask: Ask, **parameters: object) -> list[dict[str, Any]]:
    end = last_point() + timedelta(hours=1)
    window = {"start": f"{end - timedelta(days=10)}Z", "end": f"{end}Z"}
    rows: list[dict[str, Any]] = ask("regressions", **window, **parameters).to_pylist()
    return rows


def series(ask: Ask, regression_id: str) -> set[tuple[str, str, str]]:
    rows = ask("regression_series", regression_id=regression_id).to_pylist()
    return {(row["object"], row["metric"], row["role"]) for row in rows}


def test_a_slowdown_is_told_once_as_one_with_what_moved(
    world: World, lookout: Lookout, ask: Ask, store: Store, writer: Writer, settings: Settings
) -> None:
    lookout.look()
    assert found(ask) == []
    watched = {row["kind"]: row for row in ask("watching").to_pylist()}
    assert {kind: (row["series"], row["ready"]) for kind, row in watched.items()} == {
        "probe": (6, 6),
        "query": (2, 2),
        "host": (1, 1),
    }
    slow_at = world.at
    world.go_on(slow_at + timedelta(hours=3), cart_ms=70.0, query_ms=35.0)
    lookout.look()
    (told,) = found(ask)
    assert (told["verdict"], told["state"], told["targets"]) == ("regression", "open", "db, shop")
    assert (told["object"], told["direction"]) == ("GET /cart", "lower")
    assert abs(told["changed_at"].replace(tzinfo=None) - slow_at) <= 2 * POINT
    assert told["low_ratio"] <= 0.75 <= told["high_ratio"] * 1.05
    assert told["before"] == pytest.approx(told["after"] / (1 + told["size_ratio"]), rel=0.1)
    assert series(ask, told["regression_id"]) == {
        ("GET /cart", "p50_ms", "found"),
        ("GET /cart", "p95_ms", "found"),
        ("shop/a1", "query_mean_ms", "found"),
    }
    moved = {
        (row["kind"], row["metric"]): row
        for row in ask("moved_with", regression_id=told["regression_id"]).to_pylist()
    }
    assert moved["query", "query_mean_ms"]["query"] == "SELECT name FROM supplier WHERE id = ?"
    assert moved["query", "query_mean_ms"]["share"] == pytest.approx(1.0, abs=0.1)
    assert moved["phase", "first_byte_ms"]["share"] == pytest.approx(1.0, abs=0.05)
    assert moved["phase", "first_byte_ms"]["of_ms"] == pytest.approx(30.5, abs=2)
    assert ("host", "cpu_ratio") not in moved

    lookout.look()
    again = Lookout(store, writer, settings)
    again.look()
    again.look()
    again.stop()
    assert len(found(ask)) == 1, "told again after a second look, or after a start"


def test_what_is_well_again_resolves_itself_and_what_is_worse_again_opens_it(
    world: World, lookout: Lookout, ask: Ask
) -> None:
    lookout.look()
    world.go_on(world.at + timedelta(hours=2), cart_ms=80.0)
    lookout.look()
    assert [row["state"] for row in found(ask)] == ["open"]
    world.go_on(world.at + timedelta(hours=2))
    lookout.look()
    (told,) = found(ask)
    assert (told["state"], told["state_by"]) == ("resolved", "by itself")
    assert ("GET /cart", "p95_ms", "back") in series(ask, told["regression_id"])
    world.go_on(world.at + timedelta(hours=2) - POINT, cart_ms=80.0)
    lookout.look()
    (told,) = found(ask)
    assert told["state"] == "open"
    events = ask("regression_events", regression_id=told["regression_id"])["action"].to_pylist()
    assert (events[0], events[1], events[2]) == ("found", "resolve", "reopen")


def test_after_a_restart_what_moved_with_a_young_regression_is_looked_at_again(
    world: World, lookout: Lookout, ask: Ask, store: Store, writer: Writer, settings: Settings
) -> None:
    lookout.look()
    slow_at = world.at
    while not found(ask):
        world.go_on(world.at + POINT, cart_ms=70.0, query_ms=35.0)
        lookout.look()
    (young,) = found(ask)
    before = moves(ask, young["regression_id"])
    assert max(before.values(), default=0) < 16, "fewer than there are after the restart"
    lookout.stop()

    world.go_on(slow_at + timedelta(hours=1, minutes=30), cart_ms=70.0, query_ms=35.0)
    again = Lookout(store, writer, settings)
    again.look()
    told = moves(ask, young["regression_id"])
    assert told["phase", "first_byte_ms"] > before.get(("phase", "first_byte_ms"), 0)
    assert told["query", "query_mean_ms"] >= 16
    world.go_on(slow_at + timedelta(hours=3), cart_ms=70.0, query_ms=35.0)
    again.look()
    assert moves(ask, young["regression_id"])["query", "query_mean_ms"] == 24, "what came late counts too"
    again.stop()


def test_an_endpoint_found_after_its_query_is_what_is_explained(
    world: World, lookout: Lookout, ask: Ask
) -> None:
    """Only of an endpoint's time the parts are known."""
    lookout.look()
    slow_at = world.at
    kinds: list[str] = []
    while "probe" not in kinds and world.at < slow_at + timedelta(hours=2):
        cart_ms = 40.0 if world.at < slow_at + 2 * POINT else 50.0
        world.go_on(world.at + POINT, cart_ms=cart_ms, query_ms=15.0)
        lookout.look()
        kinds = [row["kind"] for row in changes(ask)]
        if kinds == ["query"]:
            (first,) = found(ask)
            assert not any(row["share"] for row in moved_with(ask, first["regression_id"]))
    assert (kinds[0], kinds[-1]) == ("query", "probe")
    (told,) = found(ask)
    shares = {row["metric"]: row["share"] for row in moved_with(ask, told["regression_id"])}
    assert shares["query_mean_ms"] == pytest.approx(1.0, abs=0.2)


def changes(ask: Ask) -> list[dict[str, Any]]:
    """The change points, in the order in which they were found."""
    end = last_point() + timedelta(hours=1)
    rows = ask("change_points", start=f"{end - timedelta(days=10)}Z", end=f"{end}Z").to_pylist()
    return sorted(rows, key=lambda row: row["found_at"])


def moved_with(ask: Ask, regression_id: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = ask("moved_with", regression_id=regression_id).to_pylist()
    return rows


def test_what_is_over_keeps_what_moved_with_it(world: World, lookout: Lookout, ask: Ask) -> None:
    lookout.look()
    world.go_on(world.at + timedelta(hours=1, minutes=30), cart_ms=80.0)
    lookout.look()
    (young,) = found(ask)
    before = moves(ask, young["regression_id"])
    assert before
    world.go_on(world.at + timedelta(hours=2))
    lookout.look()
    assert any(role == "back" for *_, role in series(ask, young["regression_id"]))
    assert moves(ask, young["regression_id"]) == before


def moves(ask: Ask, regression_id: str) -> dict[tuple[str, str], int]:
    """What moved with a regression, with the points after it that this stands on."""
    rows = ask("moved_with", regression_id=regression_id).to_pylist()
    return {(row["kind"], row["metric"]): row["points_after"] for row in rows}


def test_an_improvement_is_told_as_such(world: World, lookout: Lookout, ask: Ask) -> None:
    lookout.look()
    world.go_on(world.at + timedelta(hours=3), root_ms=12.0)
    lookout.look()
    (told,) = found(ask)
    assert (told["verdict"], told["state"], told["object"]) == ("improvement", "told", "GET /")
    assert told["size_ratio"] == pytest.approx(-0.4, abs=0.05)


def test_errors_are_told_as_they_were_counted(world: World, lookout: Lookout, ask: Ask) -> None:
    lookout.look()
    world.go_on(world.at + timedelta(hours=3), failing=0.25)
    lookout.look()
    (told,) = [row for row in found(ask) if row["metric"] == "error_ratio"]
    assert (told["before"], told["size_ratio"]) == (0.0, None), "from nothing there is no ratio"
    assert told["after"] == pytest.approx(0.25, abs=0.04)


def test_errors_are_told_with_the_interval_of_their_difference(
    world: World, lookout: Lookout, ask: Ask
) -> None:
    lookout.look()
    world.go_on(world.at + timedelta(hours=3), failing=0.25)
    lookout.look()
    (told,) = [row for row in found(ask) if row["metric"] == "error_ratio"]
    assert told["low_ratio"] is None, "from nothing there is no ratio"
    assert told["low_difference"] < told["after"] - told["before"] < told["high_difference"]
    assert told["low_difference"] < 0.25 < told["high_difference"]
    n = 24 * told["points_after"]
    width = told["high_difference"] - told["low_difference"]
    assert width >= 0.9 * 2 * 1.96 * (0.25 * 0.75 / n) ** 0.5, "no narrower than so many attempts allow"
    latency = [row for row in found(ask) if row["unit"] == "ms"]
    assert all(row["low_difference"] is None for row in latency)


def test_history_is_looked_back_at_when_the_watch_begins(world: World, lookout: Lookout, ask: Ask) -> None:
    world.go_on(world.at + timedelta(hours=5), cart_ms=70.0)
    lookout.look()
    (told,) = found(ask)
    assert told["looked_back"]
    assert told["object"] == "GET /cart"


def test_what_was_well_again_long_ago_is_told_by_the_time_it_held(
    store: Store, lookout: Lookout, ask: Ask
) -> None:
    end = last_point()
    world = World(store, end - timedelta(days=6))
    for hours, failing in ((72, 0.0), (3, 0.08), (68, 0.0)):
        world.go_on(world.at + timedelta(hours=hours), failing=failing)
    lookout.look()
    (told,) = found(ask)
    assert (told["object"], told["metric"], told["state"]) == ("GET /cart", "error_ratio", "resolved")
    assert told["points_after"] == pytest.approx(36, abs=3)
    ((share,),) = (
        store.cursor()
        .execute(
            "SELECT avg((outcome <> 'ok')::INTEGER) FROM attempt JOIN series USING (series_id) "
            "WHERE object = 'GET /cart' AND ts >= $at AND ts < $at + $points * INTERVAL 5 MINUTE",
            {"at": told["changed_at"].replace(tzinfo=None), "points": told["points_after"]},
        )
        .fetchall()
    )
    assert told["after"] == pytest.approx(share)
    assert told["low_difference"] < share < told["high_difference"]


@pytest.mark.parametrize(("cpu", "told"), [(0.5, False), (0.9, True)])
def test_what_moves_at_that_hour_every_day_did_not_move_with_it(
    store: Store, lookout: Lookout, ask: Ask, *, cpu: float, told: bool
) -> None:
    slow_at = last_point() - timedelta(hours=3)
    world = World(store, slow_at - timedelta(days=4))
    for _ in range(4):
        world.go_on(world.at + timedelta(hours=12), cpu=0.5)
        world.go_on(world.at + timedelta(hours=12), cpu=0.2)
    lookout.look()
    world.go_on(slow_at + timedelta(hours=3), cart_ms=70.0, cpu=cpu)
    lookout.look()
    slow = next(row for row in found(ask) if row["object"] == "GET /cart")
    moved = ask("moved_with", regression_id=slow["regression_id"]).to_pylist()
    assert any(row["kind"] == "phase" for row in moved)
    hosts = [row for row in moved if row["kind"] == "host"]
    assert [(row["before"], row["after"]) for row in hosts] == (
        [(pytest.approx(0.2, rel=0.1), pytest.approx(cpu, rel=0.1))] if told else []
    )


def test_points_wait_until_rows_of_a_later_one_are_stored(world: World, lookout: Lookout, ask: Ask) -> None:
    lookout.look()
    until = {row["kind"]: row["until_at"].replace(tzinfo=None) for row in ask("watching").to_pylist()}
    assert until == dict.fromkeys(("probe", "query", "host"), world.at - POINT)


def test_too_small_a_change_is_not_told(world: World, lookout: Lookout, ask: Ask) -> None:
    lookout.look()
    world.go_on(world.at + timedelta(hours=5), cart_ms=42.0, cpu=0.25)
    lookout.look()
    assert found(ask) == []


def test_other_thresholds_are_judged_on_history(world: World, ask: Ask) -> None:
    slow_at = world.at
    world.go_on(slow_at + timedelta(hours=3), cart_ms=52.0)
    asked = {
        "start": f"{slow_at - timedelta(days=1)}Z",
        "end": f"{last_point()}Z",
        "target": "shop",
        "endpoint": "GET /cart",
        "metric": "p50_ms",
    }
    (told,) = ask("judge_again", **asked).to_pylist()
    assert told["verdict"] == "regression"
    assert abs(told["at"].replace(tzinfo=None) - slow_at) <= 2 * POINT
    assert timedelta() < told["told_at"] - told["at"] <= timedelta(hours=1)
    assert told["size_ratio"] == pytest.approx(0.3, abs=0.05)
    assert ask("judge_again", **asked, smallest_ratio=0.5).num_rows == 0
    assert ask("judge_again", **asked, smallest_ms=20).num_rows == 0
    assert ask("judge_again", **asked, caution=100).num_rows == 0
    assert ask("judge_again", **{**asked, "endpoint": "GET /"}).num_rows == 0


def test_a_day_on_which_nothing_changes_raises_nothing(world: World, lookout: Lookout, ask: Ask) -> None:
    lookout.look()
    for _ in range(4):
        world.go_on(world.at + timedelta(hours=6) / 4)
        lookout.look()
    assert found(ask) == []


def test_too_little_is_no_verdict(store: Store, lookout: Lookout, ask: Ask) -> None:
    """The guide's rule takes a metric that is missing for a good one."""
    young = World(store, last_point() - timedelta(hours=4))
    young.go_on(young.at + timedelta(hours=4))
    lookout.look()
    assert found(ask) == []
    told = {row["kind"]: (row["series"], row["ready"]) for row in ask("watching").to_pylist()}
    assert told == {"probe": (6, 0), "query": (2, 0), "host": (1, 0)}
    (row, *_) = ask("watching").to_pylist()
    assert row["points"] < row["wanted"]


@pytest.mark.parametrize(("before", "after", "verdict"), [(100, 75, "regression"), (100, 130, "improvement")])
def test_what_should_be_high_regresses_downwards(before: float, after: float, verdict: str) -> None:
    """The guide's rule knows one direction."""
    series = Watched("loadtest", "shop", "smoke", "rps")
    metric = Metric("rps", "1/s", 1.0, direction="higher")
    change = Found(series, metric, datetime(2026, 1, 1), before, after, None, None, None, 1.0, None, 3)  # noqa: DTZ001
    assert change.verdict == verdict
