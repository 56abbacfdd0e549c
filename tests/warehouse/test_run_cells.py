"""Cells of a load test tell what its single requests told: counts exactly, percentiles within 1 %."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as checking
from hypothesis import strategies as st

from tests.warehouse.loading import OUTCOMES, TARGETS, rows, us
from warehouse import run_tiers, runs
from warehouse.errors import InvalidInputError
from warehouse.model import now
from warehouse.plan import make_plan
from warehouse.rebuild import rebuild
from warehouse.retention import expire
from warehouse.rollups import Alone
from warehouse.run_model import RunRequest
from warehouse.run_rows import Piece, read_requests, store_requests
from warehouse.settings import Settings, parse
from warehouse.stand import EVER
from warehouse.store import Store

Ask = Callable[..., pa.Table]

PRESETS = """
[[preset]]
name = "stepped"
stage = [
  { duration_s = 9, users = 2, spawn_rate = 3 }, { duration_s = 9, users = 5, spawn_rate = 2 },
]
"""
LENGTH_S = 18.4
RAW_DAYS = 30
ABSENT = 65535


class World:
    """A warehouse in this process with load tests whose every request is known."""

    def __init__(self, store: Store, settings: Settings) -> None:
        self.store, self.connection = store, store.cursor()
        self.plan = make_plan(parse(TARGETS + PRESETS, settings.path, {}), "shop", "stepped", None)
        self.pieces = 0

    def run(self, made: np.ndarray, began: datetime, name: str = "a") -> str:
        """A run that began then (UTC) and is complete."""
        self.pieces += 1
        asked = RunRequest(target="shop", preset="stepped", via="cli", waits=True)
        run_id = runs.request(self.connection, self.plan, asked, "ann", f"{name} {self.pieces}").run_id
        plain = began.replace(tzinfo=None)
        ended = plain + timedelta(seconds=LENGTH_S)
        told = {"started_at": plain, "ended_at": ended, "complete_at": ended, "state": "finished"}
        runs.change(self.connection, run_id, told)
        self.send(run_id, made)
        return run_id

    def send(self, run_id: str, made: np.ndarray) -> None:
        """A piece of its spool."""
        self.pieces += 1
        piece = Piece(f"{run_id}:r:{self.pieces}", run_id, 0)
        assert store_requests(self.connection, piece, read_requests(made.tobytes(), now()))

    def keep_up(self) -> int:
        """Make the cells that are due."""
        return run_tiers.keep_up(Alone(self.connection), now().replace(tzinfo=None))

    def delete(self) -> None:
        """Let the single requests grow too old."""
        expire(self.connection, now().replace(tzinfo=None) + timedelta(days=RAW_DAYS + 1), RAW_DAYS)
        assert self.count("load_request") == 0

    def count(self, table: str) -> int:
        """Rows of a table."""
        return int(self.connection.execute(f"SELECT count(*) FROM {table}").fetchall()[0][0])


@pytest.fixture
def world(store: Store, settings: Settings) -> World:
    return World(store, settings)


def some_requests(chance: np.random.Generator, began: datetime, count: int, *, waits: bool) -> np.ndarray:
    """Requests of every kind and part, from a second before the load to a second after its end."""
    made = rows(began, [1.0] * count)
    made["start_us"] = us(began) + chance.integers(-1_000_000, int((LENGTH_S + 1) * 1e6), count)
    made["service_us"] = np.minimum(np.exp(chance.normal(10, 2, count)), 4e9).astype(np.uint32)
    made["wait_us"] = chance.integers(0, 50_000, count) if waits else 0
    made["endpoint"] = chance.integers(0, 2, count)
    made["part"] = chance.choice(4, count, p=[0.85, 0.05, 0.05, 0.05])
    made["bytes"] = chance.integers(0, 2**32 - 1, count)
    made["outcome"] = chance.choice(len(OUTCOMES), count)
    made["outcome"][chance.random(count) < 0.7] = OUTCOMES.index("ok")
    return made


def assert_alike(before: pa.Table, after: pa.Table) -> None:
    """The same rows; percentiles within 1 % and all else the same."""
    assert after.column_names == before.column_names
    assert set(after["tier"].to_pylist()) <= {"1s"}
    for was, told in zip(before.to_pylist(), after.to_pylist(), strict=True):
        for name, value in was.items():
            if name in ("tier", "error_bound"):
                continue
            if value is not None and name.startswith(("p", "service_p")) and name.endswith("_ms"):
                assert abs(told[name] - value) <= 0.01 * value + 0.001, name  # answers are told to 0.001 ms
            elif isinstance(value, float):
                assert told[name] == pytest.approx(value, rel=1e-12), name
            else:
                assert told[name] == value, name


@checking(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    seed=st.integers(0, 2**32 - 1),
    count=st.integers(1, 600),
    width_s=st.integers(1, 5),
    waits=st.booleans(),
    offset_us=st.integers(0, 999),
)
def test_cells_answer_as_the_requests_did(
    world: World, ask: Ask, seed: int, count: int, width_s: int, waits: bool, offset_us: int
) -> None:
    began = now().replace(microsecond=offset_us * 1000) - timedelta(minutes=5)
    made = some_requests(np.random.default_rng(seed), began, count, waits=waits)
    run_id = world.run(made, began)
    questions: list[tuple[str, dict[str, Any]]] = [
        ("run_seconds", {"width_s": width_s}),
        ("run_endpoints", {}),
        ("run_endpoints", {"phase": "steady"}),
    ]
    before = [ask(name, run_id=run_id, **more) for name, more in questions]
    curve = [
        row for row in ask("load_curve", scenario=world.plan.scenario).to_pylist() if row["run_id"] == run_id
    ]
    failed = ask("run_failures", run_id=run_id).to_pylist()
    assert world.keep_up() == 1
    world.delete()
    for (name, more), was in zip(questions, before, strict=True):
        assert_alike(was, ask(name, run_id=run_id, **more))
    own = [
        row for row in ask("load_curve", scenario=world.plan.scenario).to_pylist() if row["run_id"] == run_id
    ]
    assert [row["users"] for row in own] == [row["users"] for row in curve]
    if own:
        kept = [name for name in own[0] if not name.startswith("knee")]
        assert_alike(*(pa.Table.from_pylist(side).select(kept) for side in (curve, own)))
    told = ask("run_failures", run_id=run_id).to_pylist()
    assert counted(told) == counted(failed)


def counted(failures: list[dict[str, Any]]) -> dict[tuple[str, str, str], int]:
    """How often each outcome was met, by endpoint and part."""
    found: dict[tuple[str, str, str], int] = {}
    for row in failures:
        key = (row["label"], row["part"], row["outcome"])
        found[key] = found.get(key, 0) + row["n"]
    return found


def test_the_steady_phase_is_counted_to_the_microsecond(world: World, ask: Ask) -> None:
    began = now() - timedelta(minutes=5)
    run_id = world.run(rows(began, [5.0] * 36000, every_ms=0.5), began)
    edges = world.connection.execute("SELECT from_s, to_s FROM run_plateau ORDER BY from_s").fetchall()
    assert any(edge % 1 for pair in edges for edge in pair), "or this test shows nothing"
    before = ask("run_endpoints", run_id=run_id, phase="steady")
    world.keep_up()
    world.delete()
    assert_alike(before, ask("run_endpoints", run_id=run_id, phase="steady"))


def test_rows_that_come_late_make_the_cells_anew(world: World, ask: Ask) -> None:
    began = now() - timedelta(minutes=5)
    chance = np.random.default_rng(1)
    run_id = world.run(some_requests(chance, began, 400, waits=False), began)
    assert world.keep_up() == 1
    assert world.keep_up() == 0, "nothing changed"
    world.send(run_id, some_requests(chance, began, 300, waits=True))
    before = ask("run_seconds", run_id=run_id)
    assert world.count("load_request") == 700
    expire(world.connection, now().replace(tzinfo=None) + timedelta(days=RAW_DAYS + 1), RAW_DAYS)
    assert world.count("load_request") == 700, "they are not in cells yet"
    assert world.keep_up() == 1
    world.delete()
    assert_alike(before, ask("run_seconds", run_id=run_id))


def test_rows_that_come_when_the_others_are_deleted_are_added(world: World, ask: Ask) -> None:
    began = now() - timedelta(minutes=5)
    chance = np.random.default_rng(2)
    made, late = (some_requests(chance, began, count, waits=count < 400) for count in (500, 300))
    whole = world.run(np.concatenate([made, late]), began)
    run_id = world.run(made, began)
    before = [ask(name, run_id=whole) for name in ("run_seconds", "run_endpoints")]
    failed = ask("run_failures", run_id=whole).to_pylist()
    world.keep_up()
    world.delete()
    world.send(run_id, late)
    assert world.count("load_request") == 0
    for name, was in zip(("run_seconds", "run_endpoints"), before, strict=True):
        assert_alike(was, ask(name, run_id=run_id))
    assert counted(ask("run_failures", run_id=run_id).to_pylist()) == counted(failed)


def test_a_request_that_comes_while_cells_are_computed_is_not_lost(world: World) -> None:
    began = now() - timedelta(minutes=5)
    made = some_requests(np.random.default_rng(3), began, 100, waits=False)
    run_id = world.run(made, began)

    class Slow(Alone):
        """Before the cells are put in place a request comes."""

        def write(self, work: Callable[..., Any], since: datetime = EVER) -> Any:
            world.send(run_id, made[:1])
            return super().write(work, since)

    at = now().replace(tzinfo=None)
    assert run_tiers.keep_up(Slow(world.connection), at) == 0
    assert world.count("run_cell") == 0
    assert run_tiers.keep_up(Alone(world.connection), at) == 1
    (told,) = world.connection.execute("SELECT sum(requests)::INTEGER FROM run_cell").fetchall()
    assert told == (101,)


def test_rebuild_names_and_replaces_cells_of_runs_that_differ(world: World) -> None:
    began = now() - timedelta(minutes=5)
    run_id = world.run(some_requests(np.random.default_rng(4), began, 300, waits=True), began)
    world.keep_up()
    at = now().replace(tzinfo=None)
    assert list(rebuild(Alone(world.connection), at))[-1]["differences"] == 0
    world.connection.execute("UPDATE run_cell SET n_ok = n_ok + 1 WHERE second = 4 AND endpoint = 1")
    world.connection.execute("DELETE FROM run_cell_outcome WHERE second = 7")
    steps = list(rebuild(Alone(world.connection), at))
    told = [each for step in steps if step["part"] == "run" for each in step["first"]]
    assert f"run_cell {run_id} second 4 endpoint 1" in told
    assert steps[-1]["differences"] >= 2
    assert list(rebuild(Alone(world.connection), at))[-1]["differences"] == 0


def test_a_runs_cells_go_with_it(world: World) -> None:
    began = now() - timedelta(minutes=5)
    run_id = world.run(some_requests(np.random.default_rng(5), began, 50, waits=False), began)
    world.keep_up()
    assert world.count("run_cell") > 0
    runs.delete(world.connection, run_id)
    for table in ("run_tier", "run_cell", "run_cell_outcome"):
        assert world.count(table) == 0


def test_two_runs_are_compared_from_cells_without_intervals(world: World, ask: Ask) -> None:
    began = now() - timedelta(minutes=5)
    chance = np.random.default_rng(6)
    a, b = (world.run(rows(began, list(chance.lognormal(3, 0.4, 3600)), every_ms=5), began) for _ in "ab")
    exact = ask("run_compare", a=a, b=b).to_pylist()
    curves = ask("run_compare_curves", a=a, b=b, width_s=2)
    assert {row["tier"] for row in exact} == {"raw"}
    world.keep_up()
    runs.pin(world.connection, b, pinned=True)
    expire(world.connection, now().replace(tzinfo=None) + timedelta(days=RAW_DAYS + 1), RAW_DAYS)
    assert world.count("load_request") == 3600, "those of the baseline"
    told = ask("run_compare", a=a, b=b).to_pylist()
    assert [(row["label"], row["measure"]) for row in told] == [
        (row["label"], row["measure"]) for row in exact
    ]
    for was, row in zip(exact, told, strict=True):
        assert (row["tier"], row["enough"], row["low"], row["high"]) == ("1s", False, None, None)
        assert row["why"].startswith(f"single requests of {a} were deleted on ")
        for side in ("a", "b"):
            assert row[side] == (None if was[side] is None else pytest.approx(was[side], rel=0.0101))
            assert row[f"n_{side}"] == was[f"n_{side}"]
    after = ask("run_compare_curves", a=a, b=b, width_s=2)
    assert set(zip(after["run"].to_pylist(), after["tier"].to_pylist(), strict=True)) == {
        ("a", "1s"),
        ("b", "raw"),
    }
    for was, row in zip(curves.to_pylist(), after.to_pylist(), strict=True):
        assert row["requests"] == was["requests"]
        assert row["p95_ms"] == pytest.approx(was["p95_ms"], rel=0.0101)


def test_where_nothing_was_kept_it_is_said(world: World, ask: Ask) -> None:
    began = now() - timedelta(minutes=5)
    a, b = (world.run(rows(began, [5.0] * 3600, every_ms=5), began) for _ in "ab")
    world.keep_up()
    world.delete()
    world.connection.execute("DELETE FROM run_tier")
    with pytest.raises(
        InvalidInputError, match=r"single requests of run .* were deleted on .*, and no counts"
    ):
        ask("run_compare", a=a, b=b)
    (found,) = ask("run_saturation", run_id=a).to_pylist()
    assert found["resource"] == "unknown"
    assert found["evidence"].startswith("single requests were deleted on ")


def test_a_run_that_was_never_judged_keeps_its_numbers(world: World, ask: Ask) -> None:
    began = now() - timedelta(minutes=5)
    run_id = world.run(some_requests(np.random.default_rng(7), began, 500, waits=True), began)
    (before,) = ask("run", run_id=run_id).to_pylist()
    world.keep_up()
    world.delete()
    (after,) = ask("run", run_id=run_id).to_pylist()
    for name in ("requests", "n", "failures", "timeouts", "rps"):
        assert after[name] == before[name]
    assert after["p95_ms"] == pytest.approx(before["p95_ms"], rel=0.0101)
    assert after["raw_deleted_at"] is not None


def test_a_long_run_is_drawn_from_cells_while_its_requests_are_there(
    world: World, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    began = now() - timedelta(minutes=5)
    run_id = world.run(some_requests(np.random.default_rng(8), began, 500, waits=True), began)
    before = ask("run_seconds", run_id=run_id)
    assert set(before["tier"].to_pylist()) == {"raw"}
    world.keep_up()
    monkeypatch.setattr(
        "warehouse.questions.run_tiers.LONG", "run_tier.requests >= 500 AND " + run_tiers.FRESH
    )
    assert_alike(before, ask("run_seconds", run_id=run_id))
    world.send(run_id, rows(began, [1.0]))
    assert set(ask("run_seconds", run_id=run_id)["tier"].to_pylist()) == {"raw"}, "its cells lack a request"
