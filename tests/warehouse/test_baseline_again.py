"""A target's history judged again under another baseline, beside the active one."""

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Any

import pyarrow as pa
import pytest

from tests.servers.warehouse import WarehouseProcess, running_warehouse
from tests.warehouse.loading import TARGETS
from tests.warehouse.test_baseline_compare import DAY, HOUR, PRESETS, pin, probes, ran, store_all
from warehouse import rollups
from warehouse.errors import InvalidInputError, RefusedError
from warehouse.model import Batch, Receipt, now
from warehouse.store import Store

Put, Ask = Callable[[Batch], Receipt], Callable[..., pa.Table]


@pytest.fixture
def midnight() -> datetime:
    return (now() - timedelta(days=5)).replace(hour=0, minute=0, second=0, microsecond=0)


def naive(at: datetime) -> datetime:
    return at.replace(tzinfo=None)


def verdicts(rows: list[dict[str, Any]], measure: str = "p95") -> dict[tuple[datetime, bool], str]:
    """By window and whether they stand under the active baseline."""
    return {
        (naive(row["at"]), row["is_active"]): row["verdict"]
        for row in rows
        if row["measure"] == measure and row["endpoint"]
    }


def test_each_window_is_judged_under_both_as_it_would_have_been(
    put: Put, ask: Ask, store: Store, midnight: datetime
) -> None:
    """A slow day became the active baseline: what is as slow passes under it, not under the one before."""
    store_all(put, probes(midnight, hours=8))
    fast = pin(store, midnight, midnight + 8 * HOUR, "fast")
    store_all(put, probes(midnight + DAY, hours=8, factor=1.4))
    slow = pin(store, midnight + DAY, midnight + DAY + 8 * HOUR, "slow")
    begin = midnight + 2 * DAY
    for place, factor in enumerate((1.4, 1.0, 1.4)):
        store_all(put, probes(begin + place * HOUR, factor=factor))
    asked = {"target": "shop", "start": begin - HOUR / 2, "end": begin + 3 * HOUR}
    rows = ask("baseline_again", **asked, baseline_id=fast).to_pylist()
    found = verdicts(rows)
    at = [naive(begin + place * HOUR) for place in range(3)]
    assert [found[each, False] for each in at] == ["regressed", "no_change", "regressed"]
    assert [found[each, True] for each in at] == ["no_change", "improved", "no_change"]
    assert {row["name"] for row in rows if row["is_active"]} == {"slow"}
    assert {(row["until"] - row["at"]) for row in rows} == {HOUR}, "half an hour at the beginning is left out"

    for baseline_id, is_active in ((fast, False), (slow, True)):
        own = [row for row in rows if row["is_active"] is is_active and naive(row["at"]) == at[0]]
        compared = ask(
            "baseline_compare", target="shop", start=begin, end=begin + HOUR, baseline_id=baseline_id
        ).to_pylist()
        assert [{name: row[name] for name in compared[0]} for row in own] == compared
    alone = ask("baseline_again", **asked).to_pylist()
    assert all(row["is_active"] for row in alone), "the active one by itself"
    (endpoint,) = {row["endpoint"] for row in ask("baseline_again", **asked, endpoint=["GET /"]).to_pylist()}
    assert endpoint == "GET /"


def test_the_same_time_of_day_is_taken_for_each_window(
    put: Put, ask: Ask, store: Store, midnight: datetime
) -> None:
    first = midnight - 3 * DAY
    for day in range(5):
        store_all(put, probes(first + day * DAY, hours=2, factor=0.66))
        store_all(put, probes(first + day * DAY + 2 * HOUR, hours=2))
    pin(store, first, first + 3 * DAY)
    rows = ask("baseline_again", target="shop", start=midnight, end=midnight + 4 * HOUR).to_pylist()
    assert {row["how"] for row in rows} == {"at the same time of day"}
    assert set(verdicts(rows, "p50").values()) == {"no_change"}


