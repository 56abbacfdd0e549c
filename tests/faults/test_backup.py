"""Backup and restore of a warehouse that goes on collecting, and killed in the middle of them."""

import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path

import duckdb
import pytest

from tests.cli.running import ROOT, clean_environment, perfhouse
from tests.collectors.processes import wait_for
from tests.faults import SOAK
from tests.faults.storing import ROWS, Sender, stored_rows
from tests.servers.warehouse import WarehouseProcess, running_warehouse
from warehouse.archive import Archive
from warehouse.model import now

SENDERS = 3 if SOAK else 1
KILLS = 100 if SOAK else 2
ROOMY = "row_cap = 10000000\ndeadline_s = 60"


@contextmanager
def sending(process: WarehouseProcess, start_at: datetime) -> Iterator[list[Sender]]:
    """Senders that never stop until the end."""
    stopping = threading.Event()
    clients = [process.client("collect", retries=0, timeout_s=60) for _ in range(SENDERS)]
    senders = [Sender(client, f"sender {n}", start_at, stopping) for n, client in enumerate(clients)]
    for sender in senders:
        sender.start()
    try:
        yield senders
    finally:
        stopping.set()
        for sender in senders:
            sender.join(60)
            assert not sender.is_alive()
        for client in clients:
            client.close()


def some_more(senders: list[Sender], batches: int = 3) -> None:
    """Wait until each sender got some more receipts."""
    before = [len(sender.acknowledged) for sender in senders]
    wait_for(
        lambda: all(
            len(sender.acknowledged) >= n + batches for sender, n in zip(senders, before, strict=True)
        )
    )


def rows_in(file: Path, senders: list[Sender]) -> dict[str, list[int]]:
    """The numbers of each sender's rows in a warehouse file that nobody has open."""
    with duckdb.connect(file, read_only=True) as connection:
        return {
            sender.name: [
                row[0]
                for row in connection.execute(
                    "SELECT total_us FROM attempt JOIN series USING (series_id) WHERE target = ?",
                    [sender.name],
                ).fetchall()
            ]
            for sender in senders
        }


def acknowledged(sender: Sender) -> set[int]:
    """The numbers of the rows of its acknowledged batches."""
    return {number * ROWS + row for number in sender.acknowledged for row in range(ROWS)}


def test_backup_and_restore_while_collecting_lose_and_double_nothing(tmp_path: Path) -> None:
    start_at = now().replace(microsecond=0) - timedelta(days=20)
    file = tmp_path / "b.tar"
    with running_warehouse(tmp_path, warehouse=ROOMY) as process:
        with sending(process, start_at) as senders:
            some_more(senders)
            early = [acknowledged(sender) for sender in senders]
            done = perfhouse("backup", str(file), config=process.config)
            assert done.returncode == 0, done.stderr
            some_more(senders)
            refused = perfhouse("restore", str(file), config=process.config)
            assert refused.returncode == 65
            assert "--replace" in refused.stderr
            before = [acknowledged(sender) for sender in senders]
            done = perfhouse("restore", str(file), "--replace", config=process.config)
            assert done.returncode == 0, done.stderr
            some_more(senders)
        (kept,) = process.settings.data_dir.glob("warehouse-replaced-*.duckdb")
        assert str(kept) in done.stderr
        replaced = rows_in(kept, senders)
        for sender, first, then in zip(senders, early, before, strict=True):
            assert sender.failure is None
            present = stored_rows(process, sender.name, start_at)
            old = replaced[sender.name]
            assert len(set(present)) == len(present), "rows are stored twice"
            assert len(set(old)) == len(old), "rows are stored twice"
            assert first <= set(present), "rows that were acknowledged before the backup are lost"
            assert then <= set(old), "rows that were acknowledged before the restore are lost"
            assert acknowledged(sender) <= set(present) | set(old), "acknowledged rows are lost"
            assert len(present) % ROWS == 0
    with running_warehouse_again(process):
        assert perfhouse("backup", str(tmp_path / "again.tar"), config=process.config).returncode == 0


