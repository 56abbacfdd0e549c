"""The size of a young regression is told anew as points after it come in, and then left alone."""

import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from tests.servers.warehouse import write_config
from tests.warehouse.watched_worlds import ATTEMPTS, POINT, World, last_point
from warehouse.change_points import Found
from warehouse.coincidence import POINTS_AROUND
from warehouse.errors import StorageError
from warehouse.keeper import Keeper
from warehouse.lookout import Lookout
from warehouse.model import now
from warehouse.questions.asking import Statement
from warehouse.regression_life import Life, LifeAction, live
from warehouse.settings import Settings, load
from warehouse.store import Store
from warehouse.writer import Writer
from warehouse.young_sizes import YoungSizes

ROOT = Path(__file__).parents[2]
SIZE = (
    *("before", "after", "size_ratio", "low_ratio", "high_ratio", "low_difference", "high_difference"),
    *("confidence", "points_after"),
)
"""What a change point tells of its size."""

Ask = Callable[..., pa.Table]
Row = dict[str, Any]


@pytest.fixture
def lookout(store: Store, writer: Writer, settings: Settings) -> Iterator[Lookout]:
    lookout = Lookout(store, writer, settings)
    yield lookout
    lookout.stop()


@pytest.fixture
def world(store: Store) -> World:
    return unchanged(store)


def unchanged(store: Store) -> World:
    """Three days in which nothing changed, up to eight hours ago."""
    end = last_point() - timedelta(hours=8)
    if (end + timedelta(minutes=30)).weekday() == 5 and (end - timedelta(minutes=30)).weekday() == 4:
        end -= timedelta(hours=1)  # a step as Saturday begins may be the weekend
    world = World(store, end - timedelta(days=3))
    world.go_on(end)
    return world


def opened(settings: Settings) -> Iterator[tuple[Store, Lookout]]:
    """A warehouse and a watch over it, for a while."""
    store = Store(settings)
    writer = Writer(Keeper(store))
    lookout = Lookout(store, writer, settings)
    yield store, lookout
    lookout.stop()
    writer.close()
    store.close()


def rows(store: Store) -> list[Row]:
    """Every change point as it is kept, the oldest first."""
    kept = store.cursor().sql("SELECT * FROM change_point ORDER BY ts, kind, object, metric, role")
    found: list[Row] = kept.to_arrow_table().to_pylist()
    return found


def sizes(store: Store) -> dict[tuple[str, str, str], Row]:
    """What is told of the size of each series' first change."""
    told: dict[tuple[str, str, str], Row] = {}
    for row in rows(store):
        told.setdefault((row["kind"], row["object"], row["metric"]), {name: row[name] for name in SIZE})
    return told


CART = ("probe", "GET /cart", "p50_ms")
QUERY = ("query", "shop/a1", "query_mean_ms")


def until_found(world: World, lookout: Lookout, store: Store, **levels: float) -> None:
    """Point by point, up to the one by which a change is told."""
    lookout.look()
    for _ in range(20):
        world.go_on(world.at + POINT, **levels)
        lookout.look()
        if rows(store):
            return
    raise AssertionError("nothing was found")


def go_on(world: World, lookout: Lookout, points: int, **levels: float) -> None:
    """So many points, each looked at."""
    for _ in range(points):
        world.go_on(world.at + POINT, **levels)
        lookout.look()


def test_sizes_of_all_series_are_told_anew_until_there_are_enough_points(
    world: World, lookout: Lookout, store: Store
) -> None:
    until_found(world, lookout, store, cart_ms=55.0, query_ms=15.0)
    go_on(world, lookout, 2, cart_ms=100.0, query_ms=60.0)
    early = sizes(store)
    assert early[CART]["after"] < 65, "its first points are of a level in between"
    go_on(world, lookout, POINTS_AROUND, cart_ms=100.0, query_ms=60.0)
    told = sizes(store)
    assert set(told) == {CART, ("probe", "GET /cart", "p95_ms"), QUERY}
    assert {row["points_after"] for row in told.values()} == {POINTS_AROUND}
    for series, before, after in ((CART, 40, 100), (QUERY, 5, 60)):
        row = told[series]
        assert row["after"] - row["before"] > 0.8 * (after - before)
        assert row["low_ratio"] < row["size_ratio"] < row["high_ratio"]
        assert row["size_ratio"] == pytest.approx(after / before - 1, rel=0.15)
    go_on(world, lookout, 12, cart_ms=45.0, query_ms=6.0)
    assert sizes(store) == told, "what comes later is another change"


