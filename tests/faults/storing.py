"""Batches that are sent again and again until they are acknowledged, and what is stored of them."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from uuid import uuid4

import httpx
import polars as pl

from tests.collectors.processes import wait_for
from tests.servers.warehouse import WarehouseProcess
from tests.warehouse.records import attempt
from warehouse.client import Client, pack
from warehouse.errors import PerfhouseError, WarehouseAwayError
from warehouse.model import Batch, now

ROWS = 200
BOUND_S = 30


class Sender(threading.Thread):
    """Sends batches as fast as it can; each again under its own id until it is acknowledged."""

    def __init__(
        self, client: Client, name: str, start_at: datetime, stopping: threading.Event, rows: int = ROWS
    ) -> None:
        super().__init__(name=name, daemon=True)
        self._client = client
        self._start_at = start_at
        self._stopping = stopping
        self.rows = rows
        self.acknowledged: list[int] = []
        self.unanswered: int | None = None
        self.known_already = 0
        self.resent = 0
        self.refusals: Counter[str] = Counter()
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
                self._start_at + timedelta(milliseconds=number * self.rows + row),
                target=self.name,
                endpoint="GET /",
                total_us=number * self.rows + row,
            )
            for row in range(self.rows)
        )
        batch_id = uuid4().hex
        body = pack(Batch(batch_id=batch_id, attempts=rows))
        self.unanswered = number
        while True:
            try:
                receipt = self._client.send(batch_id, body)
            except WarehouseAwayError as error:
                self.resent += 1
                self.refusals[error.message] += 1
                if self._stopping.wait(0.02):
                    return False
                continue
            assert receipt.attempts == self.rows
            self.known_already += not receipt.stored
            self.acknowledged.append(number)
            self.unanswered = None
            return True


def stored_rows(process: WarehouseProcess, target: str, start_at: datetime) -> list[int]:
    """The number of every stored row of one sender, read back whole and checked against its time."""
    with process.client("dashboard", timeout_s=60) as client:
        attempts = client.ask(
            "attempts", target=target, start=start_at - timedelta(hours=1), end=now() + timedelta(hours=1)
        )
    numbers = (attempts["at"] - start_at).dt.total_milliseconds()
    assert (numbers == attempts["total_us"].cast(pl.Int64)).all(), "a row is torn"
    return numbers.to_list()


def check(sender: Sender, stored: Counter[int]) -> None:
    """Acknowledged batches are there whole and once; the one without a receipt wholly or not at all."""
    assert sender.failure is None
    expected = {number * sender.rows + row for number in sender.acknowledged for row in range(sender.rows)}
    assert not expected - set(stored), "acknowledged rows are lost"
    assert set(stored.values()) <= {1}, "rows are stored twice"
    others = set(stored) - expected
    if others:
        assert sender.unanswered is not None
        first = sender.unanswered * sender.rows
        assert others == set(range(first, first + sender.rows))


class Asker(threading.Thread):
    """Asks all the time; what it was refused is a failure of the test."""

    def __init__(self, client: Client, stopping: threading.Event) -> None:
        super().__init__(daemon=True)
        self._client = client
        self._stopping = stopping
        self.answers = 0
        self.refusals: list[str] = []

    def run(self) -> None:
        while not self._stopping.wait(0.02):
            try:
                self._client.ask("freshness")
                self.answers += 1
            except PerfhouseError as error:
                self.refusals.append(error.message)


@contextmanager
def under_load(process: WarehouseProcess, rows: int = ROWS) -> Iterator[tuple[Sender, Asker]]:
    """One that sends and one that asks, both without end; at the end all that was acknowledged is there."""
    stopping = threading.Event()
    start_at = now().replace(microsecond=0) - timedelta(days=20)
    sending = process.client("collect", retries=0, timeout_s=BOUND_S)
    asking = process.client("dashboard", retries=0, timeout_s=BOUND_S)
    sender, asker = Sender(sending, "sender", start_at, stopping, rows), Asker(asking, stopping)
    sender.start()
    asker.start()
    try:
        wait_for(lambda: len(sender.acknowledged) > 3)
        yield sender, asker
        stopping.set()
        sender.join(BOUND_S)
        asker.join(BOUND_S)
        check(sender, Counter(stored_rows(process, "sender", start_at)))
    finally:
        stopping.set()
        sending.close()
        asking.close()


def storage(process: WarehouseProcess) -> dict[str, object]:
    """What /healthz tells of the storage."""
    answer = httpx.get(f"{process.settings.warehouse.url}/healthz", trust_env=False).json()
    return {**answer["storage"], "status": answer["status"]}


def in_state(process: WarehouseProcess, state: str) -> Callable[[], bool]:
    return lambda: storage(process)["state"] == state


def resumed_within(process: WarehouseProcess, sender: Sender, began: float) -> float:
    """Wait until batches are stored again; seconds since `began`."""
    before = len(sender.acknowledged)
    wait_for(lambda: len(sender.acknowledged) > before + 3)
    assert storage(process)["state"] == "ok"
    return time.monotonic() - began
