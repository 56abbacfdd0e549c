"""What databases were asked, to the digit on literal rows."""

import math
from collections.abc import Callable
from datetime import datetime, timedelta
from uuid import uuid4

import pyarrow as pa
import pytest

from tests.warehouse.records import (
    database_state,
    lock_wait,
    query_latency,
    query_shape,
    query_stat,
    sample,
)
from warehouse.model import RECORDS, Batch, Receipt, Record, now

Put = Callable[[Batch], Receipt]
Ask = Callable[..., pa.Table]


@pytest.fixture
def at() -> datetime:
    """An instant on a whole minute, half an hour ago."""
    return (now() - timedelta(minutes=30)).replace(second=0, microsecond=0)


def send(put: Put, *rows: Record) -> None:
    kinds = {kind: tuple(row for row in rows if isinstance(row, record)) for kind, record in RECORDS.items()}
    put(Batch.model_validate({"batch_id": f"queries-{uuid4()}", **kinds}))


def rows(table: pa.Table) -> list[dict[str, object]]:
    return list(table.to_pylist())


def test_sums_shares_and_deviations_are_those_of_the_calls(put: Put, ask: Ask, at: datetime) -> None:
    durations = [1.0, 2.0, 3.0, 50.0]
    squares = sum((ms * 1000) ** 2 for ms in durations)
    total = sum(durations) * 1000
    send(
        put,
        query_shape(at),
        query_shape(at, shape="b2", category="write", query="UPDATE a SET b = ?"),
        query_stat(
            at, 4, total_us=total, squares_us2=squares, rows=8, max_us=50_000.0, blocks_hit=3, blocks_read=1
        ),
        query_stat(at, 1, 44.0, shape="b2", max_us=44_000.0),
        query_stat(at + timedelta(hours=2), 9, shape="b2")
        if at + timedelta(hours=2) < now()
        else query_shape(at),
    )
    found = rows(ask("slow_queries", start=at, end=at + timedelta(minutes=1)))
    assert [row["shape"] for row in found] == ["a1", "b2"]
    first = found[0]
    assert (first["calls"], first["total_ms"], first["mean_ms"]) == (4, 56.0, 14.0)
    mean = sum(durations) / 4
    assert first["sd_ms"] == pytest.approx(math.sqrt(sum((ms - mean) ** 2 for ms in durations) / 4))
    assert (first["max_ms"], first["max_is_known"]) == (50.0, True)
    assert (first["rows_per_call"], first["hit_ratio"]) == (2.0, 0.75)
    assert [row["share"] for row in found] == [pytest.approx(0.56), pytest.approx(0.44)]
    send(put, query_stat(at, 2, 50.0, shape="c3", database="other", squares_us2=None))
    others = rows(ask("slow_queries", start=at, end=at + timedelta(minutes=1), database=("other",)))
    assert [(row["shape"], row["share"], row["sd_ms"]) for row in others] == [("c3", 0.5, None)]
    writes = rows(ask("slow_queries", start=at, end=now(), category=("write",)))
    assert [(row["shape"], row["share"]) for row in writes] == [("b2", pytest.approx(0.22))]


def test_the_longest_call_is_a_ceiling_where_it_may_hide(put: Put, ask: Ask, at: datetime) -> None:
    later = at + timedelta(seconds=10)
    send(put, query_stat(at, max_us=30_000.0, ceiling_us=30_000.0))
    send(put, query_stat(later, 9, max_us=None, ceiling_us=80_000.0))
    known = rows(ask("slow_queries", start=at, end=later))[0]
    assert (known["max_ms"], known["max_is_known"]) == (30.0, True)
    hidden = rows(ask("slow_queries", start=at, end=now()))[0]
    assert (hidden["max_ms"], hidden["max_is_known"]) == (80.0, False)