def test_one_that_cannot_be_told_anew_holds_up_no_other(
    world: World, lookout: Lookout, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    until_found(world, lookout, store, cart_ms=70.0, query_ms=35.0)
    go_on(world, lookout, 1, cart_ms=70.0, query_ms=35.0)
    early, counted = sizes(store), Lookout._as_counted

    def fails_for_queries(own: Lookout, found: Found) -> Found:
        if found.series.kind == "query":
            raise StorageError("the disk is slow", "Wait.")
        return counted(own, found)

    monkeypatch.setattr(Lookout, "_as_counted", fails_for_queries)
    go_on(world, lookout, 6, cart_ms=70.0, query_ms=35.0)
    assert sizes(store)[QUERY] == early[QUERY]
    assert sizes(store)[CART]["points_after"] > early[CART]["points_after"]
    monkeypatch.undo()
    go_on(world, lookout, 1, cart_ms=70.0, query_ms=35.0)
    assert sizes(store)[QUERY]["points_after"] > early[QUERY]["points_after"]


def test_when_it_is_told_anew_nothing_else_of_it_changes(
    world: World, lookout: Lookout, store: Store, writer: Writer
) -> None:
    until_found(world, lookout, store, cart_ms=70.0)
    (regression_id,) = {row["regression_id"] for row in rows(store)}
    asked = Life(action=LifeAction.ACKNOWLEDGE, text="looking")
    writer.submit(lambda held: live(held, regression_id, asked, "ann")).result()

    def rest() -> list[Any]:
        kept = [{name: row[name] for name in row if name not in SIZE} for row in rows(store)]
        life = [
            store.cursor().execute(f"FROM {table}").fetchall() for table in ("regression", "regression_event")
        ]
        return [kept, *life]

    go_on(world, lookout, 1, cart_ms=70.0)
    before, early = rest(), sizes(store)[CART]
    go_on(world, lookout, POINTS_AROUND, cart_ms=70.0)
    assert rest() == before
    late = sizes(store)[CART]
    assert late["high_ratio"] - late["low_ratio"] < early["high_ratio"] - early["low_ratio"]
    assert late["low_ratio"] <= 0.75 <= late["high_ratio"]


def test_a_start_in_between_goes_on(
    world: World, lookout: Lookout, store: Store, writer: Writer, settings: Settings
) -> None:
    until_found(world, lookout, store, cart_ms=55.0, query_ms=15.0)
    lookout.stop()
    world.go_on(world.at + 3 * POINT, cart_ms=100.0, query_ms=60.0)
    again = Lookout(store, writer, settings)
    again.look()
    told = sizes(store)[CART]["points_after"]
    assert 11 <= told < POINTS_AROUND
    again.stop()
    world.go_on(world.at + timedelta(hours=4), cart_ms=100.0, query_ms=60.0)
    last = Lookout(store, writer, settings)
    last.look()
    last.stop()
    assert {row["points_after"] for row in sizes(store).values()} == {POINTS_AROUND}, "no more and no fewer"
    assert sizes(store)[CART]["after"] > 40 + 0.8 * 60


def test_one_pass_over_many_points_tells_what_many_passes_tell(
    world: World, lookout: Lookout, store: Store
) -> None:
    lookout.look()
    world.go_on(world.at + timedelta(hours=5), cart_ms=70.0, query_ms=35.0)
    lookout.look()
    assert {row["points_after"] for row in sizes(store).values()} == {POINTS_AROUND}
    told = sizes(store)
    lookout.look()
    assert sizes(store) == told


def test_what_went_back_is_left_as_it_was_told_before(world: World, lookout: Lookout, store: Store) -> None:
    """Until it is known to be back, points of it tell; then they do no more."""
    until_found(world, lookout, store, cart_ms=80.0)
    begun = rows(store)[0]["ts"]
    back_at = world.at + 4 * POINT
    go_on(world, lookout, 4, cart_ms=80.0)
    while not any(row["role"] == "back" and row["metric"] == "p50_ms" for row in rows(store)):
        assert world.at < back_at + timedelta(hours=2)
        go_on(world, lookout, 1)
    told = sizes(store)[CART]
    assert told["points_after"] <= (back_at - begun) / POINT + 2
    assert told["after"] == pytest.approx(80, rel=0.05)
    go_on(world, lookout, POINTS_AROUND, cart_ms=40.0)
    assert sizes(store)[CART] == told
    back = [row for row in rows(store) if row["role"] == "back" and row["metric"] == "p50_ms"]
    assert back[0]["points_after"] < POINTS_AROUND, "a change back is told once"


def test_what_changed_back_when_it_is_told_is_left(world: World, lookout: Lookout, store: Store) -> None:
    lookout.look()
    world.go_on(world.at + timedelta(hours=1, minutes=30), cart_ms=80.0)
    world.go_on(world.at + timedelta(hours=2))
    lookout.look()
    told = sizes(store)
    assert told[CART]["points_after"] < 18
    lookout.look()
    assert sizes(store) == told


def test_what_changed_again_is_left_and_the_new_change_is_told_anew(
    world: World, lookout: Lookout, store: Store
) -> None:
    until_found(world, lookout, store, cart_ms=120.0)
    go_on(world, lookout, 8, cart_ms=120.0)
    go_on(world, lookout, POINTS_AROUND + 3, cart_ms=85.0)
    first, second = [row for row in rows(store) if row["metric"] == "p50_ms"]
    assert first["points_after"] <= (second["ts"] - first["ts"]) / POINT < POINTS_AROUND
    assert first["after"] == pytest.approx(120, rel=0.05)
    assert (second["role"], second["points_after"]) == ("found", POINTS_AROUND)
    assert second["after"] == pytest.approx(85, rel=0.05)


def test_what_somebody_resolved_is_left(world: World, lookout: Lookout, store: Store, writer: Writer) -> None:
    until_found(world, lookout, store, cart_ms=70.0)
    told = sizes(store)
    (regression_id,) = {row["regression_id"] for row in rows(store)}
    asked = Life(action=LifeAction.RESOLVE)
    writer.submit(lambda held: live(held, regression_id, asked, "ann")).result()
    go_on(world, lookout, 3, cart_ms=70.0)
    kept = sizes(store)
    assert {each: kept[each] for each in told} == told


def test_a_size_that_shrinks_below_the_threshold_is_told_and_stays_a_regression(tmp_path: Path) -> None:
    settings = load(write_config(tmp_path, "[regressions]\nsmallest_ratio = 0.77\n"), {})
    for store, lookout in opened(settings):
        world = unchanged(store)
        until_found(world, lookout, store, cart_ms=72.5)
        assert sizes(store)[CART]["size_ratio"] >= 0.77
        go_on(world, lookout, POINTS_AROUND, cart_ms=67.5)
        told = sizes(store)[CART]
        assert told["points_after"] == POINTS_AROUND
        assert 0.7 < told["size_ratio"] < 0.77
        assert store.cursor().execute("SELECT state FROM regression").fetchall() == [("open",)]


def test_what_was_found_looking_back_is_told_anew_too(world: World, lookout: Lookout, store: Store) -> None:
    world.go_on(world.at + 16 * POINT, cart_ms=70.0)
    lookout.look()
    early = sizes(store)[CART]
    assert early["points_after"] < POINTS_AROUND
    go_on(world, lookout, POINTS_AROUND, cart_ms=70.0)
    late = sizes(store)[CART]
    assert late["points_after"] == POINTS_AROUND
    assert late["high_ratio"] - late["low_ratio"] < early["high_ratio"] - early["low_ratio"]


def test_error_shares_are_told_anew_as_they_were_counted(
    world: World, lookout: Lookout, store: Store
) -> None:
    errors = ("probe", "GET /cart", "error_ratio")
    until_found(world, lookout, store, failing=0.25)
    go_on(world, lookout, POINTS_AROUND + 3, failing=0.25)
    told = sizes(store)[errors]
    begun = next(row["ts"] for row in rows(store) if row["metric"] == "error_ratio")
    ((failed, attempts),) = (
        store.cursor()
        .execute(
            "SELECT count(*) FILTER (outcome <> 'ok'), count(*) FROM attempt "
            "JOIN series USING (series_id) WHERE object = 'GET /cart' AND ts >= ? AND ts < ?",
            [begun, begun + POINTS_AROUND * POINT],
        )
        .fetchall()
    )
    assert (told["points_after"], attempts) == (POINTS_AROUND, POINTS_AROUND * ATTEMPTS)
    assert (told["before"], told["after"], told["size_ratio"]) == (0.0, failed / attempts, None)
    assert told["low_ratio"] is None
    assert told["low_difference"] < told["after"] < told["high_difference"]


def test_points_of_another_width_are_left(world: World, lookout: Lookout, store: Store) -> None:
    until_found(world, lookout, store, cart_ms=70.0)
    store.cursor().execute("UPDATE change_point SET point_s = 60")
    told = sizes(store)
    go_on(world, lookout, 3, cart_ms=70.0)
    assert {each: sizes(store)[each] for each in told} == told


def test_nothing_is_asked_while_nothing_is_young() -> None:
    asked: list[Statement] = []

    def ask(statement: Statement) -> pa.Table:
        asked.append(statement)
        return pa.table({"regression_id": []})

    young = YoungSizes()
    for _ in range(3):
        assert list(young.due(ask, 300, lambda _: None, now().replace(tzinfo=None))) == []
    assert len(asked) == 1
    young.noted()
    assert list(young.due(ask, 300, lambda _: None, now().replace(tzinfo=None))) == []
    assert len(asked) == 2


KILLED = """
import os, signal, sys
from pathlib import Path
from warehouse import regressions
from warehouse.keeper import Keeper
from warehouse.lookout import Lookout
from warehouse.settings import load
from warehouse.store import Store
from warehouse.writer import Writer

step, renew = sys.argv[2], regressions.renew_sizes

def die():
    os.kill(os.getpid(), signal.SIGKILL)

class Dying:
    def __init__(self, connection):
        self._connection, self._left = connection, 2

    def execute(self, sql, *given):
        self._left -= sql.startswith("UPDATE")
        if not self._left:
            die()
        return self._connection.execute(sql, *given)

def renewing(connection, told):
    assert len(told) > 2
    if step == "before":
        die()
    renew(Dying(connection) if step == "in the middle" else connection, told)
    die()

regressions.renew_sizes = renewing
store = Store(load(Path(sys.argv[1]), {}))
Lookout(store, Writer(Keeper(store)), store.settings).look()
"""


@pytest.mark.parametrize("step", ["before", "in the middle", "after the commit"])
def test_a_kill_loses_no_size_and_tells_none_by_half(tmp_path: Path, step: str) -> None:
    settings = load(write_config(tmp_path), {})
    for store, lookout in opened(settings):
        world = unchanged(store)
        until_found(world, lookout, store, cart_ms=70.0, query_ms=35.0)
        go_on(world, lookout, 2, cart_ms=70.0, query_ms=35.0)
        early = sizes(store)
        world.go_on(world.at + timedelta(hours=4), cart_ms=70.0, query_ms=35.0)
    killed = subprocess.run([sys.executable, "-c", KILLED, str(settings.path), step], cwd=ROOT, check=False)
    assert killed.returncode == -signal.SIGKILL
    for store, lookout in opened(settings):
        told = sizes(store)
        if step == "after the commit":
            assert {row["points_after"] for row in told.values()} == {POINTS_AROUND}
        else:
            assert told == early
        lookout.look()
        assert {row["points_after"] for row in sizes(store).values()} == {POINTS_AROUND}
        assert len(rows(store)) == len(early)
        if step == "after the commit":
            assert sizes(store) == told
