"""Freed room is given back while batches come and questions are asked, and not a row is lost."""

import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from tests.servers.warehouse import WarehouseProcess, running_warehouse
from tests.warehouse.filling import fill_attempts
from tests.warehouse.records import attempt, sample
from tests.warehouse.test_backup import contents
from warehouse.client import Client, pack
from warehouse.compact import DRAFT, FEW_ROWS, Compaction
from warehouse.errors import RefusedError, StorageError
from warehouse.keeper import Keeper
from warehouse.model import Batch, now
from warehouse.room import Space
from warehouse.settings import Settings
from warehouse.store import Store

ROWS = 1_000_000
PATIENCE_S = 5.0


def compaction(store: Store) -> Compaction:
    return Compaction(store, Keeper(store), lambda work: work())


@pytest.fixture
def holey(settings: Settings) -> Iterator[Store]:
    """A warehouse of which nine tenths were deleted."""
    fill_attempts(settings, ROWS)
    store = Store(settings)
    cursor = store.cursor()
    cursor.execute("DELETE FROM attempt WHERE hash(ts, series_id) % 10 > 0")
    cursor.execute("INSERT INTO gap VALUES ('2026-01-01', '2026-01-02', 's', 'j', 'missed', 1)")
    cursor.execute("CHECKPOINT")
    cursor.close()
    yield store
    store.close()


def test_the_file_shrinks_and_every_row_is_there(holey: Store) -> None:
    before = contents(holey)
    *_, end = compaction(holey).steps()
    assert end["after_bytes"] < end["before_bytes"] / 2
    assert contents(holey) == before
    assert end["rows"] > ROWS // 20
    holey.reopen()
    assert contents(holey) == before
    assert not list(holey.settings.data_dir.glob("*replaced*"))
    assert not (holey.settings.data_dir / DRAFT).exists()


def test_weeks_lie_sorted_by_series_afterwards(holey: Store) -> None:
    *_, _ = compaction(holey).steps()
    falls = (
        holey.cursor()
        .execute(
            """
        SELECT count(*) FROM (
            SELECT (epoch_ms(ts) // 604800000, series_id, ts)
                < lag((epoch_ms(ts) // 604800000, series_id, ts)) OVER (ORDER BY rowid) AS fell
            FROM attempt
        ) WHERE fell
        """
        )
        .fetchall()
    )
    assert falls == [(0,)]


def test_what_comes_between_the_rounds_is_copied_too(holey: Store) -> None:
    steps = compaction(holey).steps()
    cursor = holey.cursor()
    came = 0
    for step in steps:
        if step["part"] == "copy" and came < 4 * FEW_ROWS:
            cursor.execute(
                "INSERT INTO attempt BY NAME SELECT * REPLACE (now()::TIMESTAMP AS ts) FROM attempt LIMIT ?",
                [FEW_ROWS],
            )
            came += FEW_ROWS
        if step["part"] == "catching_up":
            cursor.execute("INSERT INTO gap VALUES ('2026-01-01', '2026-01-02', 's', 'j', 'missed', 2)")
            cursor.execute("CHECKPOINT")
            expected = contents(holey)
            cursor.close()
    assert came
    assert contents(holey) == expected


def test_rows_deleted_meanwhile_are_noticed_and_nothing_is_changed(holey: Store) -> None:
    steps = compaction(holey).steps()
    cursor = holey.cursor()
    while next(steps)["part"] != "catching_up":
        pass
    cursor.execute("DELETE FROM attempt WHERE rowid IN (SELECT rowid FROM attempt LIMIT 5)")
    cursor.execute("INSERT INTO attempt BY NAME SELECT * FROM attempt LIMIT 5")
    expected = contents(holey)
    cursor.close()
    with pytest.raises(RefusedError, match="attempt changed while it was copied"):
        next(steps)
    assert contents(holey) == expected
    assert not (holey.settings.data_dir / DRAFT).exists()


def test_one_that_is_given_up_leaves_nothing_behind(holey: Store) -> None:
    before = contents(holey)
    steps = compaction(holey).steps()
    next(steps)
    steps.close()  # type: ignore[attr-defined]
    assert contents(holey) == before
    assert not (holey.settings.data_dir / DRAFT).exists()


def test_without_room_for_the_copy_nothing_is_begun(holey: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Keeper, "space", Space(free=5_000_000, reserve=4_000_000))
    with pytest.raises(StorageError, match=r"MB are needed beside: 5\.0 MB free"):
        next(compaction(holey).steps())
    assert not (holey.settings.data_dir / DRAFT).exists()


class Busy:
    """A collector that sends and a reader that asks, until told to stop."""

    def __init__(self, warehouse: WarehouseProcess) -> None:
        self.sent = 0
        self.asked = 0
        self.longest_s = 0.0
        self.errors: list[Exception] = []
        self._ended = threading.Event()
        self._threads = [
            threading.Thread(target=self._repeat, args=(warehouse.client(process), work))
            for process, work in (("collect", self._send), ("dashboard", self._ask))
        ]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join()

    def _repeat(self, client: Client, work: Callable[[Client], None]) -> None:
        with client:
            while not self._ended.wait(0.02):
                try:
                    work(client)
                except Exception as error:  # noqa: BLE001 - the test tells it
                    self.errors.append(error)

    def _send(self, client: Client) -> None:
        batch = Batch(
            batch_id=f"busy-{self.sent:08}",
            source="local",
            attempts=tuple(attempt(endpoint="GET /busy") for _ in range(10)),
            samples=(sample(),),
        )
        client.send(batch.batch_id, pack(batch))
        self.sent += 10

    def _ask(self, client: Client) -> None:
        began = time.monotonic()
        client.ask("latency_summary", start=now() - timedelta(hours=1), end=now())
        self.longest_s = max(self.longest_s, time.monotonic() - began)
        self.asked += 1


def test_collecting_goes_on_and_questions_are_answered_meanwhile(tmp_path: Path) -> None:
    with running_warehouse(tmp_path) as warehouse:
        warehouse.stop()
        fill_attempts(warehouse.settings, ROWS)
        warehouse.start()
        busy = Busy(warehouse)
        with warehouse.client("cli") as client:
            steps = list(client.compact())
        sent_by_then = busy.sent
        time.sleep(1)
        busy.stop()
        assert steps[-1]["part"] == "end"
        assert not busy.errors
        assert busy.longest_s < PATIENCE_S
        assert busy.asked > 5
        assert busy.sent > sent_by_then > 0
        with warehouse.client("cli") as client:
            known = client.ask("latency_summary", start=now() - timedelta(hours=1), end=now())
            counted = dict(zip(known["endpoint"], known["attempts"], strict=True))
            assert counted["GET /busy"] == busy.sent
            rows = client.ask("storage")
            assert dict(zip(rows["table_name"], rows["rows"], strict=True))["attempt"] == ROWS + busy.sent
            (event,) = (
                client.ask("events", start=now() - timedelta(hours=1), end=now())
                .filter(job="compact")
                .to_dicts()
            )
            assert event["text"].startswith("compacted from")