@pytest.mark.parametrize(
    ("by", "first"),
    [("total", "sum"), ("mean", "one"), ("max", "one"), ("calls", "many"), ("io", "disk"), ("rows", "rows")],
)
def test_queries_come_in_the_order_asked_for(put: Put, ask: Ask, at: datetime, by: str, first: str) -> None:
    send(
        put,
        query_stat(at, 100, 5.0, shape="sum"),
        query_stat(at, 1, 400.0, shape="one"),
        query_stat(at, 1000, 0.01, shape="many"),
        query_stat(at, 2, 1.0, shape="disk", blocks_read=1, temp_blocks=50),
        query_stat(at, 2, 1.0, shape="rows", rows=9),
    )
    found = rows(ask("slow_queries", start=at, end=now(), by=by, limit=1))
    assert [row["shape"] for row in found] == [first]


def test_a_query_mended_yesterday_is_not_on_todays_list(put: Put, ask: Ask, at: datetime) -> None:
    yesterday = at - timedelta(days=1)
    send(put, query_stat(yesterday, 5, 500.0, shape="slow"), query_stat(yesterday, shape="a1"))
    send(put, query_stat(at, shape="a1", is_partial=True))
    today = rows(ask("slow_queries", start=at - timedelta(hours=1), end=now()))
    assert [(row["shape"], row["is_partial"], row["share"]) for row in today] == [("a1", True, 1.0)]


def test_trends_and_load_add_up(put: Put, ask: Ask, at: datetime) -> None:
    send(put, query_shape(at), query_stat(at, 10, 600.0), query_stat(at + timedelta(seconds=10), 2, 300.0))
    trend = rows(ask("query_trend", start=at, end=at + timedelta(minutes=1), buckets=2, shape=("a1",)))
    assert [(row["calls"], row["bucket_s"], row["load"]) for row in trend] == [
        (12, 60, pytest.approx(6.6 / 60))
    ]
    load = rows(ask("query_load", start=at, end=at + timedelta(minutes=1), buckets=2))
    assert [(row["category"], row["total_ms"]) for row in load] == [("read", 6600.0)]
    patterns = rows(ask("query_patterns", start=at, end=now()))
    assert [(row["category"], row["shapes"], row["share_time"]) for row in patterns] == [("read", 1, 1.0)]


def test_new_and_vanished_since_a_moment(put: Put, ask: Ask, at: datetime) -> None:
    since = at + timedelta(minutes=15)
    for minute in range(30):
        moment = at + timedelta(minutes=minute, seconds=-1)
        stats = [query_stat(moment, 3, shape="stays")]
        if minute < 15:
            stats.append(query_stat(moment, 3, shape="goes"))
        if minute >= 20:
            stats.append(query_stat(moment, 2, 7.0, shape="comes"))
        if minute == 3:
            stats.append(query_stat(moment, 1, shape="rare"))
        send(put, *stats)
    asked = {"start": at - timedelta(minutes=1), "end": now(), "since": since}
    found = {(row["change"], row["shape"]): row for row in rows(ask("query_changes", **asked))}
    assert set(found) == {("new", "comes"), ("vanished", "goes")}
    assert found["new", "comes"]["calls"] == 20
    assert found["new", "comes"]["mean_ms"] == pytest.approx(7.0)
    assert found["vanished", "goes"]["expected_looks"] == pytest.approx(15 / 16 * 14)


def test_everything_is_new_to_us_at_first_and_a_gap_is_no_vanishing(put: Put, ask: Ask, at: datetime) -> None:
    send(put, query_stat(at, 50, shape="s1"), query_stat(at + timedelta(minutes=5), 50, shape="s2"))
    asked = {"start": at - timedelta(minutes=1), "end": now()}
    assert rows(ask("query_changes", **asked, since=at + timedelta(minutes=2))) == []
    assert rows(ask("query_changes", **asked, since=at + timedelta(minutes=10))) == []


