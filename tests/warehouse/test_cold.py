"""Closed days as files: the same answers, late rows counted, nothing lost whatever happens in between."""

import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb
import polars as pl
import pyarrow as pa
import pytest

from cli.verify import lines, look
from tests.servers.warehouse import ROOT, write_config
from tests.warehouse.records import attempt
from tests.warehouse.test_backup import take
from warehouse import cold, restore, rollups
from warehouse.archive import Archive
from warehouse.errors import ConfigurationError, StorageError
from warehouse.exchange import exchange
from warehouse.freezer import Freezer
from warehouse.keeper import Keeper
from warehouse.model import Batch, Outcome, Receipt, now
from warehouse.settings import Settings, load
from warehouse.store import Store
from warehouse.verify import verify
from warehouse.writer import Writer

Put = Callable[[Batch], Receipt]
Ask = Callable[..., pa.Table]

AFTER_DAYS = 2
PER_DAY = 60
DAYS = 6
COLD_DAYS = 4
"""Of the six days before today: not yesterday, and not the day before."""


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load(write_config(tmp_path, f"[cold]\nafter_days = {AFTER_DAYS}\n"), {})


def midnight(days_ago: int) -> datetime:
    return now().replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=days_ago)


@pytest.fixture
def filled(put: Put, store: Store) -> Store:
    """Attempts of two endpoints on six days, all but the newest rolled up."""
    for day in range(DAYS):
        start = midnight(DAYS - day)
        put(
            Batch(
                batch_id=f"filling-{day}",
                attempts=tuple(
                    attempt(
                        start + timedelta(minutes=20 * n),
                        ms=None if n % 20 == 7 else 10 + n,
                        endpoint=f"GET /{n % 2}",
                        connect_us=150,
                        **({"outcome": Outcome.DNS, "total_us": None} if n % 20 == 9 else {}),
                    )
                    for n in range(PER_DAY)
                ),
            )
        )
    rollups.build(store.cursor(), now().replace(tzinfo=None))
    return store


@pytest.fixture
def freezer(filled: Store, writer: Writer) -> Freezer:
    return Freezer(filled, writer)


def everything(ask: Ask) -> list[dict[str, object]]:
    return ask("attempts", start=midnight(DAYS + 1), end=now()).to_pylist()


def files(store: Store) -> list[Path]:
    return sorted((store.settings.data_dir / cold.FOLDER).rglob("*.parquet"))


def hot(store: Store) -> int:
    return int(store.cursor().execute("SELECT count(*) FROM attempt").fetchall()[0][0])


def test_answers_are_the_same_before_and_after_days_went_cold(
    freezer: Freezer, filled: Store, ask: Ask
) -> None:
    before = everything(ask)
    assert freezer.work() == COLD_DAYS
    assert len(files(filled)) == COLD_DAYS
    assert hot(filled) == len(before) - sum(pl.read_parquet(file).height for file in files(filled))
    assert everything(ask) == before
    timeouts = [row for row in before if row["outcome"] == "timeout"]
    found = ask("attempts", start=midnight(DAYS + 1), end=now(), outcome=("timeout",)).to_pylist()
    assert found == timeouts


def test_the_days_that_went_cold_are_listed(freezer: Freezer, ask: Ask) -> None:
    freezer.work()
    listed = ask("cold_days").to_pylist()
    assert len(listed) == COLD_DAYS
    assert all(row["rows"] == PER_DAY and row["bytes"] > 0 for row in listed)
    assert [row["day"] for row in listed] == sorted(row["day"] for row in listed)


def test_duckdb_and_polars_read_the_files_as_documented(freezer: Freezer, filled: Store) -> None:
    freezer.work()
    pattern = str(filled.settings.data_dir / cold.FOLDER / "*" / "*.parquet")
    total = PER_DAY * len(files(filled))
    frame = pl.scan_parquet(pattern, hive_partitioning=True).collect()
    assert frame.height == total
    assert frame.schema["ts"] == pl.Datetime("ms", "UTC")
    assert set(frame["endpoint"]) == {"GET /0", "GET /1"}
    assert (frame["day"].cast(pl.Date) == frame["ts"].dt.date()).all()
    with duckdb.connect() as connection:
        rows = connection.execute(
            "SELECT count(*), count(*) FILTER (outcome = 'timeout'), count(DISTINCT day) "
            f"FROM read_parquet('{pattern}', hive_partitioning = true)"
        ).fetchall()
    assert rows == [(total, frame.filter(pl.col("outcome") == "timeout").height, len(files(filled)))]


