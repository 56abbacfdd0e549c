"""Windows and load tests against baselines through the warehouse's own door, retention included."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from tests.servers.warehouse import WarehouseProcess, running_warehouse
from tests.warehouse.loading import TARGETS, beats, finish, launch, lines, rows, start
from tests.warehouse.records import attempt
from warehouse import baselines, cold, rollups
from warehouse.baselines import BaselineRequest
from warehouse.errors import InvalidInputError, RefusedError
from warehouse.model import Attempt, Batch, Outcome, Receipt, now
from warehouse.retention import expire
from warehouse.store import Store

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
PRESETS = """
[[preset]]
name = "steady"
users = 2
duration_s = 44
[[preset]]
name = "more"
users = 4
duration_s = 44
"""

Put, Ask = Callable[[Batch], Receipt], Callable[..., pa.Table]


def probes(
    start_: datetime,
    *,
    hours: int = 1,
    factor: float = 1.0,
    endpoint: str = "GET /",
    seed: int = 0,
    **of: Any,
) -> list[Attempt]:
    """A probe every five seconds; each hour has a level of its own, 1 % around the same."""
    random = np.random.default_rng([seed, int(start_.timestamp()), len(endpoint)])
    made = []
    for hour in range(hours):
        times = 80 * factor * np.exp(0.01 * random.standard_normal() + 0.15 * random.standard_normal(720))
        made += [
            attempt(
                start_ + hour * HOUR + timedelta(seconds=5 * place), ms=float(ms), endpoint=endpoint, **of
            )
            for place, ms in enumerate(times)
        ]
    return made


def store_all(put: Put, made: list[Attempt]) -> None:
    for place in range(0, len(made), 10_000):
        name = f"{made[place].at:%d-%H}-{made[place].endpoint[-3:].strip(' /')}-{place}"
        put(Batch(batch_id=f"probes-{name}", attempts=tuple(made[place : place + 10_000])))


def pin(store: Store, start_: datetime, end: datetime, name: str = "before") -> str:
    asked = BaselineRequest(target="shop", name=name, start=start_, end=end)
    return baselines.pin(store.cursor(), asked, "ann", f"request {name}").baseline_id


def by_measure(table: pa.Table) -> dict[tuple[str, str], dict[str, Any]]:
    return {(row["endpoint"], row["measure"]): row for row in table.to_pylist()}


@pytest.fixture
def noon() -> datetime:
    return (now() - timedelta(days=4)).replace(hour=0, minute=0, second=0, microsecond=0)


def test_a_slower_endpoint_regresses_and_the_others_do_not(
    put: Put, ask: Ask, store: Store, noon: datetime
) -> None:
    store_all(put, probes(noon, hours=12))
    store_all(put, probes(noon, hours=12, endpoint="GET /cart"))
    pin(store, noon, noon + 12 * HOUR)
    window = noon + 30 * HOUR
    store_all(put, probes(window, factor=1.3))
    store_all(put, probes(window, endpoint="GET /cart"))
    found = by_measure(ask("baseline_compare", target="shop", start=window, end=window + HOUR))
    assert list(found) == [
        (endpoint, measure)
        for endpoint in ("GET /", "GET /cart")
        for measure in ("p50", "p95", "p99", "errors")
    ]
    slow, same = found["GET /", "p95"], found["GET /cart", "p95"]
    assert (slow["verdict"], same["verdict"]) == ("regressed", "no_change")
    assert slow["size"] == pytest.approx(0.3, abs=0.06)
    assert slow["low"] < 0.3 < slow["high"]
    assert (slow["runs"], slow["n"], slow["n_baseline"]) == (12, 720, 12 * 720)
    assert (slow["tier"], slow["source"], slow["error_bound"]) == ("raw", "probe", 0.0)
    assert slow["how"] == "one after another, at other times of day"
    assert found["GET /", "p99"]["verdict"] == "not_enough_data"
    assert found["GET /", "p99"]["why"].startswith("too few requests: 720 of the 1000")
    assert found["GET /cart", "errors"]["verdict"] == "no_change"
    one = by_measure(
        ask("baseline_compare", target="shop", start=window, end=window + HOUR, endpoint=["GET /cart"])
    )
    assert {endpoint for endpoint, _ in one} == {"GET /cart"}


def test_improvements_and_errors_of_a_faultless_baseline_are_told(
    put: Put, ask: Ask, store: Store, noon: datetime
) -> None:
    store_all(put, probes(noon, hours=8))
    pin(store, noon, noon + 8 * HOUR)
    window = noon + 30 * HOUR
    fast = probes(window, factor=0.7)
    failed = [
        each.model_copy(update={"outcome": Outcome.BAD_STATUS, "status": 500}) if place % 20 == 0 else each
        for place, each in enumerate(fast)
    ]
    store_all(put, failed)
    found = by_measure(ask("baseline_compare", target="shop", start=window, end=window + HOUR))
    assert found["GET /", "p95"]["verdict"] == "improved"
    errors = found["GET /", "errors"]
    assert (errors["verdict"], errors["baseline"]) == ("regressed", 0.0)
    assert errors["size"] == pytest.approx(0.05)


def test_what_is_missing_on_either_side_never_passes(
    put: Put, ask: Ask, store: Store, noon: datetime
) -> None:
    store_all(put, probes(noon, hours=4))
    pin(store, noon, noon + 4 * HOUR)
    window = noon + 30 * HOUR
    store_all(put, probes(window, endpoint="GET /new"))
    found = by_measure(ask("baseline_compare", target="shop", start=window, end=window + HOUR))
    assert {row["verdict"] for row in found.values()} == {"not_enough_data"}
    assert found["GET /", "p50"]["why"] == "nothing was measured"
    assert found["GET /new", "p50"]["why"] == "nothing was measured in the baseline"
    empty = by_measure(ask("baseline_compare", target="shop", start=window + DAY, end=window + DAY + HOUR))
    assert {row["verdict"] for row in empty.values()} == {"not_enough_data"}


def test_the_same_time_of_day_is_taken_where_the_period_has_it(
    put: Put, ask: Ask, store: Store, noon: datetime
) -> None:
    """Nights are a third faster: an hour of the night against all of the baseline would be an improvement."""
    first = noon - 3 * DAY
    for day in range(3):
        store_all(put, probes(first + day * DAY, hours=6, factor=0.66))
        store_all(put, probes(first + day * DAY + 6 * HOUR, hours=18))
    pin(store, first, first + 3 * DAY)
    night = noon + 2 * HOUR
    store_all(put, probes(night, factor=0.66))
    found = by_measure(ask("baseline_compare", target="shop", start=night, end=night + HOUR))["GET /", "p50"]
    assert (found["how"], found["runs"]) == ("at the same time of day", 3)
    assert found["verdict"] == "no_change"
    assert found["baseline"] == pytest.approx(80 * 0.66, rel=0.05)


@pytest.mark.parametrize(
    ("asked", "why"),
    [
        ({}, "has no baseline"),
        ({"baseline_id": "b20260101000000-000000"}, "has no baseline b2026"),
    ],
)
def test_without_a_baseline_nothing_is_compared(ask: Ask, asked: dict[str, Any], why: str) -> None:
    with pytest.raises(InvalidInputError, match=why) as refused:
        ask("baseline_compare", target="shop", start=now() - HOUR, end=now(), **asked)
    assert refused.value.field == "target"


def test_what_cannot_be_compared_is_refused(put: Put, ask: Ask, store: Store, noon: datetime) -> None:
    store_all(put, probes(noon))
    pin(store, noon, noon + HOUR)
    window = noon + DAY
    with pytest.raises(InvalidInputError, match="shorter than the window"):
        ask("baseline_compare", target="shop", start=window, end=window + 2 * HOUR)
    with pytest.raises(InvalidInputError, match="is of a period of probes"):
        ask("baseline_compare", target="shop", run="r20260101000000-000000")
    for wrong in ({"start": window}, {}, {"start": window, "end": window + 2 * DAY}):
        with pytest.raises(ValueError, match="expected"):
            ask("baseline_compare", target="shop", **wrong)


def test_attempts_of_a_baseline_outlive_retention_until_it_is_removed(
    put: Put, ask: Ask, store: Store
) -> None:
    old = (now() - timedelta(days=40)).replace(hour=3, minute=0, second=0, microsecond=0)
    store_all(put, [*probes(old, hours=4), attempt(old, target="other")])
    pinned = pin(store, old + HOUR, old + 4 * HOUR)
    window = (now() - timedelta(days=2)).replace(minute=0, second=0, microsecond=0)
    store_all(put, probes(window))
    before = ask("baseline_compare", target="shop", start=window, end=window + HOUR)
    at = now().replace(tzinfo=None)
    connection = store.cursor()
    rollups.build(connection, at)
    assert expire(connection, at, 30)["attempt"] == 4 * 720 + 1
    kept = connection.execute("SELECT count(*), min(ts) FROM baseline_attempt").fetchall()[0]
    assert kept == (3 * 720, (old + HOUR).replace(tzinfo=None))
    assert ask("baseline_compare", target="shop", start=window, end=window + HOUR) == before
    with pytest.raises(InvalidInputError, match="are deleted"):
        pin(store, old, old + HOUR, "too late")
    put(Batch(batch_id="late-one", attempts=(attempt(old + 2 * HOUR, ms=99.0),)))
    rollups.build(connection, at)
    counted = "SELECT (SELECT count(*) FROM baseline_attempt), (SELECT count(*) FROM attempt WHERE ts < ?)"
    left = connection.execute(counted, [(old + DAY).replace(tzinfo=None)]).fetchall()[0]
    assert left == (3 * 720 + 1, 0), "what comes late for a baseline is kept with it"
    baselines.remove(connection, pinned)
    assert connection.execute("SELECT count(*) FROM baseline_attempt").fetchall() == [(0,)]


def test_attempts_of_a_baseline_stay_readable_when_their_day_goes_cold(
    put: Put, ask: Ask, store: Store
) -> None:
    old = (now() - timedelta(days=10)).replace(hour=3, minute=0, second=0, microsecond=0)
    store_all(put, probes(old, hours=4))
    pin(store, old, old + 4 * HOUR)
    window = (now() - timedelta(days=2)).replace(minute=0, second=0, microsecond=0)
    store_all(put, probes(window))
    before = ask("baseline_compare", target="shop", start=window, end=window + HOUR)
    connection = store.cursor()
    rollups.build(connection, now().replace(tzinfo=None))
    written = cold.write(connection, store.settings.data_dir, old.date())
    assert cold.settle(connection, written, now().replace(tzinfo=None))
    assert ask("baseline_compare", target="shop", start=window, end=window + HOUR) == before


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WarehouseProcess]:
    with running_warehouse(tmp_path_factory.mktemp("runs"), TARGETS + PRESETS) as process:
        yield process


def ran(
    served: WarehouseProcess, factor: float, seed: int, preset: str = "steady", every_ms: float = 5
) -> str:
    """A load test of 44 s, a request every 5 ms to / and /cart in turn."""
    random = np.random.default_rng(seed)
    run_id = launch(served, preset)
    with served.client("agent") as agent:
        began = start(agent, run_id)
        n = int(44_000 / every_ms)
        times = 20 * factor * np.exp(0.02 * random.standard_normal() + 0.2 * random.standard_normal(n))
        made = rows(began, times.tolist(), every_ms=every_ms, endpoint=np.arange(n) % 2)
        agent.send_rows(run_id, 0, "requests-0.bin", 0, made.tobytes())
        agent.send_events(run_id, 0, "events-0.jsonl", 0, lines(*beats(began, [0.2] * 44)))
        finish(agent, run_id, began, 44)
    return run_id


def test_a_load_test_is_held_against_those_of_the_baseline(served: WarehouseProcess) -> None:
    runs = [ran(served, 1.0, seed) for seed in (1, 2, 3)]
    slow, more = ran(served, 1.4, 4, every_ms=7), ran(served, 1.0, 5, "more")
    with served.client("cli") as client:
        client.pin_baseline("shop", "three runs", runs=runs)
        found = {
            (row["endpoint"], row["measure"]): row
            for row in client.ask("baseline_compare", target="shop", run=slow).to_dicts()
        }
        assert {found[endpoint, "p95"]["verdict"] for endpoint in ("GET /", "GET /cart")} == {"regressed"}
        assert found["", "throughput"]["verdict"] == "regressed", "fewer requests a second are worse"
        assert found["", "throughput"]["size"] == pytest.approx(5 / 7 - 1, abs=0.01)
        told = found["GET /", "p95"]
        assert (told["runs"], told["source"], told["tier"]) == (3, "load test", "raw")
        assert told["how"].startswith("steady ")
        own = client.ask("baseline_compare", target="shop", run=runs[0])
        assert set(own["verdict"]) <= {"no_change", "not_enough_data"}
        assert own["runs"].max() == 2, "a run is not its own baseline"
        with pytest.raises(RefusedError, match="steady phase in common"):
            client.ask("baseline_compare", target="shop", run=more)
        with pytest.raises(RefusedError, match="there is no run"):
            client.ask("baseline_compare", target="shop", run="r20260101000000-000000")
        with pytest.raises(RefusedError, match="is of load tests"):
            client.ask("baseline_compare", target="shop", start=now() - HOUR, end=now())