def test_statistics_alone_give_a_bracket_with_its_source(put: Put, ask: Ask, at: datetime) -> None:
    bimodal = {"total_us": 930 * 10_000 + 70 * 126_500, "squares_us2": 930 * 10_000.0**2 + 70 * 126_500.0**2}
    send(
        put,
        database_state(at),
        database_state(at, target="idle"),
        query_shape(at),
        query_shape(at, shape="tx", category="transaction", query="COMMIT"),
        query_stat(at, 1000, **bimodal, min_us=10_000.0, ceiling_us=2_000_000.0),
        query_stat(at, 9000, 0.01, shape="tx"),
    )
    found = {row["target"]: row for row in rows(ask("query_latency", start=at, end=now(), objective_ms=100))}
    main = found["main"]
    assert (main["method"], main["n"], main["verdict"], main["is_best"]) == (
        "statistics",
        1000,
        "undetermined",
        True,
    )
    assert main["p95_low_ms"] < 126.5 <= main["p95_high_ms"]
    assert (found["idle"]["verdict"], found["idle"]["n"], found["idle"]["p95_low_ms"]) == ("no_data", 0, None)
    strict = rows(ask("query_latency", start=at, end=now(), objective_ms=10, target=("main",)))
    assert strict[0]["verdict"] in ("fail", "undetermined")
    easy = rows(ask("query_latency", start=at, end=now(), objective_ms=200, target=("main",)))
    assert easy[0]["verdict"] == "pass"


def test_looking_at_running_queries_is_better(put: Put, ask: Ask, at: datetime) -> None:
    gap = sample(at, 20.0, kind="database", target="main", metric="activity_gap_max_ms", unit="ms")
    bimodal = {"total_us": 930 * 10_000 + 70 * 126_500, "squares_us2": 930 * 10_000.0**2 + 70 * 126_500.0**2}
    send(
        put,
        database_state(at),
        query_shape(at),
        query_stat(at, 1000, **bimodal, min_us=10_000.0, ceiling_us=2_000_000.0),
        query_latency(at, calls=70, low_us=110_000.0, high_us=130_000.0),
        gap,
    )
    by_method = {row["method"]: row for row in rows(ask("query_latency", start=at, end=now()))}
    best = by_method["activity"]
    assert (best["is_best"], by_method["statistics"]["is_best"]) == (True, False)
    assert (best["n"], best["verdict"], best["gap_ms"]) == (1000, "fail", 20.0)
    assert 110.0 <= best["p95_low_ms"] <= 126.5 <= best["p95_high_ms"] <= 130.0
    trend = rows(ask("query_latency_trend", start=at, end=now(), buckets=10))
    assert [(row["method"], row["verdict"]) for row in trend] == [
        ("activity", "fail"),
        ("statistics", "undetermined"),
    ]


def test_states_begin_where_they_changed_and_fall_silent(put: Put, ask: Ask, at: datetime) -> None:
    minutes = [at + timedelta(minutes=minute) for minute in range(6)]
    send(
        put,
        database_state(minutes[0], state="ok"),
        *(database_state(minute, state="wrong_password", text="refused") for minute in minutes[1:4]),
        database_state(minutes[5], part="statements", state="ok", text="1.10"),
    )
    found = rows(ask("database_states", start=minutes[3], end=minutes[5] + timedelta(minutes=1)))
    assert [(row["part"], row["state"], row["since_at"], row["is_silent"]) for row in found] == [
        ("connection", "wrong_password", minutes[1], False),
        ("statements", "ok", minutes[5], False),
    ]
    long_after = minutes[5] + timedelta(days=3)
    later = rows(ask("database_states", start=long_after - timedelta(minutes=1), end=long_after))
    assert [(row["state"], row["since_at"]) for row in later] == [
        ("wrong_password", minutes[1]),
        ("ok", minutes[5]),
    ]
    assert all(row["is_silent"] for row in later)
    assert [(row["target"], row["engine"]) for row in rows(ask("databases"))] == [("main", "postgres")]


