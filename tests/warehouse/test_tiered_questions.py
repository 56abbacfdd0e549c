"""Questions joined from all tiers say what the pooled attempts say, within 1 %, whatever a window touches."""

import math
import random
from collections import defaultdict
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

import pyarrow as pa
import pytest

from tests.warehouse.records import attempt
from tests.warehouse.test_rollups import naive, some_attempts
from warehouse import retention, rollups
from warehouse.model import Attempt, Batch, Outcome, Receipt, now
from warehouse.questions import stages
from warehouse.rollups import Alone
from warehouse.store import Store

Put = Callable[[Batch], Receipt]
Ask = Callable[..., pa.Table]

DAYS = 16
_numbers = count()


def send(put: Put, attempts: Iterable[Attempt]) -> None:
    put(Batch(batch_id=f"tiered-{next(_numbers)}", attempts=tuple(attempts)))


class World:
    """Attempts of days with gaps, sealed but for the last minutes, some of them late and not yet renewed."""

    def __init__(self, put: Put, store: Store, seed: int) -> None:
        self.chance = random.Random(seed)
        self.end = now() - timedelta(seconds=self.chance.randrange(300))
        start = self.end - timedelta(days=DAYS)
        self.sent: list[Attempt] = []
        at = start
        while at < self.end:
            reach = timedelta(hours=self.chance.choice((0.2, 3, 20, 60)))
            if self.chance.random() < 0.8:
                many = self.chance.randrange(5, 120)
                self.sent += some_attempts(self.chance, at, min(at + reach, self.end), many)
            at += reach
        self.sent += some_attempts(self.chance, self.end - timedelta(minutes=20), self.end, 60)
        send(put, self.sent)
        rollups.keep_up(Alone(store.cursor()), naive(self.end))
        late = some_attempts(self.chance, start, self.end, 25)
        send(put, late)
        self.sent += late

    def window(self) -> tuple[datetime, datetime]:
        """A random one, some of them on edges of cells."""
        length = timedelta(seconds=self.chance.choice((90, 4000, 30_000, 90_000, 400_000, 1_300_000)))
        start = self.end - self.chance.random() * (timedelta(days=DAYS) - length) - length
        if self.chance.random() < 0.4:
            width = self.chance.choice((300, 3600, 86_400))
            start = datetime.fromtimestamp(start.timestamp() // width * width, UTC)
            length = timedelta(seconds=max(width, length.total_seconds() // width * width))
        end = start + length if self.chance.random() < 0.7 else now()
        return start.replace(microsecond=start.microsecond // 1000 * 1000), end


def expected(attempts: Iterable[Attempt], bucket: Callable[[Attempt], Any]) -> dict[Any, dict[str, Any]]:
    groups = defaultdict(list)
    for each in attempts:
        groups[bucket(each)].append(each)
    answer = {}
    for key, group in groups.items():
        ok = sorted(each.total_us or 0 for each in group if each.outcome is Outcome.OK)
        late = sum(each.outcome is Outcome.TIMEOUT for each in group)
        ranked = [*((us / 1000, False) for us in ok), *[(3000.0, True)] * late]
        answer[key] = {
            "attempts": len(group),
            "n": len(ranked),
            "timeouts": late,
            "errors": len(group) - len(ok),
            "max_ms": ok[-1] / 1000 if ok else None,
        }
        for percent in (50, 95, 99):
            place = max(math.ceil(percent * len(ranked) / 100), 1) - 1
            answer[key][f"p{percent}"] = ranked[place] if ranked else (None, None)
    return answer


def assert_row(row: dict[str, Any], cell: dict[str, Any]) -> None:
    for name in ("attempts", "n", "timeouts", "errors", "max_ms"):
        assert row[name] == cell[name], (row, cell)
    for percent in (50, 95, 99):
        ms, above = cell[f"p{percent}"]
        assert row[f"p{percent}_above"] == above, (row, cell)
        if ms is None:
            assert row[f"p{percent}_ms"] is None
        else:
            bound = row["error_bound"] and row["error_bound"] + 1e-6
            assert row[f"p{percent}_ms"] == pytest.approx(ms, rel=bound or 1e-12, abs=0.001), (row, cell)


def assert_trend(world: World, ask: Ask, kept: list[Attempt], **asked: Any) -> set[str]:
    start, end = asked["start"], asked["end"]
    rows = ask("percentile_trend", **asked).to_pylist()
    chosen = asked.get("endpoint") or {each.endpoint for each in kept}
    inside = [each for each in kept if start <= each.at < end and each.endpoint in chosen]
    if not rows:
        assert not inside
        return set()
    (width,) = {row["bucket_s"] for row in rows}

    def bucket(each: Attempt) -> Any:
        at = datetime.fromtimestamp(each.at.timestamp() // width * width, UTC)
        return at if asked["merged"] else (at, each.endpoint)

    cells = expected(inside, bucket)
    found = {
        row["bucket_at"] if asked["merged"] else (row["bucket_at"], row["endpoint"]): row for row in rows
    }
    assert len(found) == len(rows)
    assert found.keys() == cells.keys()
    order = [(row["bucket_at"], row["target"] or "", row["endpoint"] or "") for row in rows]
    assert order == sorted(order)
    for key, cell in cells.items():
        assert_row(found[key], cell)
    return {row["tier"] for row in rows}


def assert_summary(
    ask: Ask, kept: list[Attempt], *, start: datetime, end: datetime, merged: bool
) -> set[str]:
    inside = [each for each in kept if start <= each.at < end]
    cells = expected(inside, lambda each: None if merged else each.endpoint)
    rows = ask("latency_summary", start=start, end=end, merged=merged).to_pylist()
    assert {row["endpoint"] for row in rows} == cells.keys()
    for row in rows:
        assert_row(row, cells[row["endpoint"]])
        newest = max(each.at for each in inside if merged or each.endpoint == row["endpoint"])
        assert row["last_at"] == newest
        assert row["error_ratio"] == pytest.approx(row["errors"] / row["attempts"])
    return {row["tier"] for row in rows}


def assert_spread(ask: Ask, kept: list[Attempt], **asked: Any) -> None:
    """Outcomes, phases and bands add up to what the attempts say."""
    start, end = asked["start"], asked["end"]
    chosen = asked["endpoint"] or {each.endpoint for each in kept}
    inside = [each for each in kept if start <= each.at < end and each.endpoint in chosen]

    def grouped(rows: list[dict[str, Any]], of: Callable[[Attempt], Any]) -> dict[Any, list[Attempt]]:
        width = rows[0]["bucket_s"]
        groups = defaultdict(list)
        for each in inside:
            at = datetime.fromtimestamp(each.at.timestamp() // width * width, UTC)
            groups[(at, of(each))].append(each)
        return groups

    rows = ask("errors_by_class", **asked).to_pylist()
    found = {(row["bucket_at"], row["outcome"]): row["attempts"] for row in rows}
    wanted = grouped(rows, lambda each: each.outcome.value) if inside else {}
    assert found == {key: len(group) for key, group in wanted.items()}
    rows = ask("phase_breakdown", **asked).to_pylist()
    ok = {
        at: group
        for (at, outcome), group in (grouped(rows, lambda each: each.outcome) if rows else {}).items()
        if outcome is Outcome.OK
    }
    assert {row["bucket_at"]: row["n"] for row in rows} == {at: len(group) for at, group in ok.items()}
    for row in rows:
        totals = [each.total_us or 0 for each in ok[row["bucket_at"]]]
        assert row["total_ms"] == pytest.approx(sum(totals) / len(totals) / 1000)
        assert (row["connect_ms"], row["dns_ms"]) == (pytest.approx(0.009), None)
        parts = row["connect_ms"] + row["tls_ms"] + row["first_byte_ms"] + row["download_ms"]
        assert parts == pytest.approx(row["total_ms"])
    assert_bands(ask("latency_heatmap", **asked).to_pylist(), inside)


def assert_bands(rows: list[dict[str, Any]], inside: list[Attempt]) -> None:
    """As many attempts up to every band's edge as there are, but for those within 1 % of it."""
    assert sum(row["attempts"] for row in rows if row["high_ms"] is None) == sum(
        each.outcome is Outcome.TIMEOUT for each in inside
    )
    ok = sorted((each.total_us or 0) / 1000 for each in inside if each.outcome is Outcome.OK)
    for edge in {row["high_ms"] for row in rows if row["high_ms"]}:
        below = sum(row["attempts"] for row in rows if row["high_ms"] and row["high_ms"] <= edge * 1.001)
        assert sum(ms < edge / 1.0102 for ms in ok) <= below <= sum(ms < edge * 1.0102 for ms in ok)


@pytest.mark.parametrize("small", [0, stages.SMALL])
@pytest.mark.parametrize("seed", range(2))
def test_any_window_over_any_tiers_equals_the_pooled_attempts(
    put: Put, ask: Ask, store: Store, monkeypatch: pytest.MonkeyPatch, seed: int, small: int
) -> None:
    monkeypatch.setattr(stages, "SMALL", small)
    world = World(put, store, seed)
    tiers: set[str] = set()
    for _ in range(15):
        start, end = world.window()
        merged = world.chance.random() < 0.5
        endpoint = world.chance.choice(((), ("GET /1",), ("GET /0", "GET /2")))
        buckets = world.chance.choice((1, 7, 60, 300))
        tiers |= assert_trend(
            world, ask, world.sent, start=start, end=end, merged=merged, endpoint=endpoint, buckets=buckets
        )
        tiers |= assert_summary(ask, world.sent, start=start, end=end, merged=merged)
        assert_spread(ask, world.sent, start=start, end=end, buckets=buckets, endpoint=endpoint)
    assert {"raw", "1h"} <= tiers
    assert small or any("+" in tier for tier in tiers)


@pytest.mark.parametrize("seed", range(2))
def test_cells_answer_alone_where_the_attempts_are_deleted(
    put: Put, ask: Ask, store: Store, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    monkeypatch.setattr(stages, "SMALL", 0)
    world = World(put, store, 100 + seed)
    rollups.keep_up(Alone(store.cursor()), naive(world.end))
    assert retention.expire(store.cursor(), naive(world.end), 5)["attempt"] > 50
    hour = timedelta(hours=1)
    for _ in range(12):
        start, end = world.window()
        start = datetime.fromtimestamp(start.timestamp() // 3600 * 3600, UTC)
        end = min(max(datetime.fromtimestamp(end.timestamp() // 3600 * 3600, UTC), start + hour), end)
        if end <= start:
            continue
        merged = world.chance.random() < 0.5
        assert_trend(world, ask, world.sent, start=start, end=end, merged=merged, buckets=300)
        assert_summary(ask, world.sent, start=start, end=end, merged=merged)
        assert_spread(ask, world.sent, start=start, end=end, buckets=300, endpoint=())


def test_an_end_that_no_cell_fits_is_left_out_and_told(put: Put, ask: Ask, store: Store) -> None:
    at = now()
    old = datetime.fromtimestamp((at - timedelta(days=20)).timestamp() // 3600 * 3600, UTC)
    send(put, [attempt(old + timedelta(minutes=minutes), ms=10) for minutes in range(120)] + [attempt(at)])
    rollups.keep_up(Alone(store.cursor()), naive(at))
    retention.expire(store.cursor(), naive(at), 5)
    asked = {"start": old + timedelta(minutes=2), "end": old + timedelta(hours=2)}
    row = ask("latency_summary", **asked).to_pylist()[0]
    assert (row["attempts"], row["tier"]) == (115, "1h+5m (a part left out)")
    row = ask("latency_summary", start=old, end=asked["end"]).to_pylist()[0]
    assert (row["attempts"], row["tier"]) == (120, "1h")


def test_buckets_narrower_than_what_is_kept_become_wider(put: Put, ask: Ask, store: Store) -> None:
    at = now()
    old = datetime.fromtimestamp((at - timedelta(days=60)).timestamp() // 86_400 * 86_400, UTC)
    send(put, [attempt(old + timedelta(minutes=minutes), ms=10) for minutes in range(60)] + [attempt(at)])
    rollups.keep_up(Alone(store.cursor()), naive(at))
    retention.expire(store.cursor(), naive(at), 30)
    rows = ask("percentile_trend", start=old, end=old + timedelta(hours=1)).to_pylist()
    assert [(row["bucket_s"], row["n"], row["tier"]) for row in rows] == [(300, 5, "5m")] * 12
    rows = ask("percentile_trend", start=old, end=old + timedelta(hours=1), merged=True).to_pylist()
    assert [(row["bucket_s"], row["n"], row["tier"]) for row in rows] == [(3600, 60, "1h")]
    retention.expire(store.cursor(), naive(at), 30, 40)
    rows = ask("percentile_trend", start=old, end=old + timedelta(hours=3)).to_pylist()
    assert rows == []
    rows = ask("percentile_trend", start=old, end=old + timedelta(days=1)).to_pylist()
    assert [(row["bucket_s"], row["n"], row["tier"]) for row in rows] == [(86_400, 60, "1d")]
