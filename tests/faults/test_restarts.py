"""The warehouse killed 50 times under ingest: nothing acknowledged is lost, nothing is stored twice."""

import multiprocessing
import multiprocessing.process
import random
import threading
import time
from collections import Counter
from datetime import datetime, timedelta
from pathlib import Path
from uuid import uuid4

import polars as pl
import pytest

from tests.collectors.processes import wait_for
from tests.servers.warehouse import WarehouseProcess, write_config
from tests.warehouse.records import attempt
from warehouse import server, settings
from warehouse.client import Client, pack
from warehouse.errors import WarehouseAwayError
from warehouse.model import Batch, now

KILLS = 50
SENDERS = 3
ROWS = 200
LEAST_S, MOST_S = 0.02, 0.3
BOUND_S = 30


class Sender(threading.Thread):
    """Sends batches as fast as it can; each again under its own id until it is acknowledged."""

    def __init__(self, client: Client, name: str, start_at: datetime, stopping: threading.Event) -> None:
        super().__init__(name=name, daemon=True)
        self._client = client
        self._start_at = start_at
        self._stopping = stopping
        self.acknowledged: list[int] = []
        self.unanswered: int | None = None
        self.known_already = 0
        self.resent = 0
        self.failure: BaseException | None = None

    def run(self) -> None:
        try:
            number = 0
            while not self._stopping.is_set() and self._send(number):
                number += 1
        except BaseException as error:  # noqa: BLE001 - the test raises it
            self.failure = error

    def _send(self, number: int) -> bool:
        """One batch; every row's time tells sender, batch and row. False when stopped before its receipt."""
        rows = tuple(
            attempt(
                self._start_at + timedelta(milliseconds=number * ROWS + row),
                target=self.name,
                endpoint="GET /",
                total_us=number * ROWS + row,
            )
            for row in range(ROWS)
        )
        batch_id = uuid4().hex
        body = pack(Batch(batch_id=batch_id, attempts=rows))
        self.unanswered = number
        while True:
            try:
                receipt = self._client.send(batch_id, body)
            except WarehouseAwayError:
                self.resent += 1
                if self._stopping.wait(0.02):
                    return False
                continue
            assert receipt.attempts == ROWS
            self.known_already += not receipt.stored
            self.acknowledged.append(number)
            self.unanswered = None
            return True


def serve(config: str) -> None:
    """The warehouse's process."""
    server.run(settings.load(Path(config), {}))


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

    def start(self) -> None:
        """Start it; it answers soon."""
        self._process = self._context.Process(target=serve, args=(str(self._config),), daemon=True)
        self._process.start()

    def kill(self) -> None:
        """kill -9; it must have lived until now."""
        if self._process is not None:
            process, self._process = self._process, None
            ended = process.exitcode
            process.kill()
            process.join(BOUND_S)
            assert ended is None, f"the warehouse ended by itself with {ended}"
            assert process.exitcode == -9


def stored_rows(process: WarehouseProcess, target: str, start_at: datetime) -> list[int]:
    """The number of every stored row of one sender, read back whole and checked against its time."""
    with process.client("dashboard", timeout_s=60) as client:
        attempts = client.ask(
            "attempts", target=target, start=start_at - timedelta(hours=1), end=now() + timedelta(hours=1)
        )
    numbers = (attempts["at"] - start_at).dt.total_milliseconds()
    assert (numbers == attempts["total_us"].cast(pl.Int64)).all(), "a row is torn"
    return numbers.to_list()


def acknowledged(senders: list[Sender]) -> int:
    """Batches acknowledged so far."""
    return sum(len(sender.acknowledged) for sender in senders)


@pytest.mark.timeout(600)  # about 45 s on an idle machine; each wait in it is bounded
def test_fifty_kills_under_ingest_lose_and_double_nothing(tmp_path: Path) -> None:
    chance = random.Random(20261123)
    start_at = now().replace(microsecond=0) - timedelta(days=20)
    warehouse = ForkedWarehouse(write_config(tmp_path, warehouse="row_cap = 10000000\ndeadline_s = 60"))
    doors = warehouse.doors
    stopping = threading.Event()
    clients = [doors.client("collect", retries=0, timeout_s=BOUND_S) for _ in range(SENDERS)]
    senders = [Sender(client, f"sender {n}", start_at, stopping) for n, client in enumerate(clients)]
    try:
        warehouse.start()
        for sender in senders:
            sender.start()
        for _ in range(KILLS):
            before = acknowledged(senders)
            wait_for(lambda before=before: acknowledged(senders) > before)
            time.sleep(chance.uniform(LEAST_S, MOST_S))
            warehouse.kill()
            warehouse.start()
        before = acknowledged(senders)
        wait_for(lambda: acknowledged(senders) > before)
        stopping.set()
        for sender in senders:
            sender.join(BOUND_S)
            assert not sender.is_alive()
            assert sender.failure is None
        assert sum(sender.resent for sender in senders) >= KILLS
        for sender in senders:
            check(sender, Counter(stored_rows(doors, sender.name, start_at)))
    finally:
        stopping.set()
        warehouse.kill()
        for client in clients:
            client.close()


def check(sender: Sender, stored: Counter[int]) -> None:
    """Acknowledged batches are there whole and once; the one without a receipt wholly or not at all."""
    expected = {number * ROWS + row for number in sender.acknowledged for row in range(ROWS)}
    assert not expected - set(stored), "acknowledged rows are lost"
    assert set(stored.values()) == {1}, "rows are stored twice"
    others = set(stored) - expected
    if others:
        assert sender.unanswered is not None
        first = sender.unanswered * ROWS
        assert others == set(range(first, first + ROWS))
