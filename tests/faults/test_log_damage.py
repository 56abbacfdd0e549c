"""A damaged write-ahead log: the file opens, keeps every batch before the damage, and tells what is lost."""

import os
import random
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.collectors.processes import wait_for
from tests.faults import SOAK
from tests.servers.warehouse import ROOT, WarehouseProcess, running_warehouse, write_config
from tests.warehouse.records import sample
from warehouse import checks, wire
from warehouse.acks import Loss
from warehouse.acks import read as read_acks
from warehouse.client import pack
from warehouse.keeper import Keeper
from warehouse.model import Batch, now
from warehouse.settings import Settings, load
from warehouse.store import Store, acks_of, wal_of
from warehouse.writer import Writer

BATCHES = 40
ROWS = 25
FLIPS = 1000 if SOAK else 220
HEADER = 100
"""Bytes at the log's begin, where some of the flips always fall."""

FILL = """
import os, sys
from pathlib import Path
from tests.faults.test_log_damage import batch
from warehouse import checks, wire
from warehouse.keeper import Keeper
from warehouse.model import now
from warehouse.settings import load
from warehouse.store import Store
from warehouse.writer import Writer

settings = load(Path(sys.argv[1]), {})
store = Store(settings)
writer = Writer(Keeper(store))
for number in range(int(sys.argv[2])):
    sent = batch(number)
    batch_id, tables = wire.unpack_arrow(sent.batch_id, wire.pack(sent))
    assert writer.ingest(checks.check(batch_id, "local", tables, now())).result(30).stored
    print(os.path.getsize(store.wal), flush=True)
os.kill(os.getpid(), 9)
"""


class Killed(NamedTuple):
    """A data directory as a killed warehouse left it, and where each batch ends in the log."""

    folder: Path
    ends: list[int]


