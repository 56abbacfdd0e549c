"""A full disk: storing stops, reading goes on, and storing goes on by itself when there is room again."""

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import timedelta
from pathlib import Path

import httpx
import pytest

from cli.status import look
from tests.collectors.processes import wait_for
from tests.faults.small_disk import SmallDisk, ext4, tmpfs
from tests.faults.storing import BOUND_S, in_state, resumed_within, storage, under_load
from tests.servers.warehouse import WarehouseProcess, running_warehouse
from tests.warehouse.records import sample
from warehouse.client import pack
from warehouse.model import Batch, now

LIMITS = "row_cap = 10000000\ndeadline_s = 60\nmemory_limit_mb = 256"


def warehouse_on(disk: SmallDisk, folder: Path, reserve_mb: int) -> AbstractContextManager[WarehouseProcess]:
    """A warehouse whose data directory is a small disk."""
    limits = f"{LIMITS}\nreserve_mb = {reserve_mb}"
    return running_warehouse(folder, warehouse=limits, data_dir=disk.folder / "data")


def events(process: WarehouseProcess) -> list[tuple[str, str]]:
    """State and words of what the warehouse told of its storage, oldest first."""
    at = now()
    with process.client("dashboard") as client:
        told = client.ask("events", start=at - timedelta(hours=1), end=at + timedelta(hours=1))
    own = told.filter((told["source"] == "warehouse") & (told["job"] == "storage"))
    return list(zip(own["state"], own["text"], strict=True))


def test_below_the_reserve_storing_pauses_and_goes_on_by_itself(tmp_path: Path) -> None:
    with (
        tmpfs(tmp_path / "disk", 96) as disk,
        warehouse_on(disk, tmp_path, 512) as process,
        under_load(process) as (sender, asker),
    ):
        pid = process.pid
        reserve = storage(process)["reserve_bytes"]
        assert reserve == 96 * 1_048_576 // 10, "a tenth of a small disk"
        disk.fill(leave=8_000_000)
        wait_for(in_state(process, "paused"))
        told = storage(process)
        assert told["status"] == "degraded"
        assert told["readable"] is True
        assert told["reason"].endswith("MB free, 10 MB are kept in reserve")
        problems = [problem for problem in look(process.settings)["problems"] if "storage" in problem]
        assert len(problems) == 1
        assert problems[0].startswith("storage is paused since ")
        wait_for(lambda: any("paused" in text for text in sender.refusals))
        refused = refusal(process)
        assert refused.status_code == 503
        assert refused.headers["retry-after"] == "5"
        assert refused.json()["error"]["message"].startswith("storage paused: 8.0 MB free, 10 MB are kept")
        stored, answered = len(sender.acknowledged), asker.answers
        wait_for(lambda: asker.answers > answered + 5)
        assert len(sender.acknowledged) == stored, "something was stored while it paused"
        disk.empty()
        assert resumed_within(process, sender, time.monotonic()) < BOUND_S
        wait_for(lambda: len(events(process)) >= 2)
        (first, paused), (second, resumed) = events(process)[:2]
        assert (first, second) == ("failing", "ok")
        assert paused.startswith("paused: ")
        assert resumed.startswith("stored again after ")
        assert process.pid == pid
    assert asker.refusals == []


def refusal(process: WarehouseProcess) -> httpx.Response:
    """The answer to a batch that is not stored."""
    token = (process.settings.token_dir / "collect.json").read_text().split('"token":')[1].split('"')[1]
    batch = Batch(batch_id="refused-batch", samples=(sample(),))
    return httpx.post(
        f"{process.settings.warehouse.url}/api/v1/ingest",
        content=pack(batch),
        headers={
            "authorization": f"Bearer {token}",
            "content-type": "application/vnd.apache.arrow.stream",
            "x-batch-id": batch.batch_id,
        },
        trust_env=False,
    )


@pytest.mark.parametrize("mounted", [tmpfs, ext4], ids=["tmpfs", "ext4"])
def test_a_disk_filled_by_others_loses_nothing(
    tmp_path: Path, mounted: Callable[[Path, int], AbstractContextManager[SmallDisk]]
) -> None:
    """Without a reserve, so that a commit finds the disk full."""
    with (
        mounted(tmp_path / "disk", 96) as disk,
        warehouse_on(disk, tmp_path, 0) as process,
        under_load(process) as (sender, asker),
    ):
        pid = process.pid
        disk.fill(100_000)
        wait_for(in_state(process, "failing"))
        wait_for(lambda: storage(process)["readable"])
        assert storage(process)["reason"]
        answered = asker.answers
        wait_for(lambda: asker.answers > answered + 5)
        disk.empty()
        assert resumed_within(process, sender, time.monotonic()) < BOUND_S
        assert process.pid == pid
    assert asker.refusals == []


def test_a_start_on_a_full_disk_answers_and_stores_when_there_is_room(tmp_path: Path) -> None:
    """What the killed warehouse left in its log is read, though it cannot be folded into the file."""
    with tmpfs(tmp_path / "disk", 96) as disk, warehouse_on(disk, tmp_path, 0) as process:
        with process.client("collect") as client:
            rows = tuple(sample(value=float(number)) for number in range(5000))
            client.send("before-the-kill", pack(Batch(batch_id="before-the-kill", samples=rows)))
        process.kill()
        disk.fill()
        process.start()
        told = storage(process)
        assert (told["state"], told["readable"]) == ("failing", True)
        assert "No space left" in str(told["reason"])
        with process.client("dashboard") as client:
            kept = dict(client.ask("storage").select("table_name", "rows").iter_rows())
            assert kept["sample"] == 5000
        disk.empty()
        wait_for(in_state(process, "ok"))
        batch = Batch(batch_id="after-the-fault", samples=(sample(),))
        with process.client("collect") as client:
            assert client.send(batch.batch_id, pack(batch)).stored
            assert client.health()["losses"] == []
