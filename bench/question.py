"""The API latency page's question on 10 M attempts against the plainest DuckDB SQL for the same."""

from __future__ import annotations

import time
from datetime import datetime, timedelta

from bench.report import Section, nearest_rank, spread
from bench.service import scratch, warehouse, write_config
from warehouse.client import Client
from warehouse.model import now
from warehouse.questions.percentiles import PercentileTrend
from warehouse.settings import Settings
from warehouse.store import Store

ATTEMPTS = 10_000_000
ENDPOINTS = 50
DAYS = 20
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


def fill(settings: Settings, end: datetime) -> None:
    """Ten million attempts with lognormal latencies, in time order, 0.5 % of them timeouts."""
    store = Store(settings)
    connection = store.cursor()
    naive = end.replace(tzinfo=None)
    connection.execute(
        "INSERT INTO series (kind, target, object, metric, unit, direction, source, first_seen_at) "
        "SELECT 'probe', 'bench', 'GET /' || i, 'latency', 'us', 'lower', 'local', ? FROM range(?) AS t(i)",
        [naive, ENDPOINTS],
    )
    connection.execute("SELECT setseed(0.42)")
    connection.execute(
        """
        INSERT INTO attempt
        SELECT $end - to_milliseconds(($rows - i) * $days * 86400000 // $rows), 1 + i % $endpoints,
            CASE WHEN late THEN 'timeout' ELSE 'ok' END, CASE WHEN late THEN NULL ELSE 200 END,
            NULL, 150, NULL, CASE WHEN late THEN NULL ELSE us * 0.9 END, CASE WHEN late THEN NULL ELSE us END,
            512, 20, 3000000
        FROM (
            SELECT i, random() < 0.005 AS late,
                least(2999999, exp(9.5 + 0.5 * sqrt(-2 * ln(random() + 1e-12)) * cos(6.2831853 * random())))
                    ::UINTEGER AS us
            FROM range($rows) AS t(i)
        )
        """,
        {"end": naive, "rows": ATTEMPTS, "days": DAYS, "endpoints": ENDPOINTS},
    )
    connection.execute("CHECKPOINT")
    connection.close()
    store.close()
