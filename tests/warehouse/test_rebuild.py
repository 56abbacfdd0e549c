"""`rebuild` proves cells equal to the attempts they stand for, and mends those that are not."""

import random
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

from tests.warehouse.test_rollups import assert_equal, naive, send, some_attempts
from warehouse import rollups, tiers
from warehouse.model import Batch, Receipt, now
from warehouse.rebuild import rebuild
from warehouse.rollups import Alone
from warehouse.settings import Settings
from warehouse.store import Store

Put = Callable[[Batch], Receipt]


def test_cells_that_differ_are_named_and_replaced(put: Put, store: Store) -> None:
    at = now()
    chance = random.Random(2)
    sent = some_attempts(chance, at - timedelta(days=4), at - timedelta(hours=1), 600)
    send(put, sent)
    rollups.keep_up(Alone(store.cursor()), naive(at))
    send(put, late := some_attempts(chance, at - timedelta(days=4), at - timedelta(hours=2), 9))
    steps = list(rebuild(Alone(store.cursor()), naive(at)))
    assert steps[-1]["differences"] == 0
    assert steps[-1]["cells"] > 300
    cursor = store.cursor()
    cursor.execute(
        "UPDATE attempt_cell_1h SET p95_us = p95_us + 1 "
        "WHERE ts = (SELECT min(ts) FROM attempt_cell_1h WHERE p95_us IS NOT NULL)"
    )
    cursor.execute("DELETE FROM attempt_cell_5m WHERE ts = (SELECT max(ts) FROM attempt_cell_5m)")
    cursor.execute(
        "UPDATE attempt_cell_1d SET sum_us = sum_us + 1 WHERE ts = (SELECT max(ts) FROM attempt_cell_1d)"
    )
    cursor.execute("DELETE FROM attempt_cell_outcome WHERE ts = (SELECT max(ts) FROM attempt_cell_outcome)")
    steps = list(rebuild(Alone(store.cursor()), naive(at)))
    assert steps[-1]["differences"] >= 4
    told = [each for step in steps[:-1] for each in step["first"]]
    assert any(each.startswith("attempt_cell_1d") for each in told)
    assert any(each.startswith("attempt_cell_outcome") for each in told)
    assert any(each.startswith("attempt_cell_1h") and "shop GET /" in each for each in told)
    assert any(each.startswith("attempt_cell_5m") for each in told)
    sealed = tiers.read(store.cursor(), "attempt").sealed_until
    assert sealed is not None
    assert_equal(store, [*sent, *late], sealed)
    assert list(rebuild(Alone(store.cursor()), naive(at)))[-1]["differences"] == 0


def test_the_command_exits_1_where_cells_differ(put: Put, store: Store, settings: Settings) -> None:
    at = now()
    send(put, some_attempts(random.Random(3), at - timedelta(hours=9), at - timedelta(hours=1), 60))
    rollups.keep_up(Alone(store.cursor()), naive(at))
    store.cursor().execute("UPDATE attempt_cell_1h SET attempts = attempts + 1")
    store.close()
    command = [sys.executable, "perfhouse.py", "--config", str(settings.path), "rebuild"]
    first = subprocess.run(command, cwd=Path.cwd(), capture_output=True, text=True, timeout=280)
    assert first.returncode == 1, first.stderr
    assert "differed and were replaced" in first.stderr
    assert "attempt_cell_1h" in first.stderr
    again = subprocess.run(command, cwd=Path.cwd(), capture_output=True, text=True, timeout=280)
    assert again.returncode == 0, again.stderr
    assert "all as the single rows say" in again.stderr
    store.__init__(settings)  # type: ignore[misc]
