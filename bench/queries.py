"""The Database page's questions over a day and over thirty, of a server with 5,000 query shapes."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from bench.report import Section, spread
from bench.service import scratch, warehouse, write_config
from warehouse.client import Client
from warehouse.errors import PerfhouseError
from warehouse.model import now
from warehouse.settings import Settings
from warehouse.store import Store

SHAPES = 5_000
ACTIVE = 300
EVERY_S = 10
DAYS = 30
ROUNDS = 5

QUESTIONS: Sequence[tuple[str, Mapping[str, str]]] = (
    ("slow_queries", {}),
    ("query_trend", {"shape": "s1"}),
    ("query_load", {}),
    ("query_patterns", {}),
    ("query_changes", {}),
    ("query_suspects", {}),
    ("query_latency", {}),
    ("query_latency_trend", {}),
)


def measure() -> Section:
    """Ask each question over a day and over thirty."""
    with scratch() as folder:
        settings = write_config(folder, warehouse="deadline_s = 60")
        end = now()
        count = fill(settings, end)
        rows = []
        with warehouse(settings), Client.for_process(settings, "cli", timeout_s=90) as client:
            for name, parameters in QUESTIONS:
                cells = [
                    _ask(client, name, end - timedelta(days=days), end, parameters) for days in (1, DAYS)
                ]
                rows.append((f"`{name}`", *cells))
    return Section(
        "Questions about databases",
        f"""One server with {SHAPES:,} query shapes, of which {ACTIVE} are called in each interval of
{EVERY_S} s: {count:,} rows in {DAYS} days, {count // DAYS:,} a day. Asked over HTTP and answered as Arrow;
milliseconds, {ROUNDS} rounds after a warm-up; median (middle half).""",
        ("question", "a day", "thirty days"),
        rows,
    )


def _ask(client: Client, name: str, start: datetime, end: datetime, parameters: Mapping[str, str]) -> str:
    spent = []
    for _ in range(ROUNDS + 1):
        began = time.perf_counter()
        try:
            client.ask(name, start=start, end=end, **parameters)
        except PerfhouseError as error:
            return error.message
        spent.append((time.perf_counter() - began) * 1000)
    return spread(spent[1:], digits=0)


def fill(settings: Settings, end: datetime) -> int:
    """Statistics of shapes that are called the more often the lower their number; how many rows."""
    store = Store(settings)
    connection = store.cursor()
    intervals = DAYS * 86_400 // EVERY_S
    values = {"end": end.replace(tzinfo=None), "intervals": intervals, "ms": EVERY_S * 1000}
    connection.execute(
        """
        INSERT INTO query_shape (target, database, shape, category, query, source, first_seen_at)
        SELECT 'bench', 'shop', 's' || i, CASE WHEN i % 4 = 0 THEN 'write' ELSE 'read' END,
            'SELECT column_' || i || ' FROM some_table WHERE id = ?', 'local',
            $end - to_milliseconds($intervals::BIGINT * $ms)
        FROM range($shapes) AS t(i)
        """,
        {**values, "shapes": SHAPES},
    )
    connection.execute("SELECT setseed(0.42)")
    connection.execute(
        """
        INSERT INTO query_stat
        SELECT $end - to_milliseconds(($intervals::BIGINT - i) * $ms),
            $end - to_milliseconds(($intervals::BIGINT - i + 1) * $ms),
            1 + shape, calls, calls * mean, calls * mean * mean * 2, mean / 4, NULL, mean * 50, calls,
            calls * 20, calls, 0, 0, 0, calls * mean / 10, 0, NULL, NULL, FALSE
        FROM (
            SELECT *, exp(6 + 2.5 * (hash(shape) % 1000 / 1000.0)) AS mean
            FROM (
                SELECT i, (pow(random(), 3) * $shapes)::INTEGER % $shapes AS shape,
                    1 + (random() * 50)::INTEGER AS calls
                FROM range($intervals) AS t(i), range($active)
            )
        )
        """,
        {**values, "shapes": SHAPES, "active": ACTIVE},
    )
    rows = int(connection.execute("SELECT count(*) FROM query_stat").fetchall()[0][0])
    gap = ["bench", end.replace(tzinfo=None)]
    connection.execute(
        "INSERT INTO series (kind, target, object, metric, unit, source, first_seen_at) "
        "VALUES ('database', ?, '', 'activity_gap_max_ms', 'ms', 'local', ?)",
        gap,
    )
    connection.execute(
        "INSERT INTO sample SELECT $end - to_milliseconds(($intervals::BIGINT - i) * $ms), "
        "(SELECT max(series_id) FROM series), 22 + random() * 20, 'ok' FROM range($intervals) AS t(i)",
        values,
    )
    connection.execute(
        "INSERT INTO query_latency SELECT $end - to_milliseconds(($intervals::BIGINT - i) * $ms), "
        "$end - to_milliseconds(($intervals::BIGINT - i + 1) * $ms), "
        "'bench', 'shop', 'activity', low, low * 1.1, 20 "
        "FROM range($intervals) AS t(i), (SELECT 20000 * pow(1.3, k) AS low FROM range(10) AS k(k))",
        values,
    )
    connection.execute("CHECKPOINT")
    connection.close()
    store.close()
    return rows
