"""The API latency page's question on 10 M attempts against the plainest DuckDB SQL for the same."""

from __future__ import annotations

import time
from datetime import timedelta

from bench.filling import ATTEMPTS, DAYS, ENDPOINTS, fill
from bench.report import Section, nearest_rank, spread
from bench.service import scratch, warehouse, write_config
from warehouse.client import Client
from warehouse.model import now
from warehouse.questions.percentiles import PercentileTrend
from warehouse.store import Store

ROUNDS = 5

PLAIN = """
    SELECT to_timestamp(floor(epoch(ts) / {width}) * {width}), series_id, count(*),
        quantile_disc(total_us, [0.5, 0.95, 0.99]), max(total_us)
    FROM attempt
    WHERE ts >= ? AND ts < ? AND series_id IN (SELECT unnest(?))
    GROUP BY ALL ORDER BY ALL
"""


def measure() -> Section:
    """Alternate the two ways: the file is owned by one process at a time, so each runs in its own copy."""
    with scratch() as near, scratch() as far:
        end = now()
        here, there = write_config(near), write_config(far, warehouse="deadline_s = 120")
        for settings in (here, there):
            fill(settings, end)
        store = Store(here)
        connection = store.cursor()
        rows = []
        with warehouse(there), Client.for_process(there, "cli", timeout_s=120) as client:
            for label, days, endpoints in (
                ("1 endpoint, 24 h", 1, 1),
                ("50 endpoints, 24 h", 1, ENDPOINTS),
                ("1 endpoint, all 20 d", DAYS, 1),
                ("50 endpoints, all 20 d", DAYS, ENDPOINTS),
            ):
                start = end - timedelta(days=days)
                asked = PercentileTrend(
                    start=start, end=end, endpoint=tuple(f"GET /{number}" for number in range(endpoints))
                )
                plain, through = [], []
                for _ in range(ROUNDS + 1):
                    began = time.perf_counter()
                    series = list(range(1, endpoints + 1))
                    values = [start.replace(tzinfo=None), end.replace(tzinfo=None), series]
                    connection.sql(PLAIN.format(width=asked.bucket_s), params=values).to_arrow_table()
                    middle = time.perf_counter()
                    frame = client.ask("percentile_trend", start=start, end=end, endpoint=asked.endpoint)
                    through.append((time.perf_counter() - middle) * 1000)
                    plain.append((middle - began) * 1000)
                ratio = nearest_rank(through[1:], 0.5) / nearest_rank(plain[1:], 0.5)
                rows.append(
                    (
                        label,
                        f"{frame.height:,}",
                        spread(plain[1:], digits=0),
                        spread(through[1:], digits=0),
                        f"{ratio:.2f}x",
                    )
                )
        connection.close()
        store.close()
    return Section(
        "The API latency question",
        f"""`percentile_trend` over {ATTEMPTS:,} attempts of {ENDPOINTS} endpoints in {DAYS} days, asked over
HTTP and answered as Arrow (names, n, errors, timeouts ranked above their deadline), against the plainest
SQL for bucket, series, count, percentiles and maximum on a copy of the file inside this process.
{ROUNDS} rounds after a warm-up, alternating; median (middle half).""",
        ("question", "rows answered", "plain SQL, in process", "through the API", "ratio"),
        rows,
    )
