"""The reader's limits: slots, deadline, row cap, and exports that run apart from them."""

import threading
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from tests.servers.warehouse import running_warehouse
from tests.warehouse.records import sample
from warehouse.client import pack
from warehouse.errors import BusyError, DeadlineError, StorageError, TooManyRowsError
from warehouse.model import Batch, Receipt, now
from warehouse.questions import Statement
from warehouse.reader import Reader
from warehouse.store import Store

ENDLESS = Statement("SELECT count(*) AS n FROM range(1000000000000) AS t(i) WHERE sin(i) > 2")


def test_a_statement_past_its_deadline_is_interrupted_and_the_slot_is_free_again(store: Store) -> None:
    reader = Reader(store, deadline_s=0.3, row_cap=10, slots=1)
    with pytest.raises(DeadlineError) as slow:
        reader.answer(ENDLESS)
    assert slow.value.status == 504
    assert "0.3 s" in slow.value.message
    assert reader.answer(Statement("SELECT 1 AS one")).to_pylist() == [{"one": 1}]


def test_a_deadline_that_passes_before_the_statement_starts_is_not_lost(store: Store) -> None:
    reader = Reader(store, deadline_s=1e-6, row_cap=10, slots=1)
    with pytest.raises(DeadlineError):
        reader.answer(ENDLESS)


def test_waiting_for_a_slot_counts_towards_the_deadline(store: Store) -> None:
    reader = Reader(store, deadline_s=1.0, row_cap=10, slots=1)

    def occupy() -> None:
        with pytest.raises(DeadlineError):
            reader.answer(ENDLESS)

    running = threading.Thread(target=occupy)
    running.start()
    time.sleep(0.2)
    began = time.monotonic()
    with pytest.raises(DeadlineError):
        reader.answer(ENDLESS)
    assert time.monotonic() - began < 5
    running.join()


def test_at_most_as_many_at_once_as_there_are_slots(store: Store) -> None:
    running, most = [0], [0]
    lock = threading.Lock()

    class Watched(Reader):
        def _values(self, statement: Statement) -> dict[str, object]:
            with lock:
                running[0] += 1
                most[0] = max(most[0], running[0])
            time.sleep(0.02)
            with lock:
                running[0] -= 1
            return super()._values(statement)

    reader = Watched(store, deadline_s=30, row_cap=10, slots=2)
    askers = [threading.Thread(target=reader.answer, args=(Statement("SELECT 1"),)) for _ in range(12)]
    for asker in askers:
        asker.start()
    for asker in askers:
        asker.join()
    assert most == [2]


def test_exactly_the_cap_is_answered_and_one_more_is_not(store: Store) -> None:
    reader = Reader(store, deadline_s=30, row_cap=100)
    assert reader.answer(Statement("SELECT i FROM range(100) AS t(i)")).num_rows == 100
    with pytest.raises(TooManyRowsError) as long:
        reader.answer(Statement("SELECT i FROM range(101) AS t(i)"))
    assert "100 rows" in long.value.message
    assert "export" in long.value.hint


def test_a_third_export_is_told_to_come_back(store: Store) -> None:
    reader = Reader(store, deadline_s=30, row_cap=10)
    open_exports = [reader.stream(Statement("SELECT i FROM range(200000) AS t(i)")) for _ in range(3)]
    for export in open_exports[:2]:
        next(export)
    with pytest.raises(BusyError):
        next(open_exports[2])
    assert sum(block.num_rows for block in open_exports[0]) == 200_000
    assert sum(block.num_rows for block in reader.stream(Statement("SELECT 1 AS one"))) == 1


def test_over_http_the_errors_keep_their_kind_and_exports_have_no_cap(tmp_path: Path) -> None:
    at = now() - timedelta(hours=1)
    rows = tuple(sample(at + timedelta(milliseconds=number)) for number in range(150))
    batch = Batch(batch_id="reader-http", samples=rows)
    with (
        running_warehouse(tmp_path, warehouse="row_cap = 100") as process,
        process.client("collect") as collect,
        process.client("cli") as read,
    ):
        collect.send(batch.batch_id, pack(batch))
        with pytest.raises(TooManyRowsError):
            read.ask("samples", start=at, end=now())
        out = tmp_path / "samples.csv"
        written = read.export("samples", "csv", out, start=at, end=now())
        assert written == out.stat().st_size
        assert len(out.read_text().splitlines()) == 151


def test_everything_is_answered_read_only(put: Callable[[Batch], Receipt], store: Store) -> None:
    """No statement reaches files or settings: the connection is shut."""
    reader = Reader(store, deadline_s=5, row_cap=10)
    for escape in ("SELECT * FROM read_csv('/etc/passwd')", "SELECT * FROM '/etc/passwd'"):
        with pytest.raises(StorageError):
            reader.answer(Statement(escape))


def test_a_streamed_answer_is_in_order_unless_it_is_raw_rows() -> None:
    ordered = Statement("SELECT 1 AS one", order="one")
    assert ordered.streamed == ordered.ordered != ordered.sql
    raw = Statement("SELECT 1 AS one", order="one", raw=True)
    assert raw.streamed == raw.sql != raw.ordered
