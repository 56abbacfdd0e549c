"""The warehouse killed 50 times under ingest: nothing acknowledged is lost, nothing is stored twice."""

import multiprocessing
import multiprocessing.process
import random
import threading
import time
from collections import Counter
from datetime import timedelta
from pathlib import Path

import pytest

from tests.collectors.processes import wait_for
from tests.faults.storing import BOUND_S, Sender, check, stored_rows
from tests.servers.warehouse import WarehouseProcess, write_config
from warehouse import server, settings
from warehouse.model import now

KILLS = 50
SENDERS = 3
LEAST_S, MOST_S = 0.02, 0.3


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
