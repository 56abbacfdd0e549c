"""The file: its lock, its migrations, its permissions, and what it refuses to open."""

import hashlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.servers.warehouse import ROOT, WarehouseProcess, write_config
from warehouse import VERSION, schema
from warehouse.errors import AlreadyRunningError, NewerVersionError, StorageError
from warehouse.schema import MIGRATIONS
from warehouse.settings import Settings
from warehouse.store import Store


def folder_with(tmp_path: Path, **files: str) -> Path:
    """The real migrations and some more."""
    folder = tmp_path / "migrations"
    folder.mkdir()
    for file in MIGRATIONS.glob("*.sql"):
        (folder / file.name).write_text(file.read_text())
    for name, sql in files.items():
        (folder / f"{name.removeprefix('m')}.sql").write_text(sql)
    return folder


def digest(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def versions(store: Store) -> list[int]:
    return [row[0] for row in store.cursor().execute("SELECT version FROM migration ORDER BY 1").fetchall()]


def test_from_empty_every_migration_is_run_once_and_recorded(settings: Settings) -> None:
    for _ in range(2):
        store = Store(settings)
        assert versions(store) == list(range(1, store.schema_version + 1))
        store.close()


def test_an_older_file_with_data_is_migrated_and_keeps_it(settings: Settings, tmp_path: Path) -> None:
    old = Store(settings)
    old.cursor().execute("INSERT INTO gap VALUES (now()::TIMESTAMP, now()::TIMESTAMP, 's', 'j', 'missed', 3)")
    before = old.schema_version
    old.close()
    sql = "ALTER TABLE gap ADD COLUMN note VARCHAR; UPDATE gap SET note = 'kept';"
    new = Store(settings, folder_with(tmp_path, m9000_note=sql))
    assert new.cursor().execute("SELECT missed, note FROM gap").fetchall() == [(3, "kept")]
    assert versions(new) == [*range(1, before + 1), 9000]
    new.close()


def test_a_failing_migration_changes_nothing_and_can_be_mended(settings: Settings, tmp_path: Path) -> None:
    Store(settings).close()
    folder = folder_with(tmp_path, m9000_half="CREATE TABLE half (i INTEGER); SELECT * FROM no_such_table;")
    with pytest.raises(StorageError, match="no_such_table"):
        Store(settings, folder)
    (folder / "9000_half.sql").write_text("CREATE TABLE half (i INTEGER);")
    store = Store(settings, folder)
    assert store.cursor().execute("SELECT count(*) FROM half").fetchall() == [(0,)]
    store.close()


def test_a_newer_file_is_refused_untouched_and_both_versions_are_named(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as future:
        future.setattr(schema, "VERSION", "9.8.7")
        Store(settings, folder_with(tmp_path, m9000_future="CREATE TABLE future (i INTEGER);")).close()
    before = digest(settings.database_file)
    with pytest.raises(NewerVersionError) as refused:
        Store(settings)
    assert digest(settings.database_file) == before
    for word in ("9000", "9.8.7", VERSION):
        assert word in refused.value.message
    Store(settings, tmp_path / "migrations").close()


def test_what_is_no_warehouse_is_refused_and_left_alone(settings: Settings) -> None:
    settings.data_dir.mkdir()
    settings.database_file.write_bytes(b"These are somebody's notes." * 1000)
    before = digest(settings.database_file)
    with pytest.raises(StorageError):
        Store(settings)
    assert digest(settings.database_file) == before


def test_a_second_start_names_the_first_and_the_lock_ends_with_it(settings: Settings) -> None:
    first = Store(settings)
    with pytest.raises(AlreadyRunningError) as refused:
        Store(settings)
    assert str(os.getpid()) in refused.value.message
    assert refused.value.exit_code == 75
    first.close()
    Store(settings).close()


def test_the_lock_is_free_after_kill_9(settings: Settings) -> None:
    code = (
        "import sys, time; from pathlib import Path; from warehouse import settings, store\n"
        "held = store.Store(settings.load(Path(sys.argv[1]), {})); print('open', flush=True); time.sleep(60)"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", code, str(settings.path)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout is not None
    with holder.stdout:
        assert holder.stdout.readline() == "open\n"
        with pytest.raises(AlreadyRunningError, match=str(holder.pid)):
            Store(settings)
        holder.send_signal(signal.SIGKILL)
        holder.wait()
    Store(settings).close()


def test_directories_are_0700_and_files_0600_even_under_a_loose_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        process = WarehouseProcess(write_config(tmp_path))
        process.start()
    finally:
        os.umask(before)
    data = process.settings.data_dir
    try:
        modes = {path: path.stat().st_mode & 0o777 for path in (data, *data.rglob("*"))}
    finally:
        process.stop()
    assert {mode for path, mode in modes.items() if path.is_dir()} == {0o700}
    assert {mode for path, mode in modes.items() if path.is_file()} == {0o600}
    assert data / "warehouse.duckdb" in modes


def test_the_connection_reaches_no_other_file_and_no_setting(store: Store, tmp_path: Path) -> None:
    other = tmp_path / "other.csv"
    other.write_text("a\n1\n")
    for escape in (
        f"SELECT * FROM read_csv('{other}')",
        f"COPY gap TO '{tmp_path / 'out.csv'}'",
        f"ATTACH '{tmp_path / 'other.duckdb'}'",
        "SET enable_external_access = true",
        "SET threads = 1",
        "SET allowed_configs = ['threads']",
        "INSTALL httpfs",
    ):
        with pytest.raises(Exception, match=r"(?i)disabled|locked|permission|not allowed|cannot"):
            store.cursor().execute(escape)
    assert sorted(path.name for path in tmp_path.glob("o*")) == ["other.csv"]


def test_reopening_keeps_data_and_gives_working_cursors(store: Store) -> None:
    cursor = store.cursor()
    cursor.execute("INSERT INTO gap VALUES (now()::TIMESTAMP, now()::TIMESTAMP, 's', 'j', 'missed', 3)")
    cursor.close()
    store.reopen()
    assert store.cursor().execute("SELECT missed FROM gap").fetchall() == [(3,)]
