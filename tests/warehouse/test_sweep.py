"""What DuckDB remembers of buffers that are gone is bounded, and sweeping harms no question."""

import threading
from collections.abc import Callable

import pytest

from tests.collectors.processes import wait_for
from tests.warehouse.records import attempt
from warehouse import sweep
from warehouse.model import Batch, Receipt
from warehouse.store import Store

SMALL = "SELECT count(*) FROM range(100) AS a (i) JOIN (SELECT i % 7 AS i FROM range(50) AS b (i)) USING (i)"
LARGE = "SELECT sum(n) FROM (SELECT i % 50000 AS k, count(*) AS n FROM range(300000) AS t (i) GROUP BY k)"


def gather(store: Store, entries: int) -> int:
    """Ask until so many entries are there; how many are."""
    cursor = store.cursor()
    while (there := sweep.remembered(cursor)) < entries:
        for _ in range(50):
            cursor.execute(SMALL).fetchall()
    return there


def limit_of(store: Store) -> object:
    return store.cursor().execute("SELECT current_setting('memory_limit')").fetchall()[0][0]


def test_small_questions_leave_entries_that_a_sweep_lets_go(store: Store) -> None:
    limit = limit_of(store)
    gather(store, 2_000)
    cursor = store.cursor()
    sweep.sweep(cursor, store.settings.warehouse.memory_limit_mb)
    assert sweep.remembered(cursor) < 500
    assert limit_of(store) == limit


def test_a_sweep_comes_when_enough_has_gathered(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweep, "MOST_REMEMBERED", 2_000)
    sweeper = sweep.Sweeper(store.settings.warehouse.memory_limit_mb)
    cursor = store.cursor()
    assert not sweeper.look(cursor)
    gather(store, 2_000)
    assert not sweeper.look(cursor), "it looks now and then, not always"
    monkeypatch.setattr(sweep, "LOOK_EVERY_S", 0.0)
    sweeper = sweep.Sweeper(store.settings.warehouse.memory_limit_mb)
    assert sweeper.look(cursor)
    assert sweep.remembered(cursor) < 500


def test_a_warehouse_that_is_asked_for_long_sweeps_by_itself(
    store: Store, put: Callable[[Batch], Receipt], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweep, "MOST_REMEMBERED", 1_000)
    monkeypatch.setattr(sweep, "LOOK_EVERY_S", 0.0)
    monkeypatch.setattr(sweep, "REST_S", 0.0)
    put(Batch(batch_id="sweep:00000001", attempts=(attempt(),)))
    cursor = store.cursor()
    came = "SELECT sum(total_insertions) FROM duckdb_eviction_queues()"
    while cursor.execute(came).fetchall()[0][0] < 10_000:
        cursor.execute(SMALL).fetchall()
    wait_for(lambda: sweep.remembered(cursor) < 1_500)


def test_nothing_is_swept_while_much_would_be_spilled(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweep, "MOST_REMEMBERED", 0)
    cursor, busy = store.cursor(), store.cursor()
    busy.execute("SELECT i FROM range(5000000) AS t (i) ORDER BY (i * 7919) % 5000000")
    assert sweep.temporary_bytes(cursor) > sweep.MOST_SPILLED_MB * 1e6
    assert not sweep.Sweeper(store.settings.warehouse.memory_limit_mb).look(cursor)
    busy.close()


@pytest.mark.timeout(120)
def test_questions_go_on_while_it_is_swept(store: Store) -> None:
    """And the limit is what it was, however empty the memory."""
    limit, wrong = limit_of(store), []
    done, enough = threading.Event(), threading.Event()

    def ask() -> None:
        cursor = store.cursor()
        for turn in range(300):
            if turn >= 15 and enough.is_set():
                break
            wrong.extend(row for row in cursor.execute(LARGE).fetchall() if row != (300_000,))
        done.set()

    asking = threading.Thread(target=ask)
    asking.start()
    cursor, sweeps = store.cursor(), 0
    while not done.wait(0.01):
        sweep.sweep(cursor, store.settings.warehouse.memory_limit_mb)
        sweeps += 1
        if sweeps > 5:
            enough.set()
        assert limit_of(store) == limit
    asking.join()
    assert not wrong
    assert sweeps > 5
