"""The spool: the same bytes on both sides, kept whole whatever a writer before left there."""

import json
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from loadtests.row_file import CHUNK_BYTES
from loadtests.spool import Spool
from loadtests.spool_format import FIELDS, OTHER_ERROR, OUTCOMES, ROW_BYTES, unpack, used
from tests.cli.running import ROOT
from warehouse import run_rows
from warehouse.model import Outcome, now


def write(spool: Spool, *, endpoint: int = 1, text: str = "", wait_ns: int = 5_000_000) -> None:
    start_ns = time.monotonic_ns()
    end_ns = start_ns + 7_000_000
    outcome = Outcome.TIMEOUT if text else Outcome.OK
    spool.request(endpoint, "load", 3, start_ns - wait_ns, start_ns, end_ns, outcome, 200, 42, text)


def test_the_warehouse_reads_the_bytes_that_are_written() -> None:
    ours = np.dtype(list(FIELDS))
    assert ours == run_rows.ROW
    assert ours.itemsize == ROW_BYTES == 32
    assert [outcome.value for outcome in OUTCOMES] == run_rows.OUTCOMES


def test_a_row_holds_what_was_measured(tmp_path: Path) -> None:
    before_us = time.time_ns() // 1000
    write(Spool(tmp_path, 2), text="too slow")
    row = unpack((tmp_path / "requests-2.bin").read_bytes())[0]
    assert before_us <= row.start_us <= time.time_ns() // 1000
    assert row[1:] == (5000, 7000, 42, 3, 200, 1, 1, OUTCOMES.index(Outcome.TIMEOUT), 0)


def test_every_line_is_understood_by_the_warehouse(tmp_path: Path) -> None:
    spool = Spool(tmp_path, 1)
    spool.life("ready")
    spool.error(3, "went\x1b[31m wrong\n")
    spool.event("beat", at_us=spool.now_us(), users=1, cpu_ratio=0.5, dropped=0, backlog=0, held=1)
    spool.event("crash", text="bang")
    lines, skipped = run_rows.read_events((tmp_path / "events-1.jsonl").read_bytes(), now())
    assert skipped == 0
    assert [line.kind for line in lines] == ["life", "error", "beat", "crash"]


def test_a_later_writer_goes_on_where_the_first_ended(tmp_path: Path) -> None:
    """A torn row is cut off; texts keep their numbers."""
    write(Spool(tmp_path, 0), text="a")
    with (tmp_path / "requests-0.bin").open("ab") as file:
        file.write(b"torn")
    later = Spool(tmp_path, 0)
    write(later, text="b")
    write(later, text="a")
    rows = unpack((tmp_path / "requests-0.bin").read_bytes())
    assert [row.error for row in rows] == [1, 2, 1]


WRITER = """
import os, signal, sys
from pathlib import Path
from loadtests.spool import Spool
from warehouse.model import Outcome
spool = Spool(Path(sys.argv[1]), 0)
for number in range(int(sys.argv[2])):
    spool.request(1, "load", number + 1, 0, 1000, 2000, Outcome.OK, 200, 5)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_kill_9_takes_no_row_and_a_later_writer_goes_on_after_them(tmp_path: Path) -> None:
    """Of rooms of 8,192 rows each: none is full, one is, one is begun, and again behind them."""
    written = 0
    for count in (100, CHUNK_BYTES // ROW_BYTES - 100, 8200, 1):
        ended = subprocess.run([sys.executable, "-c", WRITER, str(tmp_path), str(count)], cwd=ROOT)
        assert ended.returncode == -signal.SIGKILL
        written += count
        spool = (tmp_path / "requests-0.bin").read_bytes()
        assert used(spool) == written * ROW_BYTES
        assert not any(spool[used(spool) :])
    Spool(tmp_path, 0).close()
    rows = unpack((tmp_path / "requests-0.bin").read_bytes())
    assert (tmp_path / "requests-0.bin").stat().st_size == written * ROW_BYTES
    assert [row.user for row in rows[-3:]] == [8199, 8200, 1]


def test_what_ends_after_the_end_is_told_as_lost(tmp_path: Path) -> None:
    spool = Spool(tmp_path, 0)
    write(spool)
    spool.close()
    write(spool)
    spool.event("beat")
    assert (spool.lost, spool.failure) == (1, "cannot write the spool: Bad file descriptor")
    assert (tmp_path / "requests-0.bin").stat().st_size == ROW_BYTES


def test_texts_past_the_limit_share_one_number(tmp_path: Path) -> None:
    spool = Spool(tmp_path, 0)
    numbers = [spool.error(1, f"text {number}") for number in range(OTHER_ERROR + 50)]
    assert numbers[:3] == [1, 2, 3]
    assert set(numbers[OTHER_ERROR - 1 :]) == {OTHER_ERROR}
    told = [json.loads(line) for line in (tmp_path / "events-0.jsonl").read_text().splitlines()]
    assert len(told) == OTHER_ERROR
    assert told[-1]["text"] == "other"


def test_a_full_disk_is_told_and_leaves_whole_rows(tmp_path: Path) -> None:
    spool = Spool(tmp_path, 0)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (CHUNK_BYTES, hard))
    try:
        for _ in range(CHUNK_BYTES // ROW_BYTES + 2):
            write(spool)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, handler)
    spool.close()
    assert (tmp_path / "requests-0.bin").stat().st_size == CHUNK_BYTES
    assert spool.lost == 2
    assert spool.failure.startswith("cannot write the spool:")
