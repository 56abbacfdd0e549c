"""Damage in the database file: `verify` finds it and names the table, a start says what to do."""

import json
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from cli.verify import look
from tests.faults import SOAK
from tests.faults.storing import BOUND_S
from tests.servers.warehouse import ROOT, WarehouseProcess, running_warehouse, write_config
from tests.warehouse.records import attempt, sample
from warehouse import checks, wire
from warehouse.blocks import check_blocks
from warehouse.keeper import Keeper
from warehouse.model import Batch, Event, JobState, now
from warehouse.settings import Settings, load
from warehouse.store import Store
from warehouse.writer import Writer

FLIPS = 600 if SOAK else 60
HEADERS = 12_288
BLOCK = 262_144


def batches() -> list[Batch]:
    """Enough of everything for several blocks, with an index of some size."""
    chance = random.Random(5)
    at = now() - timedelta(days=3)
    made = [
        Batch(
            batch_id=f"batch-{number:04d}",
            attempts=tuple(
                attempt(at + timedelta(seconds=number * 50 + row), ms=chance.expovariate(0.01), bytes=row)
                for row in range(50)
            ),
            samples=tuple(
                sample(at + timedelta(seconds=number * 50 + row), chance.random(), object=f"o{number % 40}")
                for row in range(50)
            ),
        )
        for number in range(60)
    ]
    events = tuple(
        Event(at=at, job=f"job {number}", state=JobState.FAILING, text=chance.randbytes(400).hex())
        for number in range(2000)
    )
    return [*made, Batch(batch_id="batch-of-events", events=events)]


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the file of a warehouse that was stopped."""
    folder = tmp_path_factory.mktemp("sound")
    settings = load(write_config(folder), {})
    store = Store(settings)
    writer = Writer(Keeper(store))
    for batch in batches():
        batch_id, tables = wire.unpack_arrow(batch.batch_id, wire.pack(batch))
        writer.ingest(checks.check(batch_id, "local", tables, now())).result(BOUND_S)
    writer.close()
    store.close()
    assert settings.database_file.stat().st_size > 4 * BLOCK
    return folder


@pytest.fixture
def copy(sound: Path, tmp_path: Path) -> Settings:
    """The settings of a copy of it."""
    settings = load(write_config(tmp_path), {})
    shutil.copytree(sound / "data", settings.data_dir)
    return settings


def flip(file: Path, place: int, bit: int = 0) -> None:
    with file.open("r+b") as opened:
        opened.seek(place)
        byte = opened.read(1)[0]
        opened.seek(place)
        opened.write(bytes([byte ^ 1 << bit]))


def perfhouse(settings: Settings, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "perfhouse.py", "--config", str(settings.path), *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_flips_anywhere_in_the_file_are_found(copy: Settings) -> None:
    """All of them: free blocks aside, of which this file has none, there is no byte that may differ."""
    chance = random.Random(20261124)
    file = copy.database_file
    before = look(copy)
    assert before["sound"], before
    assert before["damaged_blocks"] == []
    whole = file.read_bytes()
    assert check(file) == ((), True)
    for number in range(FLIPS):
        place = chance.randrange(HEADERS) if number % 10 == 0 else chance.randrange(HEADERS, len(whole))
        flip(file, place, chance.randrange(8))
        found = look(copy)
        assert not found["sound"], f"a flip at {place} was not seen"
        if place >= HEADERS:
            assert found["damaged_blocks"] == [(place - HEADERS) // BLOCK]
            named = found["damaged_tables"] or found["other_blocks"] or found["error"]
            assert named, f"what is damaged at {place} is not told"
        else:
            assert not found["headers_sound"]
        file.write_bytes(whole)
    after = look(copy)
    assert (after["sound"], after["tables"]) == (True, before["tables"])


def check(file: Path) -> tuple[tuple[int, ...], bool]:
    """The damaged blocks, and whether the headers are sound."""
    checking = check_blocks(file, alone=True)
    while True:
        try:
            next(checking)
        except StopIteration as end:
            return end.value.damaged, end.value.headers_sound


def block_of(settings: Settings, table: str) -> int:
    """Where the file holds a column of the table."""
    store = Store(settings)
    try:
        sql = f"SELECT max(block_id) FROM pragma_storage_info('{table}') WHERE segment_type = 'VARCHAR'"
        return int(store.cursor().execute(sql).fetchall()[0][0])
    finally:
        store.close()


def test_the_command_names_the_damaged_table_and_exits_65(copy: Settings) -> None:
    sound_one = perfhouse(copy, "verify")
    assert sound_one.returncode == 0, sound_one.stderr
    assert "sound, " in sound_one.stdout
    assert "3,000 rows" in sound_one.stdout
    flip(copy.database_file, HEADERS + block_of(copy, "event") * BLOCK + 5000)
    damaged = perfhouse(copy, "verify")
    assert damaged.returncode == 65
    (line,) = [line for line in damaged.stdout.splitlines() if line.startswith("event")]
    assert "DAMAGED: Corrupt database file" in line
    assert "Restore a backup" in damaged.stderr
    assert "Traceback" not in damaged.stderr
    found = json.loads(perfhouse(copy, "verify", "--json").stdout)
    assert "event" in found["damaged_tables"]
    rows = {table["table"]: table["rows"] for table in found["tables"]}
    assert rows["attempt"] == 3000
    assert rows["event"] is None


@pytest.mark.parametrize("cut", [False, True], ids=["flipped", "cut short"])
def test_a_damaged_log_is_told_by_verify_and_left_alone(copy: Settings, cut: bool) -> None:
    """A log that ends early is a whole one for DuckDB."""
    process = WarehouseProcess(copy.path)
    process.start()
    with process.client("collect") as client:
        rows = tuple(sample(value=float(number)) for number in range(50))
        client.send("in-the-log", wire.pack(Batch(batch_id="in-the-log", samples=rows)))
    process.kill()
    log_file = copy.database_file.with_suffix(".duckdb.wal")
    size = log_file.stat().st_size
    if cut:
        os.truncate(log_file, size - 20)
    else:
        flip(log_file, size - 600)
    damaged = log_file.read_bytes()
    found = perfhouse(copy, "verify")
    assert found.returncode == 65
    told = "1 acknowledged batch lost: 50 rows of local" if cut else "the write-ahead log from byte"
    assert told in found.stdout
    assert log_file.read_bytes() == damaged


def measured(found: dict[str, Any]) -> list[dict[str, Any]]:
    """What was seen of the tables that a warehouse does not fill by itself."""
    return [each for each in found["tables"] if each["table"] in ("attempt", "event", "sample", "series")]


def test_a_running_warehouse_finds_what_it_still_has_whole_in_memory(sound: Path, tmp_path: Path) -> None:
    """Through the API; it goes on answering from memory, and one look at a time is enough."""
    write_config(tmp_path)
    shutil.copytree(sound / "data", tmp_path / "data")
    with running_warehouse(tmp_path) as process:
        before = look(process.settings)
        assert before["sound"]
        place = HEADERS + event_block(sound, tmp_path) * BLOCK + 5000
        flip(process.settings.database_file, place)
        found = perfhouse(process.settings, "verify")
        assert found.returncode == 65
        (line,) = [line for line in found.stdout.splitlines() if line.startswith("event")]
        assert "damaged on the disk, still whole in memory" in line
        with process.client("dashboard") as client:
            assert client.ask("endpoints").height == 1
        flip(process.settings.database_file, place)
        assert measured(look(process.settings)) == measured(before)


def event_block(sound: Path, folder: Path) -> int:
    copied = folder / "copy"
    copied.mkdir()
    settings = load(write_config(copied), {})
    shutil.copytree(sound / "data", settings.data_dir)
    return block_of(settings, "event")


def test_a_warehouse_that_stores_all_the_time_is_never_called_damaged(tmp_path: Path) -> None:
    with running_warehouse(tmp_path) as process, process.client("collect") as client:
        for number, batch in enumerate(batches()[:40]):
            client.send(batch.batch_id, wire.pack(batch))
            if number % 10 == 0:
                assert look(process.settings)["sound"]


def refuses_to_start(settings: Settings) -> str:
    process = WarehouseProcess(settings.path)
    ended = perfhouse(process.settings, "warehouse")
    assert ended.returncode == 74, ended.stderr
    assert "Traceback" not in ended.stderr
    return ended.stderr


@pytest.mark.parametrize(
    "damage",
    [
        lambda file: flip(file, 30),
        lambda file: os.truncate(file, 10_000),
        lambda file: file.write_bytes(b"no" * 9000),
    ],
    ids=["a header", "cut short", "not a database"],
)
def test_a_file_that_cannot_be_opened_says_what_to_do(copy: Settings, damage: Callable[[Path], Any]) -> None:
    damage(copy.database_file)
    damaged = copy.database_file.read_bytes()
    said = refuses_to_start(copy)
    assert "The file is damaged. `perfhouse verify` tells how far; restore a backup" in said
    assert copy.database_file.read_bytes() == damaged
    assert perfhouse(copy, "verify").returncode == 65
