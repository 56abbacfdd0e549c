"""The p95 of query time from a real PostgreSQL: what is told holds the truth of the server's log."""

import random
import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from tests.collectors.watching import Watched, logged_ms, watched
from tests.servers.postgres import running_postgres
from warehouse.analysis.query_p95 import rank
from warehouse.model import RECORDS, Batch, Receipt, now

Put = Callable[[Batch], Receipt]
Ask = Callable[..., pa.Table]

OBJECTIVE_MS = 100.0
SESSIONS, CALLS = 4, 75


@pytest.fixture
def sampled(tmp_path: Path) -> Iterator[Watched]:
    """A server of its own, whose running queries are looked at every 20 ms."""
    with (
        running_postgres(tmp_path / "postgres") as server,
        watched(server, tmp_path, sample_activity_ms=20) as found,
    ):
        yield found


def bimodal(watch: Watched, seed: int) -> None:
    """Calls of 5 ms, every twelfth or so of about 126 ms."""
    chance = random.Random(seed)
    with watch.connect() as application:
        application.execute("SET log_min_duration_statement = 0")
        for number in range(CALLS):
            seconds = chance.uniform(0.124, 0.13) if number % 12 == seed else 0.005
            application.execute(f"SELECT pg_sleep({seconds}), 'bimodal'")


def send(put: Put, watch: Watched) -> None:
    kinds = {kind: tuple(watch.told(record)) for kind, record in RECORDS.items()}
    put(Batch.model_validate({"batch_id": "p95-of-postgres", **kinds}))


def test_the_interval_holds_the_logs_truth_and_looking_narrows_it(
    sampled: Watched, put: Put, ask: Ask
) -> None:
    began = now()
    with sampled.connect() as application:
        application.execute("SELECT pg_sleep(1.0), 'bimodal'")  # the longest call there ever was
    sampled.collect()
    time.sleep(0.5)  # the sampler connects
    sampled.collect()
    before = sampled.server.cluster.log_file.stat().st_size
    threads = [threading.Thread(target=bimodal, args=[sampled, seed]) for seed in range(SESSIONS)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        time.sleep(0.5)
        sampled.collect()
    time.sleep(0.2)
    sampled.collect()
    send(put, sampled)

    logged = sorted(logged_ms(sampled.server, "bimodal", before))
    assert len(logged) == SESSIONS * CALLS
    truth = logged[rank(len(logged)) - 1]
    naive = np.mean(logged) + 1.645 * np.std(logged)
    assert naive < OBJECTIVE_MS < truth

    window = {"start": began, "end": now() + timedelta(seconds=1), "objective_ms": OBJECTIVE_MS}
    told = {row["method"]: row for row in ask("query_latency", **window).to_pylist()}
    statistics, activity = told["statistics"], told["activity"]
    assert statistics["n"] == activity["n"] == len(logged)
    for row in (statistics, activity):
        assert row["p95_low_ms"] - 1 <= truth <= row["p95_high_ms"] + 1
    assert (activity["is_best"], activity["verdict"]) == (True, "fail")
    assert statistics["verdict"] in ("undetermined", "fail")
    assert width(activity) < width(statistics)
    assert activity["gap_ms"] > 0


def width(row: dict[str, float]) -> float:
    return row["p95_high_ms"] - row["p95_low_ms"]
