"""Cells that add up say what their rows say, however late those come, and still when they are gone."""

import random
import signal
import subprocess
import sys
from collections import defaultdict
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from tests.warehouse import test_rollups
from tests.warehouse.records import query_latency, query_shape, query_stat, sample
from tests.warehouse.test_rollups import naive
from warehouse import sum_tiers, tiers
from warehouse.errors import TooManyRowsError
from warehouse.model import Batch, Outcome, QueryShape, QueryStat, Receipt, Sample, now
from warehouse.questions.hosts import HostTrend, host_trend
from warehouse.reader import Reader
from warehouse.rebuild import rebuild
from warehouse.retention import expire
from warehouse.rollups import Alone
from warehouse.settings import Settings
from warehouse.store import Store

Put = Callable[[Batch], Receipt]
Ask = Callable[..., pa.Table]

METRICS = ("cpu_ratio", "memory_used_ratio", "load_1m")
HOURS_TABLE, DAYS_TABLE = "sample_cell_1h", "sample_cell_1d"
_numbers = count()


def send(put: Put, samples: Iterable[Sample]) -> None:
    put(Batch(batch_id=f"samples-{next(_numbers)}", samples=tuple(samples)))


def some(chance: random.Random, start: datetime, end: datetime, many: int) -> list[Sample]:
    """Samples at random instants, no two of a series at one; some of them failed."""
    found = {}
    for _ in range(many):
        at = start + chance.random() * (end - start)
        at = at.replace(microsecond=at.microsecond // 1000 * 1000)
        metric = chance.choice(METRICS)
        if chance.random() < 0.1:
            one = sample(at, None, metric=metric, outcome=Outcome.ERROR)
        else:
            one = sample(at, round(chance.lognormvariate(0, 1), 3), metric=metric)
        found[metric, at] = one
    return list(found.values())


def keep_up(store: Store, at: datetime) -> None:
    sum_tiers.keep_up(Alone(store.cursor()), naive(at))


def assert_trend(rows: list[dict[str, Any]], samples: list[Sample], start: datetime, end: datetime) -> None:
    """Each row is what the samples of its bucket come to, and no bucket with samples is missing."""
    width = timedelta(seconds=rows[0]["bucket_s"]) if rows else timedelta(days=1)
    groups: dict[tuple[datetime, str], list[Sample]] = defaultdict(list)
    for each in samples:
        if start <= each.at < end:
            groups[each.at - (each.at - datetime.fromtimestamp(0, UTC)) % width, each.metric].append(each)
    assert {(row["bucket_at"], row["metric"]) for row in rows} == set(groups)
    for row in rows:
        group = groups[row["bucket_at"], row["metric"]]
        values = [each.value for each in group if each.value is not None]
        assert (row["n"], row["failures"]) == (len(values), len(group) - len(values))
        assert row["max"] == max(values, default=None)
        assert row["mean"] == (pytest.approx(sum(values) / len(values)) if values else None)


def newest(samples: list[Sample], start: datetime, end: datetime) -> dict[str, tuple[Any, ...]]:
    found = {}
    for each in sorted(samples, key=lambda each: each.at):
        if start <= each.at < end:
            found[each.metric] = (each.at, each.value, each.outcome.value)
    return found


@pytest.mark.parametrize("seed", range(4))
def test_any_window_says_what_its_samples_say(put: Put, ask: Ask, store: Store, seed: int) -> None:
    chance = random.Random(seed)
    end = now()
    start = end - timedelta(days=9)
    sent = some(chance, start, end, 900)
    send(put, sent)
    keep_up(store, end)
    send(put, late := some(chance, start, end, 40))
    sent += late
    used = set()
    for step in range(40):
        if step == 20:
            keep_up(store, end)
        length = timedelta(seconds=chance.choice((600, 5000, 90_000, 300_000, 700_000)))
        first = start + chance.random() * (end - start - length)
        if chance.random() < 0.5:
            first = first.replace(minute=0, second=0, microsecond=0)
        window = {"start": first, "end": first + length}
        rows = ask("host_trend", **window, buckets=chance.choice((1, 5, 30, 300))).to_pylist()
        assert_trend(rows, sent, first, first + length)
        used |= {row["tier"] for row in rows}
        told = {
            row["metric"]: (row["at"], row["value"], row["outcome"])
            for row in ask("host_now", **window).to_pylist()
        }
        assert told == newest(sent, first, first + length)
    assert {"raw", "1h", "1d"} <= used


def test_times_without_samples_are_sealed_in_one_step(put: Put, ask: Ask, store: Store) -> None:
    end = now().replace(minute=0, second=0, microsecond=0) - timedelta(hours=2)
    start, chance = end - timedelta(days=380), random.Random(9)
    samples = some(chance, start, start + timedelta(days=1), 60) + some(
        chance, end - timedelta(days=1), end, 60
    )
    send(put, samples)
    steps = test_rollups.Counted(store.cursor())
    sum_tiers.keep_up(steps, naive(now()))
    assert steps.writes <= 10, "of 380 days"
    late = some(chance, start + timedelta(days=100), start + timedelta(days=101), 20)
    send(put, late)
    keep_up(store, now())
    window = {"start": start - timedelta(days=1), "end": end}
    rows = ask("host_trend", **window, buckets=300).to_pylist()
    assert_trend(rows, samples + late, start - timedelta(days=1), end)


def test_the_numbers_of_databases_and_processes_are_read_from_cells_too(
    put: Put, ask: Ask, store: Store
) -> None:
    end = now()
    day = (end - timedelta(days=3)).replace(hour=0, minute=0, second=0, microsecond=0)
    database = {"kind": "database", "target": "main", "metric": "connections", "unit": "1", "object": "shop"}
    process = {"metric": "process_cpu_ratio", "object": "nginx"}
    send(
        put,
        [sample(day + timedelta(hours=hour), float(hour), **database) for hour in range(24)]
        + [sample(day + timedelta(hours=hour), hour / 100, **process) for hour in range(24)],
    )
    before = [
        ask("database_trend", start=day, end=day + timedelta(days=1), buckets=1).to_pylist(),
        ask("database_now", start=day, end=day + timedelta(days=1)).to_pylist(),
        ask("top_processes", start=day, end=day + timedelta(days=1)).to_pylist(),
    ]
    assert {row.pop("tier") for rows in before for row in rows} == {"raw"}
    keep_up(store, end)
    store.cursor().execute("DELETE FROM sample")
    after = [
        ask("database_trend", start=day, end=day + timedelta(days=1), buckets=1).to_pylist(),
        ask("database_now", start=day, end=day + timedelta(days=1)).to_pylist(),
        ask("top_processes", start=day, end=day + timedelta(days=1)).to_pylist(),
    ]
    assert {row.pop("tier") for rows in after for row in rows} == {"1d"}
    assert after == before
    (row,) = after[0]
    assert (row["n"], row["max"], row["sum"]) == (24, 23.0, 276.0)


def test_old_windows_are_answered_when_the_samples_are_gone(put: Put, ask: Ask, store: Store) -> None:
    chance = random.Random(8)
    end = now()
    start = end - timedelta(days=60)
    first = (end - timedelta(days=50)).replace(hour=5, minute=0, second=0, microsecond=0)
    around = [sample(first + timedelta(minutes=minutes), 0.5) for minutes in (-10, 10)]
    sent = [*some(chance, start, end, 3000), *around]
    send(put, sent)
    at = naive(end)
    assert expire(store.cursor(), at, 30)["sample"] == 0, "no cells hold them yet"
    keep_up(store, end)
    assert expire(store.cursor(), at, 30)["sample"] > 1000
    fine = ask("host_trend", start=first, end=first + timedelta(hours=10), buckets=300).to_pylist()
    assert {(row["bucket_s"], row["tier"]) for row in fine} == {(3600, "1h")}, "as fine as there is"
    assert_trend(fine, sent, first, first + timedelta(hours=10))
    whole = ask("host_trend", start=first, end=end, buckets=60).to_pylist()
    assert_trend(whole, sent, first, end)
    assert {row["tier"] for row in whole} >= {"1d"}
    cut = ask("host_trend", start=first - timedelta(minutes=20), end=first + timedelta(hours=5), buckets=2)
    assert any("left out" in tier for tier in cut["tier"].to_pylist()), "part of an hour is not to be had"
    (row,) = ask("hosts").to_pylist()
    assert row["newest_at"] == max(each.at for each in sent if each.metric == "cpu_ratio")


@pytest.mark.parametrize("cell_days", [400, 40])
def test_a_sample_that_comes_after_its_like_are_gone_is_added_once(
    put: Put, ask: Ask, store: Store, cell_days: int
) -> None:
    chance = random.Random(3)
    end = now()
    day = (end - timedelta(days=50)).replace(hour=0, minute=0, second=0, microsecond=0)
    window = {"start": day, "end": day + timedelta(days=1)}
    sent = some(chance, day, window["end"], 200) + some(chance, end - timedelta(hours=30), end, 50)
    send(put, sent)
    keep_up(store, end)
    expire(store.cursor(), naive(end), 30, cell_days)
    late = some(chance, day, window["end"], 30)
    batch = Batch(batch_id="late-samples", samples=tuple(late))
    put(batch)
    assert put(batch).stored is False
    for _ in range(2):
        keep_up(store, end)
        assert_trend(ask("host_trend", **window, buckets=1).to_pylist(), sent + late, day, window["end"])
    left = store.cursor().execute("SELECT count(*) FROM sample WHERE ts < ?", [naive(window["end"])])
    assert left.fetchall() == [(0,)]
    hours = store.cursor().execute(f"SELECT count(*) FROM {HOURS_TABLE} WHERE ts < ?", [naive(window["end"])])
    assert (hours.fetchall()[0][0] > 0) == (cell_days == 400)


def test_what_a_clock_far_ahead_sealed_is_opened_again(put: Put, ask: Ask, store: Store) -> None:
    end = now()
    start = end - timedelta(days=2)
    sent = some(random.Random(4), start, end, 200)
    send(put, sent[:100])
    keep_up(store, end)
    ahead = naive(end + timedelta(days=40))
    tiers.move(store.cursor(), "sample", sealing_until=ahead, sealed_until=ahead)
    tiers.move(store.cursor(), "sample_1d", sealed_until=ahead)
    keep_up(store, end)
    sealed = tiers.read(store.cursor(), "sample").sealed_until
    assert sealed is not None
    assert sealed <= naive(end)
    send(put, sent[100:])
    keep_up(store, end)
    assert_trend(ask("host_trend", start=start, end=end, buckets=3).to_pylist(), sent, start, end)
    assert list(rebuild(Alone(store.cursor()), naive(end)))[-1]["differences"] == 0


KILLED = test_rollups.KILLED.replace("import rollups", "import sum_tiers as rollups")


def test_a_kill_between_any_two_steps_harms_nothing(
    put: Put, ask: Ask, store: Store, settings: Settings
) -> None:
    chance = random.Random(9)
    end = now()
    start = end - timedelta(hours=60)
    sent = some(chance, start, end - timedelta(hours=30), 200)
    send(put, sent)
    keep_up(store, end)
    send(put, more := some(chance, start, end, 200))
    store.close()
    ended = kills = 0
    for step in range(1, 40):
        command = [sys.executable, "-c", KILLED, str(settings.path), str(step)]
        ended = subprocess.run(command, cwd=Path.cwd(), timeout=120).returncode
        if ended == 0:
            break
        assert ended == -signal.SIGKILL
        kills += 1
    assert ended == 0
    assert kills > 3
    store.__init__(settings)  # type: ignore[misc]
    assert_trend(ask("host_trend", start=start, end=end, buckets=10).to_pylist(), sent + more, start, end)
    assert list(rebuild(Alone(store.cursor()), naive(end)))[-1]["differences"] == 0


def test_rebuild_names_and_replaces_cells_of_samples_that_differ(put: Put, ask: Ask, store: Store) -> None:
    end = now()
    start = end - timedelta(days=4)
    sent = some(random.Random(6), start, end, 600)
    send(put, sent)
    keep_up(store, end)
    steps = list(rebuild(Alone(store.cursor()), naive(end)))
    assert steps[-1]["differences"] == 0
    assert steps[-1]["cells"] > 100
    cursor = store.cursor()
    cursor.execute(f"UPDATE {HOURS_TABLE} SET max = max + 1 WHERE ts = (SELECT min(ts) FROM {HOURS_TABLE})")
    cursor.execute(f"UPDATE {DAYS_TABLE} SET sum = sum + 1 WHERE ts = (SELECT max(ts) FROM {DAYS_TABLE})")
    cursor.execute(f"DELETE FROM {HOURS_TABLE} WHERE ts = (SELECT max(ts) FROM {HOURS_TABLE})")
    steps = list(rebuild(Alone(store.cursor()), naive(end)))
    told = [each for step in steps[:-1] for each in step["first"]]
    assert any(each.startswith(HOURS_TABLE) and "box" in each for each in told)
    assert any(each.startswith(DAYS_TABLE) for each in told)
    assert list(rebuild(Alone(store.cursor()), naive(end)))[-1]["differences"] == 0
    assert_trend(ask("host_trend", start=start, end=end, buckets=4).to_pylist(), sent, start, end)


def some_stats(chance: random.Random, start: datetime, end: datetime, many: int) -> list[QueryStat]:
    """Statistics of a few shapes, some of which do not tell everything."""
    found = []
    for _ in range(many):
        at = start + chance.random() * (end - start)
        at = at.replace(microsecond=at.microsecond // 1000 * 1000)
        calls = chance.randrange(1, 50)
        durations = [chance.lognormvariate(9, 1) for _ in range(calls)]
        told: dict[str, Any] = {
            "total_us": sum(durations),
            "squares_us2": sum(us * us for us in durations) if chance.random() < 0.9 else None,
            "min_us": min(durations),
            "max_us": max(durations) if chance.random() < 0.5 else None,
            "ceiling_us": max(durations) * 1.5,
            "rows": calls * 3,
            "blocks_hit": chance.randrange(1000),
            "blocks_read": chance.randrange(9),
            "io_us": chance.random() * 100,
            "is_partial": chance.random() < 0.01,
        }
        found.append(query_stat(at, calls, shape=f"s{chance.randrange(4)}", **told))
    return found


ASKED: tuple[tuple[str, dict[str, Any]], ...] = (
    ("slow_queries", {"by": "total"}),
    ("slow_queries", {"by": "max", "shape": ("s1", "s2")}),
    ("query_trend", {"buckets": 8}),
    ("query_load", {"buckets": 40}),
    ("query_patterns", {}),
    ("query_suspects", {}),
)


def send_stats(put: Put, stats: list[QueryStat], *shapes: QueryShape) -> None:
    put(Batch(batch_id=f"statistics-{next(_numbers)}", query_shapes=shapes, query_stats=tuple(stats)))


def assert_alike(before: list[dict[str, Any]], after: list[dict[str, Any]]) -> None:
    """The same rows; sums of fractions but for the order of adding up."""
    assert len(before) == len(after)
    for was, told in zip(before, after, strict=True):
        for name, value in was.items():
            if name == "tier":
                continue
            alike = pytest.approx(value, rel=1e-9) if isinstance(value, float) else value
            assert told[name] == alike, name


@pytest.mark.parametrize("seed", range(3))
def test_questions_about_queries_say_the_same_from_cells(put: Put, ask: Ask, store: Store, seed: int) -> None:
    chance = random.Random(seed)
    end = now()
    start = (end - timedelta(days=60)).replace(hour=0, minute=0, second=0, microsecond=0)
    shapes = (query_shape(start, shape=f"s{place}") for place in range(4))
    send_stats(put, some_stats(chance, start, end, 2000), *shapes)
    middle = start + timedelta(days=chance.randrange(5, 20), hours=chance.randrange(24))
    windows = (
        {"start": start, "end": start + timedelta(days=25)},
        {"start": middle, "end": middle + timedelta(hours=chance.randrange(1, 50))},
        {"start": middle, "end": end},
        {"start": end - timedelta(hours=30), "end": end - timedelta(minutes=7)},
    )

    def answers() -> list[list[dict[str, Any]]]:
        return [ask(name, **window, **more).to_pylist() for window in windows for name, more in ASKED]

    keep_up(store, start + timedelta(days=30))
    send_stats(put, some_stats(chance, start, end, 50))
    before = answers()
    keep_up(store, end)
    sealed = answers()
    for was, told in zip(before, sealed, strict=True):
        assert_alike(was, told)
    assert any("1d" in row["tier"] for rows in sealed for row in rows)
    send_stats(put, some_stats(chance, start, end, 60))
    dirty = answers()
    for table in ("tier", "dirty", "query_stat_cell_1h", "query_stat_cell_1d"):
        store.cursor().execute(f"DELETE FROM {table}")
    raw = answers()
    assert {row["tier"] for rows in raw for row in rows} == {"raw"}
    for was, told in zip(raw, dirty, strict=True):
        assert_alike(was, told)


def test_statistics_outlive_their_rows_and_late_ones_count_once(put: Put, ask: Ask, store: Store) -> None:
    chance = random.Random(12)
    end = now()
    start = (end - timedelta(days=60)).replace(hour=0, minute=0, second=0, microsecond=0)
    send_stats(put, some_stats(chance, start, end, 1500), query_shape(start, shape="s0"))
    at = naive(end)
    window = {"start": start, "end": start + timedelta(days=20)}
    late = some_stats(chance, start, start + timedelta(days=20), 40)
    send_stats(put, late)
    before = [ask(name, **window, **more).to_pylist() for name, more in ASKED]
    bound = ask("query_latency", **window).to_pylist()[0]
    store.cursor().execute(
        "DELETE FROM query_stat WHERE total_us IN (SELECT unnest(?))", [[one.total_us for one in late]]
    )
    keep_up(store, end)
    assert expire(store.cursor(), at, 30)["query_stat"] > 500
    send_stats(put, late)
    for _ in range(2):
        keep_up(store, end)
        for was, (name, more) in zip(before, ASKED, strict=True):
            rows = ask(name, **window, **more).to_pylist()
            assert_alike(was, rows)
            assert {row["tier"] for row in rows} <= {"1d", "1h"}
    limit = naive(end - timedelta(days=31))
    left = store.cursor().execute("SELECT count(*) FROM query_stat WHERE ts < ?", [limit]).fetchall()
    assert left == [(0,)]
    wider = ask("query_latency", **window).to_pylist()[0]
    assert wider["n"] == bound["n"]
    assert wider["p95_low_ms"] <= bound["p95_high_ms"]
    assert wider["p95_high_ms"] >= bound["p95_low_ms"]
    assert list(rebuild(Alone(store.cursor()), at))[-1]["differences"] == 0


def test_rebuild_names_cells_of_queries_that_differ(put: Put, store: Store) -> None:
    end = now()
    send_stats(put, some_stats(random.Random(2), end - timedelta(days=3), end, 400))
    keep_up(store, end)
    assert list(rebuild(Alone(store.cursor()), naive(end)))[-1]["differences"] == 0
    store.cursor().execute(
        "UPDATE query_stat_cell_1h SET calls = calls + 1 WHERE ts = (SELECT min(ts) FROM query_stat_cell_1h)"
    )
    store.cursor().execute("UPDATE query_stat_cell_1d SET io_us = io_us + 1 WHERE shape_id = 2")
    steps = list(rebuild(Alone(store.cursor()), naive(end)))
    told = {each.split()[0] for step in steps[:-1] for each in step["first"]}
    assert told == {"query_stat_cell_1h", "query_stat_cell_1d"}
    assert list(rebuild(Alone(store.cursor()), naive(end)))[-1]["differences"] == 0


def total(store: Store, table: str, column: str = "n") -> int:
    return int(store.cursor().execute(f"SELECT coalesce(sum({column}), 0) FROM {table}").fetchall()[0][0])


def test_rebuild_leaves_alone_what_retention_takes_meanwhile(put: Put, store: Store) -> None:
    end = now()
    send(put, some(random.Random(1), end - timedelta(days=60), end, 2000))
    keep_up(store, end)
    before = total(store, DAYS_TABLE), total(store, HOURS_TABLE)
    steps = []
    for step in rebuild(Alone(store.cursor()), naive(end)):
        steps.append(step)
        if len(steps) == 5:
            assert expire(store.cursor(), naive(end), 30)["sample"] > 0
    assert steps[-1]["differences"] == 0
    assert (total(store, DAYS_TABLE), total(store, HOURS_TABLE)) == before


def test_a_late_row_spoils_no_day_where_cells_of_hours_are_kept_no_longer_than_rows(
    put: Put, store: Store
) -> None:
    at = (now() - timedelta(days=1)).replace(hour=18, minute=30, second=0, microsecond=0)
    start = at - timedelta(days=35)
    samples = [sample(start + timedelta(hours=hour)) for hour in range(35 * 24)]
    stats = [query_stat(start + timedelta(hours=hour), 2) for hour in range(35 * 24)]
    put(Batch(batch_id="equal-days-1", samples=tuple(samples), query_stats=tuple(stats)))
    keep_up(store, at)
    expire(store.cursor(), naive(at), 30, cell_days=30)
    late = at - timedelta(days=30) + timedelta(hours=2)
    batch = Batch(batch_id="equal-days-2", samples=(sample(late),), query_stats=(query_stat(late, 2),))
    put(batch)
    midnight = (at + timedelta(days=1)).replace(hour=0, minute=5)
    expire(store.cursor(), naive(midnight), 30, cell_days=30)
    keep_up(store, midnight)
    day = naive(late.replace(hour=0, minute=0))
    for table, column, of_day in (("sample", "n", 25), ("query_stat", "calls", 50)):
        told = f"SELECT sum({column}) FROM {table}_cell_1d WHERE ts = ?"
        assert store.cursor().execute(told, [day]).fetchall() == [(of_day,)], table
    expire(store.cursor(), naive(midnight + timedelta(days=2)), 30, cell_days=30)
    assert store.cursor().execute(f"SELECT count(*) FROM {HOURS_TABLE} WHERE ts < ?", [day]).fetchall() == [
        (0,)
    ]


def test_what_cells_cannot_tell_any_more_is_told_as_left_out(put: Put, ask: Ask, store: Store) -> None:
    end = now()
    start = end - timedelta(days=90)
    stats = [query_stat(start + timedelta(hours=hour)) for hour in range(90 * 24)]
    send_stats(put, stats)
    keep_up(store, end)
    expire(store.cursor(), naive(end), 10, cell_days=40)
    (row,) = ask("slow_queries", start=end - timedelta(days=80), end=end).to_pylist()
    assert "left out" in row["tier"]
    assert row["calls"] < 45 * 24
    (row,) = ask("slow_queries", start=end - timedelta(days=30), end=end).to_pylist()
    assert "left out" in row["tier"], "part of the first hour, of which the rows are gone"
    first = (end - timedelta(days=30)).replace(minute=0, second=0, microsecond=0)
    (row,) = ask("slow_queries", start=first, end=end).to_pylist()
    assert "left out" not in row["tier"]


def test_a_window_from_before_all_data_leaves_nothing_out(put: Put, ask: Ask, store: Store) -> None:
    end = now()
    start = end - timedelta(days=60)
    send(put, [sample(start + timedelta(hours=hour)) for hour in range(60 * 24)])
    keep_up(store, end)
    expire(store.cursor(), naive(end), 30)
    rows = ask("host_trend", start=end - timedelta(days=300, minutes=7), end=end, buckets=1).to_pylist()
    assert sum(row["n"] for row in rows) == 60 * 24
    assert not [row["tier"] for row in rows if "left out" in row["tier"]]


def activity(start: datetime, end: datetime, *, ms: float) -> list[dict[str, Any]]:
    """Statistics, what looks saw and how often they looked, every 10 minutes."""
    found = []
    at = start
    while at < end:
        gap = sample(at, 20.0, kind="database", target="main", metric="activity_gap_max_ms", unit="ms")
        seen = query_latency(at, calls=100, low_us=ms * 1000 - 1000, high_us=ms * 1000 + 1000)
        found.append(
            {"samples": (gap,), "query_stats": (query_stat(at, 100, ms),), "query_latencies": (seen,)}
        )
        at += timedelta(minutes=10)
    return found


def test_looks_stand_only_for_the_time_they_are_kept(put: Put, ask: Ask, store: Store) -> None:
    end = now().replace(microsecond=0)
    start = (end - timedelta(days=40)).replace(minute=0, second=0)
    parts = activity(start, end, ms=200.0)
    put(
        Batch(
            batch_id="looks-of-40-days",
            query_shapes=(query_shape(start),),
            **{name: tuple(row for part in parts for row in part[name]) for name in parts[0]},
        )
    )
    window = {"start": start, "end": end}
    whole = {row["method"]: row for row in ask("query_latency", **window).to_pylist()}
    assert (whole["activity"]["n"], whole["activity"]["verdict"]) == (len(parts) * 100, "fail")
    keep_up(store, end)
    expire(store.cursor(), naive(end), 30)
    kept = store.cursor().execute("SELECT min(ts) FROM query_stat").fetchall()[0][0]
    assert store.cursor().execute("SELECT min(ts) FROM query_latency").fetchall()[0][0] == kept
    after = {row["method"]: row for row in ask("query_latency", **window).to_pylist()}
    young = sum(part["query_stats"][0].at >= kept.replace(tzinfo=UTC) for part in parts)
    assert after["activity"]["n"] == young * 100
    assert after["statistics"]["n"] == len(parts) * 100
    for row in after.values():
        assert row["p95_low_ms"] <= 200 <= row["p95_high_ms"]
    edge = kept.replace(tzinfo=UTC)
    near = ask("query_latency", start=edge - timedelta(hours=1), end=edge + timedelta(hours=1)).to_pylist()
    assert {row["verdict"] for row in near} == {"fail"}, "no false pass where looks end"


def test_exports_of_sums_have_no_cap_and_answers_do(put: Put, store: Store) -> None:
    end = now()
    start = end - timedelta(days=2)
    send(put, some(random.Random(3), start, end, 2000))
    keep_up(store, end)
    reader = Reader(store, deadline_s=30, row_cap=100)
    statement = host_trend(HostTrend(start=start, end=end, buckets=300))
    with pytest.raises(TooManyRowsError):
        reader.answer(statement)
    streamed = pa.Table.from_batches(list(reader.stream(statement)))
    assert streamed.num_rows == reader.count(statement) > 100
    assert reader.answer(statement, 7).to_pylist() == streamed.slice(0, 7).to_pylist()
    assert set(streamed["tier"].to_pylist()) <= {"raw", "1h", "1h+raw"}
