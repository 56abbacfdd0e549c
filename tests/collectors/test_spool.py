"""The spool: in order, exactly once, within its bound, through crashes, full disks and a second daemon."""

import errno
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from collectors.spool import BLOCK_BYTES, Entry, Packed, Spool, SpoolError
from tests.collectors.batches import filler, packed
from tests.servers.warehouse import ROOT
from warehouse.errors import AlreadyRunningError

MOST_BYTES = 40 * BLOCK_BYTES


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    spool = Spool(tmp_path / "spool", 1_000_000)
    yield spool
    spool.close()


def stored_bytes(folder: Path) -> int:
    """Disk space of the batches in a folder, in whole blocks."""
    return sum(-(-file.stat().st_size // BLOCK_BYTES) * BLOCK_BYTES for file in folder.glob("*.batch"))


class SpoolMachine(RuleBasedStateMachine):
    """Any sequence of put, ship, fail, refuse, crash and restart, against a plain list."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.waiting: list[Packed] = []
        self.shipped: list[str] = []
        self.dropped: list[str] = []
        self.refused: list[str] = []
        self.spool = self.open()

    def open(self) -> Spool:
        return Spool(self.folder, MOST_BYTES, self.note_dropped)

    def note_dropped(self, entries: list[Entry], why: str) -> None:
        self.dropped += [entry.batch_id for entry in entries]

    @rule(size=st.integers(0, 12 * BLOCK_BYTES), rows=st.integers(0, 100))
    def put(self, size: int, rows: int) -> None:
        batch = filler(size, rows)
        self.spool.put(batch)
        self.waiting = [kept for kept in (*self.waiting, batch) if kept.batch_id not in self.dropped]

    @precondition(lambda self: self.waiting)
    @rule()
    def ship(self) -> None:
        entry = self.claim()
        assert self.spool.read(entry) == self.waiting[0].body
        self.spool.settle(entry)
        self.shipped.append(self.waiting.pop(0).batch_id)

    @precondition(lambda self: self.waiting)
    @rule()
    def fail(self) -> None:
        self.spool.release(self.claim())

    @precondition(lambda self: self.waiting)
    @rule()
    def refuse(self) -> None:
        self.spool.set_aside(self.claim())
        self.refused.append(self.waiting.pop(0).batch_id)

    @rule(claimed=st.booleans(), half_written=st.booleans())
    def crash(self, claimed: bool, half_written: bool) -> None:
        """Nothing is closed but the lock, which the kernel frees."""
        if claimed:
            self.spool.claim()
        if half_written:
            (self.folder / f"{10**11}_{'a' * 32}_1_1_1_1.batch.part").write_bytes(b"half")
        self.spool.close()
        self.spool = self.open()

    @invariant()
    def holds_what_waits(self) -> None:
        files = sorted(file.name for file in self.folder.glob("*.batch"))
        assert [name.split("_")[1] for name in files] == [batch.batch_id for batch in self.waiting]
        assert self.spool.batches == len(self.waiting)
        assert not list(self.folder.glob("*.part"))

    @invariant()
    def keeps_the_bound(self) -> None:
        assert stored_bytes(self.folder) == self.spool.disk_bytes <= MOST_BYTES
        assert stored_bytes(self.folder / "refused") <= MOST_BYTES // 10

    @invariant()
    def accounts_for_each_once(self) -> None:
        fates = [*self.shipped, *self.dropped, *self.refused, *(batch.batch_id for batch in self.waiting)]
        assert len(fates) == len(set(fates))

    def claim(self) -> Entry:
        entry = self.spool.claim()
        assert entry is not None
        assert entry.batch_id == self.waiting[0].batch_id
        assert (entry.rows, entry.missed) == (self.waiting[0].rows, self.waiting[0].missed)
        assert entry.first == self.waiting[0].first
        return entry

    def teardown(self) -> None:
        self.spool.close()
        shutil.rmtree(self.folder)


SpoolMachine.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestSpoolMachine = SpoolMachine.TestCase


def test_the_oldest_are_dropped_at_the_bound(tmp_path: Path) -> None:
    dropped: list[Entry] = []
    spool = Spool(tmp_path, 20 * BLOCK_BYTES, lambda entries, why: dropped.extend(entries))
    batches = [filler(BLOCK_BYTES, rows=3) for _ in range(21)]
    for batch in batches:
        spool.put(batch)
    # 1 for the newest and 8 of slack, so that the next batch finds room.
    assert [entry.batch_id for entry in dropped] == [batch.batch_id for batch in batches[:9]]
    assert spool.dropped_rows == 27
    spool.put(filler(BLOCK_BYTES))
    assert len(dropped) == 9
    spool.close()


def test_the_batch_on_its_way_is_not_dropped(tmp_path: Path) -> None:
    spool = Spool(tmp_path, 10 * BLOCK_BYTES)
    first = filler(BLOCK_BYTES)
    spool.put(first)
    claimed = spool.claim()
    for _ in range(30):
        spool.put(filler(BLOCK_BYTES))
    assert claimed is not None
    assert claimed.batch_id == first.batch_id
    assert spool.read(claimed) == first.body
    spool.close()


def test_a_batch_greater_than_the_bound_is_counted_as_dropped(tmp_path: Path) -> None:
    spool = Spool(tmp_path, 2 * BLOCK_BYTES)
    spool.put(filler(3 * BLOCK_BYTES, rows=7))
    assert (spool.batches, spool.dropped_rows) == (0, 7)
    spool.close()


def test_a_lowered_bound_is_kept_at_the_start(tmp_path: Path) -> None:
    spool = Spool(tmp_path, 100 * BLOCK_BYTES)
    for _ in range(50):
        spool.put(filler(BLOCK_BYTES))
    spool.close()
    spool = Spool(tmp_path, 30 * BLOCK_BYTES)
    assert stored_bytes(tmp_path) == spool.disk_bytes == (30 - 8) * BLOCK_BYTES
    spool.close()


def test_files_are_private_and_hold_the_exact_bytes(spool: Spool) -> None:
    batch = packed()
    spool.put(batch)
    (file,) = spool.directory.glob("*.batch")
    assert file.read_bytes() == batch.body
    assert batch.batch_id in file.name
    assert file.stat().st_mode & 0o777 == 0o600
    assert spool.directory.stat().st_mode & 0o777 == 0o700
    assert spool.refused_directory.stat().st_mode & 0o777 == 0o700


def test_what_the_warehouse_refused_is_kept_for_a_look(spool: Spool) -> None:
    batch = packed()
    spool.put(batch)
    entry = spool.claim()
    assert entry is not None
    spool.set_aside(entry)
    (file,) = spool.refused_directory.glob("*.batch")
    assert file.read_bytes() == batch.body
    assert (spool.batches, spool.disk_bytes, spool.refused_rows) == (0, 0, 1)


def test_a_file_that_went_away_is_counted_and_passed_over(spool: Spool) -> None:
    spool.put(packed())
    spool.put(packed())
    (spool.directory / min(file.name for file in spool.directory.glob("*.batch"))).unlink()
    entry = spool.claim()
    assert entry is not None
    assert spool.read(entry) is None
    assert (spool.batches, spool.dropped_rows) == (1, 1)


def test_a_full_disk_keeps_nothing_half_written(tmp_path: Path) -> None:
    """A file size limit stands for the full disk: the write really fails, in a process of its own."""
    code = """
import resource, signal, sys
from pathlib import Path
from collectors.spool import Spool
from tests.collectors.batches import filler
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
spool = Spool(Path(sys.argv[1]), 1_000_000)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, resource.RLIM_INFINITY))
try:
    spool.put(filler(5000))
except OSError as error:
    print(error.errno)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
print(spool.batches, len(list(spool.directory.glob("*.part"))))
spool.put(filler(5000))
print(spool.batches, len(list(spool.directory.glob("*.batch"))))
"""
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], cwd=ROOT, capture_output=True, text=True, timeout=30
    )
    assert done.stdout.split() == [str(errno.EFBIG), "0", "0", "1", "1"], done.stderr


def test_a_second_daemon_is_refused_and_told_the_process(spool: Spool) -> None:
    with pytest.raises(AlreadyRunningError, match=str(os.getpid())):
        Spool(spool.directory, 1_000_000)


def test_a_directory_that_cannot_be_used_is_told(tmp_path: Path) -> None:
    (tmp_path / "spool").write_text("a file stands in the way")
    with pytest.raises(SpoolError, match="spool"):
        Spool(tmp_path / "spool", 1_000_000)


def test_files_of_others_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    spool = Spool(tmp_path, 1_000_000)
    assert spool.batches == 0
    assert (tmp_path / "notes.txt").read_text() == "mine"
    spool.close()