def in_cells(store: Store) -> int:
    """Attempts that the cells of days count."""
    return int(store.cursor().execute("SELECT sum(attempts) FROM attempt_cell_1d").fetchall()[0][0])


def test_what_comes_late_for_a_cold_day_counts_and_is_found(
    freezer: Freezer, filled: Store, put: Put, ask: Ask
) -> None:
    freezer.work()
    counted = in_cells(filled)
    late = midnight(DAYS) + timedelta(minutes=65)
    for number in (1, 2):
        put(Batch(batch_id=f"late-row-{number}", attempts=(attempt(late, endpoint="GET /1"),)))
        found = [row for row in everything(ask) if row["at"] == late]
        assert len(found) == number
        rollups.keep_up(rollups.Alone(filled.cursor()), now().replace(tzinfo=None))
        found = [row for row in everything(ask) if row["at"] == late]
        assert len(found) == number
        assert in_cells(filled) == counted + number
    freezer.work()
    assert len([row for row in everything(ask) if row["at"] == late]) == 2


def test_a_day_that_changed_while_it_was_written_stays(filled: Store, put: Put, writer: Writer) -> None:
    connection = filled.cursor()
    day = cold.due(connection, midnight(AFTER_DAYS).date())
    assert day is not None
    connection.begin()
    written = cold.write(connection, filled.settings.data_dir, day)
    put(Batch(batch_id="late-row-1", attempts=(attempt(midnight(DAYS), endpoint="GET /1"),)))
    before = hot(filled)
    assert not cold.settle(filled.cursor(), written, datetime.now(UTC).replace(tzinfo=None))
    assert hot(filled) == before
    assert cold.due(filled.cursor(), midnight(AFTER_DAYS).date()) is None


