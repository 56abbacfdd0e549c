"""The warehouse killed again and again: nothing acknowledged is lost, nothing is stored twice."""

import multiprocessing
import multiprocessing.process
import random
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from cli.verify import look
from tests.collectors.processes import wait_for
from tests.faults import SOAK
from tests.faults.storing import BOUND_S, Sender, check, stored_rows
from tests.servers.warehouse import WarehouseProcess, write_config
from warehouse import server, settings
from warehouse.model import now
from warehouse.service import Warehouse

KILLS = 500 if SOAK else 30
CHECKPOINT_KILLS = 340 if SOAK else 20
"""Kills while serving; every other one is preceded by one at a start."""

SENDERS = 3
LEAST_S, MOST_S = 0.02, 0.3
AT_START_S = 0.4
BETWEEN_CHECKPOINTS_S = 0.05
LOOK_AGAIN_S = 0.0002

Flag = Any
"""A number that two processes share."""


def serve(config: str) -> None:
    """The warehouse's process."""
    server.run(settings.load(Path(config), {}))


def serve_folding(config: str, folding: Flag, took: Flag) -> None:
    """The same, folding its log into the file all the time; `folding` is 1 while it does.

    `took` is how long the newest fold that ended took, in seconds.
    """
    begin = Warehouse.start

    def start(warehouse: Warehouse) -> None:
        begin(warehouse)
        threading.Thread(target=fold, args=(warehouse, folding, took), daemon=True).start()

    Warehouse.start = start  # type: ignore[method-assign]
    serve(config)


def fold(warehouse: Warehouse, folding: Flag, took: Flag) -> None:
    def checkpoint(connection: Any) -> None:
        begun = time.monotonic()
        folding.value = 1
        connection.execute("CHECKPOINT")
        folding.value = 0
        took.value = time.monotonic() - begun

    while True:
        time.sleep(BETWEEN_CHECKPOINTS_S)
        warehouse.writer.submit(checkpoint).result(BOUND_S)


class ForkedWarehouse:
    """The warehouse of one configuration, forked from a process that has its modules loaded already.

    Starting costs a few milliseconds instead of a second of imports.
    """

    def __init__(self, config: Path) -> None:
        self.doors = WarehouseProcess(config)
        self._config = config
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(["tests.faults.test_restarts"])
        self._process: multiprocessing.process.BaseProcess | None = None
        self.folding: Flag = self._context.Value("b", 0, lock=False)
        self.took: Flag = self._context.Value("d", 0.0, lock=False)

    def start(self, *, folding: bool = False) -> None:
        """Start it; it answers soon."""
        self.folding.value, self.took.value = 0, 0.0
        target, arguments = (serve_folding, (self.folding, self.took)) if folding else (serve, ())
        self._process = self._context.Process(
            target=target, args=(str(self._config), *arguments), daemon=True
        )
        self._process.start()

    def await_fold(self) -> None:
        """Until a fold begins, once another has told how long one takes here."""
        wait_for(lambda: self.took.value > 0)
        deadline = time.monotonic() + BOUND_S
        while not self.folding.value:
            assert time.monotonic() < deadline, "no checkpoint began"
            time.sleep(LOOK_AGAIN_S)

    def kill(self) -> None:
        """kill -9; it must have lived until now."""
        if self._process is not None:
            process, self._process = self._process, None
            ended = process.exitcode
            process.kill()
            process.join(BOUND_S)
            assert ended is None, f"the warehouse ended by itself with {ended}"
            assert process.exitcode == -9


def acknowledged(senders: list[Sender]) -> int:
    """Batches acknowledged so far."""
    return sum(len(sender.acknowledged) for sender in senders)


@contextmanager
def under_ingest(folder: Path) -> Iterator[tuple[ForkedWarehouse, list[Sender]]]:
    """A warehouse and those who send to it without end; at the end all that was acknowledged is there."""
    start_at = now().replace(microsecond=0) - timedelta(days=20)
    warehouse = ForkedWarehouse(write_config(folder, warehouse="row_cap = 10000000\ndeadline_s = 60"))
    doors = warehouse.doors
    stopping = threading.Event()
    clients = [doors.client("collect", retries=0, timeout_s=BOUND_S) for _ in range(SENDERS)]
    senders = [Sender(client, f"sender {n}", start_at, stopping) for n, client in enumerate(clients)]
    try:
        warehouse.start()
        for sender in senders:
            sender.start()
        yield warehouse, senders
        wait_for_more(senders)
        stopping.set()
        for sender in senders:
            sender.join(BOUND_S)
            assert not sender.is_alive()
            check(sender, Counter(stored_rows(doors, sender.name, start_at)))
        assert look(doors.settings)["sound"]
        with doors.client("dashboard") as client:
            assert client.health()["losses"] == []
        assert not (doors.settings.data_dir / "quarantine").exists()
    finally:
        stopping.set()
        warehouse.kill()
        for client in clients:
            client.close()


def wait_for_more(senders: list[Sender]) -> None:
    """Until one more batch is acknowledged."""
    before = acknowledged(senders)
    wait_for(lambda: acknowledged(senders) > before)


@pytest.mark.timeout(14_400 if SOAK else 600)  # each wait in it is bounded
def test_kills_under_ingest_lose_and_double_nothing(tmp_path: Path) -> None:
    chance = random.Random(20261123)
    with under_ingest(tmp_path) as (warehouse, senders):
        for _ in range(KILLS):
            wait_for_more(senders)
            time.sleep(chance.uniform(LEAST_S, MOST_S))
            warehouse.kill()
            warehouse.start()
    assert sum(sender.resent for sender in senders) >= KILLS


@pytest.mark.timeout(14_400 if SOAK else 600)
def test_kills_during_checkpoints_lose_and_double_nothing(tmp_path: Path) -> None:
    """Most kills land while the log is being folded into the file; every other start is killed as well."""
    chance = random.Random(20261124)
    landed = 0
    with under_ingest(tmp_path) as (warehouse, senders):
        warehouse.kill()
        for number in range(CHECKPOINT_KILLS):
            warehouse.start(folding=True)
            wait_for_more(senders)
            warehouse.await_fold()
            time.sleep(chance.uniform(0, warehouse.took.value))
            warehouse.kill()
            landed += warehouse.folding.value
            if number % 2:
                warehouse.start()
                time.sleep(chance.uniform(0, AT_START_S))
                warehouse.kill()
        warehouse.start()
    print(f"{landed} of {CHECKPOINT_KILLS} kills landed in a checkpoint")
    assert landed >= CHECKPOINT_KILLS // 4, "too few kills hit a checkpoint"