def test_numbers_of_databases_over_time_and_now(put: Put, ask: Ask, at: datetime) -> None:
    number = {
        "kind": "database",
        "target": "main",
        "metric": "deadlocks_total",
        "unit": "1",
        "object": "shop",
    }
    send(put, sample(at, 2.0, **number), sample(at + timedelta(seconds=10), 3.0, **number))
    send(put, sample(at, None, **{**number, "object": "other"}, outcome="not_measurable"))
    trend = rows(ask("database_trend", start=at, end=at + timedelta(minutes=1), buckets=2, object=("shop",)))
    assert [(row["n"], row["mean"], row["max"], row["sum"]) for row in trend] == [(2, 2.5, 3.0, 5.0)]
    newest = {row["object"]: row for row in rows(ask("database_now", start=at, end=now()))}
    assert (newest["shop"]["value"], newest["other"]["value"]) == (3.0, None)
    assert newest["other"]["outcome"] == "not_measurable"


def test_blockers_are_told_with_their_victims(put: Put, ask: Ask, at: datetime) -> None:
    send(
        put,
        query_shape(at),
        lock_wait(at, waiter_shape="a1"),
        lock_wait(at, waiter_pid=102, blocker_pid=101, blocker_application="api", waited_us=500_000),
    )
    waits = rows(ask("lock_waits", start=at, end=now()))
    assert waits[0]["waiter_query"] == "SELECT name FROM supplier WHERE id = ?"
    found = {row["blocker_pid"]: row for row in rows(ask("blockers", start=at, end=now()))}
    assert (found[100]["is_root"], found[101]["is_root"]) == (True, False)
    assert (found[100]["victims"], found[100]["longest_waited_ms"]) == (1, 1500.0)


def test_suspects_are_named_with_their_number(put: Put, ask: Ask, at: datetime) -> None:
    send(
        put,
        query_shape(at, shape="scan"),
        query_stat(at, 10, shape="scan", rows=10, blocks_hit=19_000, blocks_read=1_000),
        query_stat(at, 10, shape="bulk", rows=1_000_000, blocks_hit=19_000, blocks_read=1_000),
        query_stat(at, 4, shape="sort", temp_blocks=512),
        query_stat(at, 4, shape="heap", unindexed=3),
        query_stat(at, 4, shape="fine", unindexed=1, temp_blocks=4, rows=4, blocks_hit=40),
    )
    found = {
        row["shape"]: (row["reason"], row["value"])
        for row in rows(ask("query_suspects", start=at, end=now()))
    }
    assert found == {
        "scan": ("touches many blocks for each row", 2000.0),
        "sort": ("spills to disk", 128.0),
        "heap": ("uses no index", 0.75),
    }


def test_few_looks_do_not_hide_what_the_statistics_know(put: Put, ask: Ask, at: datetime) -> None:
    """Looks far apart tell less than sums do: the narrower interval stands."""
    gap = sample(at, 400.0, kind="database", target="main", metric="activity_gap_max_ms", unit="ms")
    quick = {"min_us": 900.0, "ceiling_us": 1_600.0}
    send(put, database_state(at), query_shape(at), gap)
    send(put, query_stat(at, 170, 1.0, **quick), query_stat(at - timedelta(seconds=10), 19, 1.0, **quick))
    found = rows(ask("query_latency", start=at - timedelta(minutes=1), end=now()))
    best = next(row for row in found if row["is_best"])
    assert (best["method"], best["verdict"], best["n"]) == ("statistics", "pass", 189)


def test_a_loop_of_look_ups_is_suspected(put: Put, ask: Ask, at: datetime) -> None:
    send(
        put,
        *(query_shape(at, shape=shape) for shape in ("each", "list", "few", "many")),
        query_stat(at, 5000, 0.1, shape="each", rows=5000),
        query_stat(at, 100, shape="list", rows=5000),
        query_stat(at, 90_000, 0.1, shape="each", rows=90_000, database="alone"),
        query_stat(at, 5000, 0.1, shape="many", rows=500_000, database="bulk"),
        query_stat(at, 5, shape="few", rows=5, database="bulk"),
        query_shape(at, shape="each", database="alone"),
        query_shape(at, shape="many", database="bulk"),
    )
    found = rows(ask("query_suspects", start=at, end=now()))
    assert [(row["database"], row["shape"], row["reason"], row["value"]) for row in found] == [
        ("shop", "each", "one row at a time", 50.0)
    ]
