"""Freed room is given back while batches come and questions are asked, and not a row is lost."""

import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from tests.servers.warehouse import ROOT, WarehouseProcess, running_warehouse
from tests.warehouse.filling import fill_attempts
from tests.warehouse.records import attempt, sample
from tests.warehouse.test_backup import contents
from warehouse import copying
from warehouse.client import Client, pack
from warehouse.compact import BEFORE, DRAFT, FEW_ROWS, Compaction
from warehouse.copying import GROWING, Access, Copying
from warehouse.errors import RefusedError, StorageError
from warehouse.keeper import Keeper
from warehouse.model import Batch, now
from warehouse.room import Space
from warehouse.service import Warehouse
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


@pytest.mark.parametrize("rows", [50_000, 400_000])
def test_what_is_proved_while_storing_waits_does_not_grow_with_the_file(
    settings: Settings, rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill_attempts(settings, rows)
    store = Store(settings)
    cursor = store.cursor()
    cursor.execute(
        "INSERT INTO batch SELECT 'batch-' || i, 'local', now()::TIMESTAMP, 1, 0, 0, 0, 0, 0 "
        "FROM range(?) AS t(i)",
        [rows // 10],
    )
    proofs: list[tuple[int, int]] = []
    prove = copying._proof
    monkeypatch.setattr(copying, "_proof", lambda *given: _noted(proofs, prove(*given)))
    held: list[int] = []

    def on_writer(work: Callable[[], object]) -> object:
        cursor.execute(
            "INSERT INTO attempt BY NAME SELECT * REPLACE (now()::TIMESTAMP AS ts) FROM attempt LIMIT 300"
        )
        cursor.close()
        proofs.clear()
        done = work()
        held.append(sum(found for found, _ in proofs))
        return done

    *_, end = Compaction(store, Keeper(store), on_writer).steps()
    small = sum(len(rows) for table, rows in contents(store).items() if table not in GROWING)
    assert end["held_rows"] == 300 + small
    assert held == [2 * (300 + small)], "rows hashed, of the file and of the copy"
    assert end["rows"] == rows + rows // 10 + 300 + small
    store.close()


def _noted(proofs: list[tuple[int, int]], proof: tuple[int, int]) -> tuple[int, int]:
    proofs.append(proof)
    return proof


def test_rounds_go_on_until_little_comes_or_it_does_not_get_less(holey: Store) -> None:
    cursor = holey.cursor()

    def rounds(came: list[int]) -> int:
        done, known = 0, Copying.grow

        def grow(self: Copying, access: Access) -> Iterator[int]:
            nonlocal done
            yield from known(self, access)
            if done < len(came):
                cursor.execute("INSERT INTO attempt BY NAME SELECT * FROM attempt LIMIT ?", [came[done]])
            done += 1

        with pytest.MonkeyPatch.context() as patching:
            patching.setattr(Copying, "grow", grow)
            steps = compaction(holey).steps()
            while next(steps)["part"] != "catching_up":
                pass
            steps.close()  # type: ignore[attr-defined]
        return done

    assert rounds([FEW_ROWS - 1]) == 2
    assert rounds([45_000, 21_000, 1]) == 4
    assert rounds([45_000, 44_000, 44_000]) == 3


def test_a_copy_that_holds_another_value_is_refused(holey: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    before = contents(holey)
    cast = copying.cast
    monkeypatch.setattr(
        copying, "cast", lambda name, kind: "1024 AS bytes" if name == "bytes" else cast(name, kind)
    )
    with pytest.raises(RefusedError, match="attempt changed while it was copied"):
        list(compaction(holey).steps())
    assert contents(holey) == before
    assert not (holey.settings.data_dir / DRAFT).exists()


@pytest.mark.parametrize("moment", ["in the first round", "before the last rows"])
def test_a_run_deleted_meanwhile_stops_it(holey: Store, moment: str) -> None:
    cursor = holey.cursor()
    cursor.execute("INSERT INTO load_error SELECT i // 10, 0, i % 10, 0, 'gone' FROM range(100) AS t(i)")
    steps = compaction(holey).steps()
    part = "copy" if moment == "in the first round" else "catching_up"
    while next(steps)["part"] != part:
        pass
    cursor.execute("DELETE FROM load_error WHERE run_no = 3")
    cursor.execute("INSERT INTO load_error SELECT 11, 0, i, 0, 'new' FROM range(10) AS t(i)")
    cursor.execute("CHECKPOINT")
    expected = contents(holey)
    cursor.close()
    with pytest.raises(RefusedError, match="load_error changed while it was copied: 10 of the rows"):
        list(steps)
    assert contents(holey) == expected


def test_a_file_that_was_opened_again_meanwhile_is_not_taken_for_the_one_copied(holey: Store) -> None:
    steps = compaction(holey).steps()
    while next(steps)["part"] != "catching_up":
        pass
    holey.reopen()
    before = contents(holey)
    with pytest.raises(StorageError, match="opened its file again"):
        next(steps)
    assert contents(holey) == before


def test_tables_that_only_grow_are_never_updated() -> None:
    """What was proved before storing waits is looked at for missing rows alone, not for changed ones.

    Histograms of 5 minutes are forgotten in `retention.py`, which waits while a file is compacted.
    """
    changing = re.compile(r"UPDATE\s+(\w+)\s+SET|INSERT INTO (\w+)(?:(?!INSERT)[^;])*?DO UPDATE")
    updated = {
        (file.name, updating or upserting)
        for file in (ROOT / "warehouse").rglob("*.py")
        for updating, upserting in changing.findall(file.read_text("utf-8"))
    }
    assert {("run_rows.py", "run"), ("run_orders.py", "load_agent")} <= updated
    assert {each for each in updated if each[1] in GROWING} == {("retention.py", "attempt_cell_5m")}


KILLED = """
import os, signal, sys
from pathlib import Path
from warehouse import compact, restore
from warehouse.compact import Compaction
from warehouse.copying import Copying
from warehouse.keeper import Keeper
from warehouse.settings import load
from warehouse.store import Store

def dying(owner, name, when):
    work = getattr(owner, name)
    def killed(*given, **named):
        if when == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        done = work(*given, **named)
        os.kill(os.getpid(), signal.SIGKILL)
        return done
    setattr(owner, name, killed)

store = Store(load(Path(sys.argv[1]), {}))
work = Compaction(store, Keeper(store), lambda work: work())
owners = {"copying": Copying, "restore": restore, "store": Store, "compact": Compaction, "path": Path}
if sys.argv[2] == "link":
    link = os.link
    def linked(*given):
        link(*given)
        os.kill(os.getpid(), signal.SIGKILL)
    os.link = linked
elif sys.argv[2] == "copy":
    steps = work.steps()
    next(steps)
    os.kill(os.getpid(), signal.SIGKILL)
else:
    owner, name, when = sys.argv[2].split()
    dying(owners[owner], name, when)
list(work.steps())
"""

KILLS = [
    "copy",
    "copying finish before",
    "copying finish after",
    "compact _exchange before",
    "restore put_in_place before",
    "link",
    "restore put_in_place after",
    "compact _exchange after",
]
"""From the first rows that are copied to the file before, which is not yet deleted."""


@pytest.mark.parametrize("step", KILLS)
def test_a_kill_at_any_step_leaves_one_whole_file(settings: Settings, step: str) -> None:
    fill_attempts(settings, 2_000)
    store = Store(settings)
    store.cursor().execute("DELETE FROM attempt WHERE series_id % 2 = 0")
    before = contents(store)
    store.close()
    killed = subprocess.run([sys.executable, "-c", KILLED, str(settings.path), step], cwd=ROOT, check=False)
    assert killed.returncode == -signal.SIGKILL
    left = {name for name in (DRAFT, BEFORE) if (settings.data_dir / name).exists()}
    assert left
    warehouse = Warehouse(settings)
    assert contents(warehouse.store) == before
    assert not [file.name for file in settings.data_dir.iterdir() if "compact" in file.name]
    *_, end = warehouse.compact()
    assert end["part"] == "end"
    assert contents(warehouse.store)["attempt"] == before["attempt"]
    warehouse.close()


def test_cells_are_sealed_right_after_it(settings: Settings, caplog: pytest.LogCaptureFixture) -> None:
    fill_attempts(settings, 1_000)
    warehouse = Warehouse(settings)
    warehouse.upkeep.keep_up()
    assert list(warehouse.compact())
    warehouse.upkeep.keep_up()
    warehouse.close()
    assert "rollups wait" not in caplog.text


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