def batch(number: int) -> Batch:
    """A batch whose rows tell its number."""
    at = now() - timedelta(hours=1)
    rows = tuple(sample(at + timedelta(milliseconds=row), float(number)) for row in range(ROWS))
    return Batch(batch_id=f"batch-{number:04d}", samples=rows)


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> Killed:
    folder = tmp_path_factory.mktemp("killed")
    config = write_config(folder)
    done = subprocess.run(
        [sys.executable, "-c", FILL, str(config), str(BATCHES)], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    return Killed(folder, [int(line) for line in done.stdout.splitlines()])


@pytest.fixture
def copies(killed: Killed, tmp_path: Path) -> Iterator[Settings]:
    """The settings of a copy; `renew` puts the directory back as it was."""
    write_config(tmp_path)
    return load(tmp_path / "perfhouse.toml", {})


def renew(killed: Killed, settings: Settings) -> Path:
    """Put the directory back as the killed warehouse left it; its log."""
    shutil.rmtree(settings.data_dir, ignore_errors=True)
    shutil.copytree(killed.folder / "data", settings.data_dir)
    return wal_of(settings.database_file)


def opened(settings: Settings) -> tuple[list[int], list[Loss]]:
    """Open, look and close: which batches are stored, each whole, and what was told to be lost."""
    store = Store(settings)
    try:
        assert store.writable
        found = store.cursor().execute("SELECT value::INT, count(*) FROM sample GROUP BY 1 ORDER BY 1")
        rows = found.fetchall()
        assert {count for _, count in rows} <= {ROWS}, "a batch is torn"
        return [number for number, _ in rows], store.losses
    finally:
        store.close()


def quarantined(settings: Settings) -> list[Path]:
    return sorted((settings.data_dir / "quarantine").glob("*"))


def test_a_killed_warehouse_has_lost_nothing(killed: Killed, copies: Settings) -> None:
    renew(killed, copies)
    assert opened(copies) == (list(range(BATCHES)), [])
    assert acks_of(copies.database_file).read_bytes() == b""


def test_flipped_bits_lose_no_batch_before_them_and_every_loss_is_told(
    killed: Killed, copies: Settings
) -> None:
    chance = random.Random(20261124)
    size = killed.ends[-1]
    places = [*range(0, HEADER, 4), *(chance.randrange(size) for _ in range(FLIPS - HEADER // 4))]
    lost_somewhere = 0
    for place in places:
        log_file = renew(killed, copies)
        damaged = bytearray(log_file.read_bytes())
        damaged[place] ^= 1 << chance.randrange(8)
        log_file.write_bytes(damaged)
        stored, losses = opened(copies)
        sound = sum(end <= place for end in killed.ends)
        assert stored[:sound] == list(range(sound)), f"a batch before the damage at {place} is gone"
        lost = sorted(set(range(BATCHES)) - set(stored))
        told = sorted(ack.batch_id for loss in losses for ack in loss.acks)
        assert told == [f"batch-{number:04d}" for number in lost], f"the loss at {place} is told wrongly"
        assert sum(loss.rows for loss in losses) == len(lost) * ROWS
        if lost:
            lost_somewhere += 1
            assert [file.read_bytes() for file in quarantined(copies)] == [bytes(damaged)]
            if lost_somewhere % 10 == 1:
                assert opened(copies) == (stored, []), "the loss is told twice"
    assert lost_somewhere > FLIPS * 0.9


@pytest.mark.parametrize("how", ["missing", "empty", "cut short", "of another file"])
def test_a_log_that_is_not_there_is_told_with_what_it_held(
    killed: Killed, copies: Settings, how: str, tmp_path: Path
) -> None:
    log_file = renew(killed, copies)
    kept = 0
    if how == "missing":
        log_file.unlink()
    elif how == "empty":
        os.truncate(log_file, 0)
    elif how == "cut short":
        kept = 10
        os.truncate(log_file, killed.ends[kept] - 3)
    else:
        (tmp_path / "other").mkdir()
        config = write_config(tmp_path / "other")
        subprocess.run([sys.executable, "-c", FILL, str(config), "3"], cwd=ROOT, capture_output=True)
        shutil.copyfile(wal_of(load(config, {}).database_file), log_file)
    stored, (loss,) = opened(copies)
    assert stored == list(range(kept))
    lost = BATCHES - kept
    assert f"{lost} acknowledged batches lost: {lost * ROWS} rows of local, measured " in loss.text
    assert f"the last batch batch-{BATCHES - 1:04d}" in loss.text
    assert len(quarantined(copies)) == (how in ("cut short", "of another file"))


def test_what_is_noted_is_what_stands_in_the_log_alone(copies: Settings) -> None:
    """A checkpoint, whoever asked for it, empties the notes with the next batch, which is noted."""
    store = Store(copies)
    writer = Writer(Keeper(store))

    def put(number: int) -> list[str]:
        sent = batch(number)
        batch_id, tables = wire.unpack_arrow(sent.batch_id, wire.pack(sent))
        writer.ingest(checks.check(batch_id, "local", tables, now())).result(30)
        return [ack.batch_id for ack in read_acks(acks_of(store.path))]

    try:
        for number in range(3):
            noted = put(number)
        assert noted == ["batch-0000", "batch-0001", "batch-0002"]
        writer.submit(lambda connection: connection.execute("CHECKPOINT")).result(30)
        assert put(3) == ["batch-0003"]
        assert put(3) == ["batch-0003"], "a known batch is not noted again"
    finally:
        writer.close()
        store.close()


def test_without_a_record_the_loss_is_told_as_unknown(killed: Killed, copies: Settings) -> None:
    log_file = renew(killed, copies)
    acks_of(copies.database_file).unlink()
    damaged = bytearray(log_file.read_bytes())
    damaged[killed.ends[5] + 40] ^= 1
    log_file.write_bytes(damaged)
    stored, (loss,) = opened(copies)
    assert stored == list(range(6))
    assert "how much was lost is not known" in loss.text


def test_a_running_warehouse_tells_of_the_loss_and_goes_on(tmp_path: Path) -> None:
    """In /healthz, in the log and as events of the warehouse; then it stores as always."""
    with running_warehouse(tmp_path, log=tmp_path / "log") as process:
        for number in range(3):
            with process.client("collect") as client:
                sent = batch(number)
                client.send(sent.batch_id, pack(sent))
        process.kill()
        log_file = wal_of(process.settings.database_file)
        damaged = bytearray(log_file.read_bytes())
        damaged[-20] ^= 1
        log_file.write_bytes(damaged)
        process.start()
        check_told(process, tmp_path / "log")


def check_told(process: WarehouseProcess, log_file: Path) -> None:
    with process.client("dashboard") as client:
        (loss,) = client.health()["losses"]
        at = now()
        window = {"start": at - timedelta(hours=2), "end": at + timedelta(hours=1)}
        wait_for(lambda: len(client.ask("events", **window)))
        events = client.ask("events", **window).filter(source="warehouse")
        jobs = client.ask("collector_jobs", **window)
        assert client.health()["storage"]["state"] == "ok"
    assert "1 acknowledged batch lost: 25 rows of local, measured " in loss["text"]
    assert "the last batch batch-0002" in loss["text"]
    assert events["state"].to_list() == ["failing", "ok"]
    assert events["text"][0] == loss["text"]
    assert "warehouse" not in jobs["source"].to_list()
    assert loss["text"] in log_file.read_text()
    with process.client("collect") as client:
        sent = batch(2)
        assert client.send(sent.batch_id, pack(sent)).stored