def test_what_cannot_be_judged_has_a_row_that_says_why(
    put: Put, ask: Ask, store: Store, midnight: datetime
) -> None:
    store_all(put, probes(midnight, hours=2))
    pin(store, midnight, midnight + 2 * HOUR)
    asked = {"target": "shop", "start": midnight, "end": midnight + 4 * HOUR}
    rows = ask("baseline_again", **asked, length_s=7200).to_pylist()
    (inside, *empty) = rows
    assert (inside["measure"], inside["verdict"], inside["n"]) == ("", "not_enough_data", 0)
    assert "the window lies in it" in inside["why"]
    assert {row["why"] for row in empty} == {"nothing was measured"}
    assert {row["verdict"] for row in empty} == {"not_enough_data"}
    rollups.build(store.cursor(), naive(now()))
    store.cursor().execute(
        "UPDATE tier SET raw_from = ? WHERE name = 'attempt'", [naive(midnight + 3 * HOUR)]
    )
    early, *_ = ask("baseline_again", **asked).to_pylist()
    assert early["why"].endswith("are deleted")
    assert early["size"] is None


def test_too_much_at_once_is_refused_with_what_to_do(
    put: Put, ask: Ask, store: Store, midnight: datetime
) -> None:
    with pytest.raises(InvalidInputError, match="has no baseline"):
        ask("baseline_again", target="shop", start=midnight, end=midnight + DAY)
    store_all(put, probes(midnight, hours=2))
    pin(store, midnight - 25 * DAY, midnight + 2 * HOUR)
    with pytest.raises(InvalidInputError, match="is of 1440 windows"):
        ask("baseline_again", target="shop", start=midnight, end=midnight + DAY, length_s=60)
    with pytest.raises(InvalidInputError, match="more than 20 days"):
        ask("baseline_again", target="shop", start=midnight - 30 * DAY, end=midnight, length_s=86_400 // 2)
    with pytest.raises(ValueError, match="at least one window"):
        ask("baseline_again", target="shop", start=midnight, end=midnight + HOUR / 2)


@pytest.fixture
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WarehouseProcess]:
    with running_warehouse(tmp_path_factory.mktemp("runs"), TARGETS + PRESETS) as process:
        yield process


def test_each_load_test_is_judged_under_both(served: WarehouseProcess) -> None:
    fast = [ran(served, 1.0, seed) for seed in (1, 2, 3)]
    slow = [ran(served, 1.4, seed) for seed in (4, 5, 6)]
    more = ran(served, 1.0, 7, "more")
    span = {"start": now() - HOUR, "end": now() + HOUR}
    with served.client("cli") as client:
        before = client.pin_baseline("shop", "before", runs=fast)["baseline_id"]
        client.pin_baseline("shop", "after", runs=slow)
        rows = client.ask("baseline_again", target="shop", **span, baseline_id=before).to_dicts()
        found = {
            (row["run_id"], row["is_active"]): row
            for row in rows
            if (row["endpoint"], row["measure"]) == ("GET /", "p95")
        }
        assert [found[run_id, False]["verdict"] for run_id in (*fast, *slow)] == [
            *["no_change"] * 3,
            *["regressed"] * 3,
        ]
        assert [found[run_id, True]["verdict"] for run_id in (*fast, *slow)] == [
            *["improved"] * 3,
            *["no_change"] * 3,
        ]
        assert found[fast[0], False]["runs"] == 2, "a run is not its own baseline"
        unlike = [row for row in rows if row["run_id"] == more]
        assert {row["verdict"] for row in unlike} == {"not_enough_data"}
        assert all("no steady phase in common" in row["why"] for row in unlike)
        compared = client.ask("baseline_compare", target="shop", run=slow[0], baseline_id=before).to_dicts()
        own = [row for row in rows if row["run_id"] == slow[0] and not row["is_active"]]
        assert [{name: row[name] for name in compared[0]} for row in own] == compared
        with pytest.raises(RefusedError, match="has no baseline b2026"):
            client.ask("baseline_again", target="shop", **span, baseline_id="b20260101000000-000000")
