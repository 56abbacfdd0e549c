"""While batches wait for long it is told what for, and since when; afterwards no more."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta

import pytest

from tests.collectors.processes import wait_for
from tests.warehouse.filling import fill_attempts
from warehouse import restore, writer
from warehouse.health import health
from warehouse.model import now
from warehouse.service import Warehouse
from warehouse.settings import Settings


@contextmanager
def opened(settings: Settings) -> Iterator[Warehouse]:
    warehouse = Warehouse(settings)
    try:
        yield warehouse
    finally:
        warehouse.close()


def state(warehouse: Warehouse) -> str:
    return str(health(warehouse).storage.state)


def test_long_work_is_told_as_catching_up_with_since_when(settings: Settings) -> None:
    ended = threading.Event()
    with opened(settings) as warehouse:
        assert state(warehouse) == "ok"
        began = now()
        work = warehouse.writer.apart(ended.wait, "the compacted file takes the place of its file")
        time.sleep(writer.HELD_S / 2)
        assert state(warehouse) == "ok", "what ends within a second is not told"
        wait_for(lambda: state(warehouse) == "catching_up")
        told = health(warehouse)
        assert told.status == "ok"
        assert told.storage.reason == "the compacted file takes the place of its file"
        assert abs(told.storage.since_at - began) < timedelta(seconds=0.5)
        ended.set()
        work.result()
        wait_for(lambda: state(warehouse) == "ok")


def test_compacting_tells_it_while_the_files_are_exchanged(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill_attempts(settings, 1_000)
    told: list[str] = []
    place: Callable[..., None] = restore.put_in_place
    with opened(settings) as warehouse:
        monkeypatch.setattr(writer, "HELD_S", 0.0)

        def slow(*given: object) -> None:
            told.append(f"{state(warehouse)}: {health(warehouse).storage.reason}")
            place(*given)

        monkeypatch.setattr(restore, "put_in_place", slow)
        *_, end = warehouse.compact()
        assert end["part"] == "end"
        wait_for(lambda: state(warehouse) == "ok")
    assert told == ["catching_up: the compacted file takes the place of its file"]