def test_a_file_that_is_gone_or_damaged_is_named(freezer: Freezer, filled: Store, ask: Ask) -> None:
    freezer.work()
    file = files(filled)[0]
    content = file.read_bytes()
    file.write_bytes(content[: len(content) // 2])
    with pytest.raises(StorageError):
        everything(ask)
    file.unlink()
    with pytest.raises(StorageError, match=file.parent.name):
        everything(ask)
    file.write_bytes(content)
    assert len(everything(ask)) == PER_DAY * DAYS


def test_verify_proves_the_files_of_cold_days(freezer: Freezer, filled: Store) -> None:
    freezer.work()
    first, second, third = files(filled)[:3]
    filled.close()
    before = look(filled.settings)
    assert before["sound"]
    assert [day["rows"] for day in before["cold"]] == [PER_DAY] * COLD_DAYS
    whole = first.read_bytes()
    first.write_bytes(whole[:-9])
    pl.read_parquet(second).head(PER_DAY - 1).write_parquet(second)
    changed = pl.read_parquet(third).with_columns(bytes=pl.lit(1, pl.Int64))
    changed.write_parquet(third)
    found = look(filled.settings)
    assert not found["sound"]
    assert found["damaged_files"] == [
        str(each.relative_to(filled.settings.data_dir)) for each in (first, second, third)
    ]
    errors = {day["day"]: day["error"] for day in found["cold"]}
    assert f"holds {PER_DAY - 1} rows" in errors[second.parent.name.removeprefix("day=")]
    assert "not those that were written" in errors[third.parent.name.removeprefix("day=")]
    assert any(
        "DAMAGED" in line and str(first.relative_to(filled.settings.data_dir)) in line
        for line in lines(found)
    )
    first.unlink()
    assert "is gone" in look(filled.settings)["cold"][0]["error"]
    filled.__init__(filled.settings)  # type: ignore[misc]


def test_verify_says_nothing_of_a_day_that_was_forgotten_meanwhile(freezer: Freezer, filled: Store) -> None:
    freezer.work()
    gone = files(filled)[0]
    with filled.lend() as lease:
        steps = []
        for step in verify(lease, filled.path, alone=False):
            steps.append(step)
            if step["part"] == "table" and step["table"] == "tier":
                filled.cursor().execute("DELETE FROM cold_day WHERE day = (SELECT min(day) FROM cold_day)")
                gone.unlink()
    assert steps[-1]["sound"]
    assert len([step for step in steps if step["part"] == "cold"]) == COLD_DAYS - 1


def test_a_restored_backup_with_its_files_answers_the_same(
    freezer: Freezer, filled: Store, ask: Ask, tmp_path: Path
) -> None:
    freezer.work()
    before = everything(ask)
    archive = take(filled, tmp_path / "backup.tar")
    kept = tmp_path / "kept"
    shutil.copytree(filled.settings.data_dir / "cold", kept)
    filled.cursor().execute("DELETE FROM attempt; DELETE FROM cold_day; DELETE FROM attempt_late")
    shutil.rmtree(filled.settings.data_dir / "cold")
    assert not everything(ask)
    with Archive(archive) as opened:
        restore.build(opened, filled.settings)
    exchange(filled, Keeper(filled), replace=True)
    with pytest.raises(StorageError, match="is gone"):
        everything(ask)
    shutil.copytree(kept, filled.settings.data_dir / "cold")
    assert everything(ask) == before


def test_old_cold_days_are_forgotten_with_their_files(freezer: Freezer, filled: Store, ask: Ask) -> None:
    freezer.work()
    gone = files(filled)[0]
    day = datetime.fromisoformat(gone.parent.name.removeprefix("day=")).replace(tzinfo=UTC)
    freezer._forget((now() - day).days - 1 or 1)
    assert not gone.exists()
    assert not [row for row in everything(ask) if row["at"] < day + timedelta(days=1)]  # type: ignore[operator]


KILLED = """
import os, signal, sys
from pathlib import Path
from warehouse import cold
from warehouse.freezer import Freezer
from warehouse.keeper import Keeper
from warehouse.settings import load
from warehouse.store import Store
from warehouse.writer import Writer

step = sys.argv[2]
write, settle = cold.write, cold.settle

def die():
    os.kill(os.getpid(), signal.SIGKILL)

def writing(*given):
    if step == "before the file":
        die()
    written = write(*given)
    if step == "after the file":
        die()
    return written

def settling(*given):
    settle(*given)
    die()

cold.write, cold.settle = writing, settling
store = Store(load(Path(sys.argv[1]), {}))
Freezer(store, Writer(Keeper(store))).work()
"""


@pytest.mark.parametrize("step", ["before the file", "after the file", "after the commit"])
def test_a_kill_at_any_step_loses_and_doubles_nothing(tmp_path: Path, step: str) -> None:
    settings = load(write_config(tmp_path, f"[cold]\nafter_days = {AFTER_DAYS}\n"), {})
    for attempts in world(settings):
        before = attempts()
    killed = subprocess.run([sys.executable, "-c", KILLED, str(settings.path), step], cwd=ROOT, check=False)
    assert killed.returncode == -signal.SIGKILL
    for attempts in world(settings, fill=False):
        assert attempts() == before
    assert (settings.data_dir / "cold").exists() == (step != "before the file")


def world(settings: Settings, *, fill: bool = True) -> Iterator[Callable[[], list[tuple[object, ...]]]]:
    """Every attempt that can be asked for, of a store that is open meanwhile."""
    store = Store(settings)
    cursor = store.cursor()
    if fill:
        cursor.execute(
            "INSERT INTO series (kind, target, object, metric, unit, source, first_seen_at) "
            "VALUES ('probe', 'shop', 'GET /', 'latency', 'us', 'local', now()::TIMESTAMP)"
        )
        cursor.execute(
            "INSERT INTO attempt SELECT ?::TIMESTAMP + to_minutes(20 * n), 1, 'ok', 200, NULL, 1, NULL, 9, "
            "10 + n, 5, 6, 3000000 FROM range(?) AS t(n)",
            [midnight(DAYS).replace(tzinfo=None), DAYS * 72],
        )
        rollups.build(cursor, now().replace(tzinfo=None))

    def attempts() -> list[tuple[object, ...]]:
        values = {
            "start": midnight(DAYS + 1).replace(tzinfo=None),
            "end": now().replace(tzinfo=None),
        }
        sql = "SELECT * FROM attempt WHERE ts >= $start AND ts < $end ORDER BY ts, total_us"
        warmed = cold.with_cold(cursor, settings.data_dir, sql, values)
        return sorted(cursor.execute(warmed, values).fetchall())

    yield attempts
    cursor.close()
    store.close()


def test_days_must_go_cold_before_they_are_deleted(tmp_path: Path) -> None:
    config = write_config(tmp_path, "[cold]\nafter_days = 30\n")
    with pytest.raises(ConfigurationError, match="after_days below raw_days"):
        load(config, {})
