"""Durable ingest through the API against the same rows inserted in this process."""

from __future__ import annotations

import time
import uuid
from datetime import timedelta

from bench.report import Section, nearest_rank, spread
from bench.service import scratch, warehouse, write_config
from warehouse import checks, wire
from warehouse.client import Client, pack
from warehouse.ingest import store_batch
from warehouse.model import Attempt, Batch, Outcome, now
from warehouse.store import Store

SIZES = (100, 1_000, 10_000)
ROUNDS = 30
ENDPOINTS = 50


def measure() -> Section:
    """Alternate the two ways, batch by batch, so that noise falls on both alike."""
    rows = []
    with scratch() as near, scratch() as far:
        here = Store(write_config(near))
        connection = here.cursor()
        settings = write_config(far)
        with warehouse(settings), Client.for_process(settings, "collect") as client:
            for size in SIZES:
                inside, through = [], []
                for _ in range(ROUNDS + 2):
                    batch_id, body = _body(size)
                    began = time.perf_counter()
                    _, tables = wire.unpack_arrow(batch_id, body)
                    store_batch(connection, checks.check(batch_id, "local", tables, now()), here.stand)
                    middle = time.perf_counter()
                    assert client.send(batch_id, body).stored
                    through.append((time.perf_counter() - middle) * 1000)
                    inside.append((middle - began) * 1000)
                inside, through = inside[2:], through[2:]
                ratio = nearest_rank(through, 0.5) / nearest_rank(inside, 0.5)
                rate = size / nearest_rank(through, 0.5) * 1000
                rows.append(
                    (f"{size:,}", spread(inside), spread(through), f"{ratio:.2f}x", f"{rate:,.0f} rows/s")
                )
        connection.close()
        here.close()
    return Section(
        "Ingest",
        f"""One batch of attempts over {ENDPOINTS} endpoints, checked, stored in one transaction and
acknowledged after the commit: by the same code in this process, and through `POST /api/v1/ingest` (Arrow)
of a warehouse in a process of its own. {ROUNDS} batches of each size, alternating; median (middle half).""",
        ("rows in a batch", "in this process", "through the API", "ratio", "one sender, through the API"),
        rows,
    )


def _body(size: int) -> tuple[str, bytes]:
    at = now() - timedelta(seconds=size / 1000)
    attempts = tuple(
        Attempt.model_construct(
            at=at + timedelta(milliseconds=number),
            target="bench",
            endpoint=f"GET /{number % ENDPOINTS}",
            outcome=Outcome.OK,
            status=200,
            connect_us=100,
            first_byte_us=5_000,
            total_us=5_200 + number,
            bytes=512,
            loop_lag_us=10,
            deadline_us=3_000_000,
        )
        for number in range(size)
    )
    batch = Batch.model_construct(batch_id=uuid.uuid4().hex, attempts=attempts)
    return batch.batch_id, pack(batch)