@contextmanager
def running_warehouse_again(process: WarehouseProcess) -> Iterator[None]:
    process.start()
    try:
        yield
    finally:
        process.stop()


def started(process: WarehouseProcess, *arguments: str) -> subprocess.Popen[bytes]:
    """A command on its way."""
    command = [sys.executable, str(ROOT / "perfhouse.py"), "--config", str(process.config), *arguments]
    return subprocess.Popen(command, stderr=subprocess.DEVNULL, env=clean_environment())


@pytest.mark.timeout(3600 if SOAK else 300)
def test_a_restore_killed_at_any_moment_leaves_the_old_warehouse_or_the_whole_new_one(tmp_path: Path) -> None:
    chance = random.Random(20261124)
    start_at = now().replace(microsecond=0) - timedelta(days=20)
    file = tmp_path / "b.tar"
    with running_warehouse(tmp_path, warehouse=ROOMY) as process, sending(process, start_at) as senders:
        some_more(senders)
        assert perfhouse("backup", str(file), config=process.config).returncode == 0
        for _ in range(KILLS):
            command = started(process, "restore", str(file), "--replace")
            draft = process.settings.data_dir / "restore-draft.duckdb"
            wait_for(draft.exists)
            time.sleep(chance.uniform(0, 0.2))
            command.send_signal(signal.SIGKILL)
            command.wait()
            some_more(senders)
        kept = list(process.settings.data_dir.glob("warehouse-replaced-*.duckdb"))
    process.start()
    try:
        files = [rows_in(each, senders) for each in kept]
        for sender in senders:
            present = stored_rows(process, sender.name, start_at)
            assert len(set(present)) == len(present)
            everywhere = set(present).union(*(rows[sender.name] for rows in files))
            assert acknowledged(sender) <= everywhere
        done = perfhouse("restore", str(file), "--replace", config=process.config)
        assert done.returncode == 0, done.stderr
    finally:
        process.stop()


@pytest.mark.timeout(3600 if SOAK else 300)
def test_a_warehouse_killed_in_the_exchange_starts_with_one_whole_file_or_the_other(tmp_path: Path) -> None:
    chance = random.Random(20261125)
    start_at = now().replace(microsecond=0) - timedelta(days=20)
    file = tmp_path / "b.tar"
    with running_warehouse(tmp_path, warehouse=ROOMY) as process:
        ready = process.settings.data_dir / "restored.duckdb"
        with sending(process, start_at) as senders:
            some_more(senders)
            assert perfhouse("backup", str(file), config=process.config).returncode == 0
            with Archive(file) as archive:
                held = archive.manifest.tables["attempt"].rows
            for _ in range(KILLS):
                some_more(senders)
                command = started(process, "restore", str(file), "--replace")
                wait_for(ready.exists)
                time.sleep(chance.uniform(0, 0.15))
                process.kill()
                process.start()
                command.wait(60)
        kept = list(process.settings.data_dir.glob("warehouse-replaced-*.duckdb"))
        for each in kept:
            assert each.stat().st_nlink == 1 or each.samefile(process.settings.database_file)
        files = [rows_in(each, senders) for each in kept if not each.samefile(process.settings.database_file)]
        for sender in senders:
            present = stored_rows(process, sender.name, start_at)
            assert len(present) * SENDERS >= held - ROWS * SENDERS
            everywhere = set(present).union(*(rows[sender.name] for rows in files))
            assert acknowledged(sender) <= everywhere, "acknowledged rows are lost"


def test_a_killed_backup_leaves_no_half_file(tmp_path: Path) -> None:
    with running_warehouse(tmp_path) as process:
        out = tmp_path / "out"
        out.mkdir()
        file = out / "b.tar"
        for _ in range(KILLS):
            command = started(process, "backup", "--force", str(file))
            wait_for(lambda: any(each.suffix == ".part" for each in out.iterdir()))
            command.send_signal(signal.SIGKILL)
            command.wait()
            if file.exists():
                with Archive(file) as archive:
                    archive.check_bytes()
            for draft in out.glob(".*.part"):
                draft.unlink()
        assert perfhouse("backup", "--force", str(file), config=process.config).returncode == 0
