"""`backup` and `restore` as a person runs them."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.running import ROOT, clean_environment, perfhouse
from tests.collectors.processes import wait_for
from tests.servers.warehouse import WarehouseProcess, running_warehouse, write_config
from tests.warehouse.records import attempt
from warehouse.archive import Archive
from warehouse.client import Client, pack
from warehouse.errors import RefusedError
from warehouse.model import Batch
from warehouse.settings import load


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WarehouseProcess]:
    with (
        running_warehouse(tmp_path_factory.mktemp("backup")) as process,
        process.client("collect") as client,
    ):
        batch = Batch(batch_id="to-back-up", attempts=tuple(attempt(ms=float(ms)) for ms in range(1, 8)))
        client.send(batch.batch_id, pack(batch))
        yield process


@pytest.fixture(scope="module")
def taken(served: WarehouseProcess, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A backup of it."""
    file = tmp_path_factory.mktemp("taken") / "b.tar"
    assert perfhouse("backup", str(file), config=served.config).returncode == 0
    return file


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_backup_of_a_running_warehouse_appears_whole_and_private(
    served: WarehouseProcess, tmp_path: Path
) -> None:
    file = tmp_path / "b.tar"
    before = os.umask(0)
    try:
        done = perfhouse("backup", str(file), config=served.config)
    finally:
        os.umask(before)
    assert done.returncode == 0, done.stderr
    assert (done.stdout, names(tmp_path)) == ("", ["b.tar"])
    assert file.stat().st_mode & 0o777 == 0o600
    assert f"{file.stat().st_size:,} bytes" in done.stderr
    assert "tokens are no part of it" in done.stderr
    with Archive(file) as archive:
        archive.check_bytes()
        assert archive.manifest.tables["attempt"].rows == 7
        assert f"{archive.manifest.rows:,} rows of {len(archive.manifest.tables)} tables" in done.stderr
    content = file.read_bytes()
    again = perfhouse("backup", str(file), config=served.config)
    assert (again.returncode, file.read_bytes()) == (65, content)
    assert "--force" in again.stderr
    assert perfhouse("backup", str(file), "--force", config=served.config).returncode == 0
    assert file.read_bytes() != content


def test_stdout_carries_the_same_bytes(served: WarehouseProcess, tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "perfhouse.py"), "--config", str(served.config), "backup", "-"]
    with (tmp_path / "piped").open("wb") as out:
        subprocess.run(command, stdout=out, check=True, timeout=60, env=clean_environment())
    with Archive(tmp_path / "piped") as archive:
        archive.check_bytes()


def test_a_terminal_is_no_place_for_a_backup(served: WarehouseProcess) -> None:
    ours, theirs = os.openpty()
    command = [sys.executable, str(ROOT / "perfhouse.py"), "--config", str(served.config), "backup", "-"]
    done = subprocess.run(command, stdout=theirs, stderr=subprocess.PIPE, timeout=60, env=clean_environment())
    os.close(theirs)
    os.close(ours)
    assert done.returncode == 65
    assert b"not for a terminal" in done.stderr


def test_where_no_warehouse_runs_its_file_is_read_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    with running_warehouse(tmp_path / "one") as process, process.client("collect") as client:
        client.send("at-rest-1", pack(Batch(batch_id="at-rest-1", attempts=(attempt(),))))
    file = process.settings.database_file
    before = file.read_bytes()
    done = perfhouse("backup", str(tmp_path / "b.tar"), config=process.config)
    assert done.returncode == 0, done.stderr
    assert file.read_bytes() == before
    with Archive(tmp_path / "b.tar") as archive:
        assert archive.manifest.tables["attempt"].rows == 1


@pytest.mark.parametrize(
    ("out", "words"), [("/proc/nothing/b.tar", "cannot write /proc/nothing"), (".", ". is a directory")]
)
def test_a_target_that_cannot_be_written_is_told(served: WarehouseProcess, out: str, words: str) -> None:
    done = perfhouse("backup", out, "--force", config=served.config)
    assert done.returncode == 65
    assert words in done.stderr


def test_a_reader_that_goes_away_gives_the_place_back(served: WarehouseProcess) -> None:
    with served.client("cli") as client, client.backup() as (blocks, rows):
        assert rows > 7
        next(blocks)
    with served.client("cli") as client:
        wait_for(lambda: can_back_up(client))


def can_back_up(client: Client) -> bool:
    try:
        with client.backup() as (blocks, _):
            return len(b"".join(blocks)) > 10_000
    except RefusedError:
        return False


def test_without_a_warehouse_there_is_nothing_to_back_up(tmp_path: Path) -> None:
    config = write_config(tmp_path)
    done = perfhouse("backup", str(tmp_path / "b.tar"), config=config)
    assert done.returncode == 65
    assert "there is no warehouse" in done.stderr
    assert names(tmp_path) == ["perfhouse.toml"]


def test_restore_refuses_what_it_would_lose_and_keeps_it_with_replace(taken: Path, tmp_path: Path) -> None:
    config = write_config(tmp_path)
    data = load(config, {}).data_dir
    first = perfhouse("restore", str(taken), config=config)
    assert first.returncode == 0, first.stderr
    assert "kept" not in first.stderr
    before = (data / "warehouse.duckdb").read_bytes()
    refused = perfhouse("restore", str(taken), config=config)
    assert refused.returncode == 65
    assert "--replace" in refused.stderr
    assert (data / "warehouse.duckdb").read_bytes() == before
    replaced = perfhouse("restore", str(taken), "--replace", config=config)
    assert replaced.returncode == 0, replaced.stderr
    (kept,) = data.glob("warehouse-replaced-*.duckdb")
    assert str(kept) in replaced.stderr
    assert kept.read_bytes() == before
    assert {path.stat().st_mode & 0o777 for path in data.iterdir() if path.is_file()} == {0o600}
    assert perfhouse("backup", str(tmp_path / "again"), config=config).returncode == 0
    with Archive(taken) as one, Archive(tmp_path / "again") as other:
        hashes = [
            {name: table.row_hash for name, table in each.manifest.tables.items()} for each in (one, other)
        ]
    assert hashes[0] == hashes[1]


@pytest.mark.parametrize("command", ["backup", "restore"])
def test_check_proves_and_touches_nothing(taken: Path, tmp_path: Path, command: str) -> None:
    config = write_config(tmp_path)
    done = perfhouse(command, "--check", str(taken), config=config)
    assert done.returncode == 0, done.stderr
    assert "whole and sound" in done.stderr
    damaged = bytearray(taken.read_bytes())
    damaged[damaged.index(b"PAR1", damaged.index(b"attempt/")) + 30] ^= 1
    (tmp_path / "bad.tar").write_bytes(damaged)
    refused = perfhouse(command, "--check", str(tmp_path / "bad.tar"), config=config)
    assert refused.returncode == 65
    assert "attempt/00001-7.parquet" in refused.stderr
    assert names(tmp_path) == ["bad.tar", "perfhouse.toml"]


def test_what_is_no_backup_is_refused(tmp_path: Path) -> None:
    config = write_config(tmp_path)
    for arguments, words in (
        (("restore", str(config)), "damaged"),
        (("restore", str(tmp_path)), "cannot read"),
        (("backup", "--check", str(tmp_path / "none")), "cannot read"),
    ):
        done = perfhouse(*arguments, config=config)
        assert done.returncode == 65
        assert words in done.stderr
