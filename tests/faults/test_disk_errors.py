"""A disk that fails under the warehouse: nothing acknowledged is lost or doubled, no restart by hand."""

import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.collectors.processes import wait_for
from tests.faults import SOAK
from tests.faults.storing import BOUND_S, Asker, Sender, in_state, resumed_within, storage, under_load
from tests.servers.warehouse import WarehouseProcess, running_warehouse

LIMITS = "row_cap = 10000000\ndeadline_s = 60\nreserve_mb = 0"
MANY_ROWS = 5000
"""Batches of so many rows fill the write-ahead log fast, so that a commit folds it into the file."""


@contextmanager
def failing(process: WarehouseProcess, file: Path, calls: str, error: str) -> Iterator[None]:
    """While this lasts, system calls of the warehouse on this file fail."""
    inject = ["-e", f"trace={calls}", "-e", f"inject={calls}:error={error}"]
    tracer = subprocess.Popen(
        ["strace", "-f", "-qq", "-o", "/dev/null", "-p", str(process.pid), "-P", file, *inject],
        stderr=subprocess.PIPE,
        text=True,
    )
    time.sleep(0.3)
    if tracer.poll() is not None:
        assert tracer.stderr is not None
        pytest.skip(f"strace may not attach here: {tracer.stderr.read().strip()}")
    try:
        yield
    finally:
        tracer.send_signal(signal.SIGINT)
        tracer.wait(BOUND_S)
        assert tracer.stderr is not None
        tracer.stderr.close()


COMMIT = {
    "EIO at a commit": ("write,pwrite64", "EIO"),
    "ENOSPC at a commit": ("write,pwrite64", "ENOSPC"),
    "EIO when a commit is forced to the disk": ("fsync,fdatasync", "EIO"),
}
CHECKPOINT = {
    "EIO at a checkpoint": ("write,pwrite64", "EIO"),
    "EIO when a checkpoint is forced to the disk": ("fsync,fdatasync", "EIO"),
}
if SOAK:
    CHECKPOINT["ENOSPC at a checkpoint"] = ("write,pwrite64", "ENOSPC")

needs_strace = pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")


@needs_strace
@pytest.mark.parametrize("fault", COMMIT)
def test_a_log_that_cannot_be_written_loses_and_doubles_nothing(tmp_path: Path, fault: str) -> None:
    with (
        running_warehouse(tmp_path, warehouse=LIMITS) as process,
        under_load(process) as (sender, asker),
    ):
        log_file = process.settings.database_file.with_suffix(".duckdb.wal")
        fails_and_goes_on(process, sender, asker, log_file, COMMIT[fault])
    assert asker.refusals == []


@needs_strace
@pytest.mark.parametrize("fault", CHECKPOINT)
def test_a_checkpoint_that_fails_within_a_commit_loses_and_doubles_nothing(
    tmp_path: Path, fault: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """The batch is durable or not though its commit raised; sent again it is stored once in any case."""
    with (
        running_warehouse(tmp_path, warehouse=LIMITS) as process,
        under_load(process, MANY_ROWS) as (sender, asker),
    ):
        fails_and_goes_on(process, sender, asker, process.settings.database_file, CHECKPOINT[fault])
    assert asker.refusals == []
    assert "Failed to create checkpoint" in capfd.readouterr().err


def fails_and_goes_on(
    process: WarehouseProcess, sender: Sender, asker: Asker, file: Path, fault: tuple[str, str]
) -> None:
    """While calls on the file fail nothing is stored and all is answered; then storing goes on by itself."""
    pid = process.pid
    with failing(process, file, *fault):
        wait_for(in_state(process, "failing"))
        wait_for(lambda: storage(process)["readable"])
        stored, answered = len(sender.acknowledged), asker.answers
        wait_for(lambda: asker.answers > answered + 5)
        assert len(sender.acknowledged) == stored
    assert resumed_within(process, sender, time.monotonic()) < BOUND_S
    assert process.pid == pid
