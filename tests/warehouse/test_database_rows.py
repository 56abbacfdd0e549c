"""What is recorded of databases is stored once and whole: shapes, statistics, waits, states."""

from collections.abc import Callable
from datetime import timedelta
from uuid import uuid4

import pytest

from tests.warehouse.records import (
    database_state,
    lock_wait,
    minute_ago,
    query_latency,
    query_shape,
    query_stat,
)
from warehouse import shapes, sum_tiers
from warehouse.errors import InvalidInputError
from warehouse.model import RECORDS, Batch, Receipt, Record, now
from warehouse.retention import expire
from warehouse.rollups import Alone
from warehouse.store import Store
from warehouse.writer import Writer

Put = Callable[[Batch], Receipt]


def batch(*rows: Record) -> Batch:
    kinds = {kind: tuple(row for row in rows if isinstance(row, record)) for kind, record in RECORDS.items()}
    return Batch.model_validate({"batch_id": f"test-{uuid4()}", **kinds})


def query(store: Store, sql: str) -> list[tuple[object, ...]]:
    return store.cursor().execute(sql).fetchall()


def test_every_kind_is_stored_and_counted(put: Put, store: Store) -> None:
    at = minute_ago()
    sent = batch(
        query_shape(at),
        query_stat(at, calls=7, mean_ms=3.0, rows=70, is_partial=True),
        query_latency(at, high_us=None),
        lock_wait(at),
        database_state(at),
    )
    assert put(sent).database_rows == 5
    again = put(sent)
    assert (again.stored, again.database_rows) == (False, 5)
    stored = query(
        store,
        "SELECT target, database, shape, category, query, calls, total_us, rows, errors, is_partial "
        "FROM query_stat JOIN query_shape USING (shape_id)",
    )
    assert stored == [
        (
            *("main", "shop", "a1", "read", "SELECT name FROM supplier WHERE id = ?"),
            *(7, 21_000.0, 70, None, True),
        )
    ]
    assert query(store, "SELECT low_us, high_us, calls FROM query_latency") == [(100_000.0, None, 1)]
    assert query(store, "SELECT waiter_pid, blocker_pid, blocker_state FROM lock_wait") == [
        (101, 100, "idle in transaction")
    ]
    assert query(store, "SELECT source, part, state FROM database_state") == [("local", "connection", "ok")]


def test_a_shape_is_kept_once_and_a_missing_text_is_filled_in(put: Put, store: Store) -> None:
    first = minute_ago(600)
    put(batch(query_stat(first)))
    assert query(store, "SELECT category, query FROM query_shape") == [("unknown", None)]
    put(batch(query_shape(minute_ago(), query="SELECT ?"), query_stat(minute_ago())))
    put(batch(query_shape(minute_ago(), query="SELECT something_else")))
    assert query(store, "SELECT category, query, count(*) OVER () FROM query_shape") == [
        ("read", "SELECT ?", 1)
    ]
    seen = query(store, "SELECT first_seen_at FROM query_shape")[0][0]
    assert seen == (first - timedelta(seconds=10)).replace(tzinfo=None)


def test_shapes_past_the_limit_share_one(put: Put, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shapes, "SHAPES_PER_SOURCE", 2)
    put(batch(*(query_stat(shape=f"s{number}", calls=10 + number) for number in range(5))))
    put(batch(query_stat(shape="s0", calls=1), query_stat(shape="s9", calls=100)))
    calls = query(
        store,
        "SELECT shape, sum(calls)::INTEGER FROM query_stat JOIN query_shape USING (shape_id) "
        "GROUP BY 1 ORDER BY 1",
    )
    assert calls == [("other", 12 + 13 + 14 + 100), ("s0", 11), ("s1", 11)]


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"calls": 0}, "query_stats.0.calls"),
        ({"total_us": -1.0}, "query_stats.0.total_us"),
        ({"max_us": float("inf")}, "query_stats.0.max_us"),
        ({"rows": -1}, "query_stats.0.rows"),
        ({"shape": "No"}, "query_stats.0.shape"),
        ({"since": now() + timedelta(days=1)}, "query_stats.0.since"),
    ],
)
def test_a_wrong_number_is_named(put: Put, store: Store, fields: dict[str, object], field: str) -> None:
    wrong = query_stat().model_copy(update=fields)
    with pytest.raises(InvalidInputError) as refused:
        put(batch(query_shape()).model_copy(update={"query_stats": (wrong,)}))
    assert refused.value.field == field
    assert query(store, "SELECT count(*) FROM query_shape") == [(0,)]


def test_retention_spares_the_present_state_and_keeps_shapes_as_long_as_their_cells(
    put: Put, store: Store, writer: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shapes, "SHAPES_PER_SOURCE", 2)
    old = now() - timedelta(days=40)
    put(batch(query_shape(old, shape="old1"), query_stat(old, shape="old1")))
    put(batch(query_shape(old, shape="kept"), query_stat(old, shape="kept"), query_stat(shape="kept")))
    put(batch(database_state(old - timedelta(days=1), state="down"), database_state(old), lock_wait(old)))
    at = now().replace(tzinfo=None)
    stored = "SELECT shape, is_old FROM query_shape ORDER BY shape"
    writer.submit(lambda connection: expire(connection, at, 30)).result(30)
    assert query(store, "SELECT count(*) FROM query_stat") == [(3,)], "no cells hold them yet"
    assert query(store, stored) == [("kept", False), ("old1", False)]
    sum_tiers.keep_up(Alone(store.cursor()), at)
    writer.submit(lambda connection: expire(connection, at, 30)).result(30)
    assert query(store, "SELECT count(*) FROM query_stat") == [(1,)]
    assert query(store, stored) == [("kept", False), ("old1", True)]
    put(batch(query_stat(shape="new1")))
    assert query(store, stored) == [("kept", False), ("new1", False), ("old1", True)], "old ones leave room"
    put(batch(query_stat(shape="new2")))
    assert query(store, "SELECT shape FROM query_shape WHERE shape = 'other'") == [("other",)]
    put(batch(query_stat(old, shape="old1")))
    sum_tiers.keep_up(Alone(store.cursor()), at)
    writer.submit(lambda connection: expire(connection, at, 30, cell_days=35)).result(30)
    assert ("old1",) not in query(store, "SELECT shape FROM query_shape")
    assert query(store, "SELECT state FROM database_state") == [("ok",)]
    assert query(store, "SELECT count(*) FROM lock_wait") == [(0,)]
