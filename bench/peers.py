"""Hours of 30 days as ClickHouse and Prometheus answer them, from the same attempts as Perfhouse."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import orjson
import polars as pl
import pyarrow.parquet

from bench.service import free_port, process
from warehouse.replies import frame_of
from warehouse.store import Store

DAYS = 30
HOUR = timedelta(hours=1)
START_S = 30.0
BOUNDS_MS = (1, 2, 5, 10, 20, 30, 50, 75, 100, 200, 500, 1000, 2000, 5000)
"""Of Prometheus' classic histogram."""

CELLS = """
SELECT ts, target, object AS endpoint, attempts, n_ok, timeouts, max_us, p50_us, p95_us,
    coalesce(p99_us, max_us) AS p99_us
FROM attempt_cell_1h JOIN series USING (series_id)
WHERE ts >= $start AND ts < $end
ORDER BY ts, target, endpoint
"""
FINISHED = """
SELECT ts, target, endpoint, attempts, n_ok + timeouts AS n, timeouts, attempts - n_ok AS errors,
    p50_us / 1000 AS p50_ms, p95_us / 1000 AS p95_ms, p99_us / 1000 AS p99_ms, max_us / 1000 AS max_ms
FROM bench.sealed
"""
"""The numbers that Perfhouse answers, of ClickHouse."""

ATTEMPTS = """
SELECT ts, object AS endpoint, coalesce(total_us, deadline_us) AS us
FROM attempt JOIN series USING (series_id)
WHERE ts >= $start AND ts < $end AND outcome IN ('ok', 'timeout')
"""

BLOCKS = ("promtool", "tsdb", "create-blocks-from", f"--max-block-duration={24 * (DAYS + 1)}h")
"""One block: the text is read again for each."""

Answer = Callable[[], int]
"""Asks, reads the answer to its end, and tells how many cells it held."""


@dataclass(frozen=True)
class Data:
    """What all engines hold: finished percentiles per endpoint and hour, and single latencies (µs)."""

    start: datetime
    end: datetime
    cells: pl.DataFrame
    attempts: pl.DataFrame


def read(store: Store, end: datetime) -> Data:
    """The last 30 days before `end`, a full hour (UTC, naive)."""
    start = end - timedelta(days=DAYS)
    cursor = store.cursor()
    cells, attempts = (
        pl.from_arrow(cursor.sql(sql, params={"start": start, "end": end}).to_arrow_table())
        for sql in (CELLS, ATTEMPTS)
    )
    cursor.close()
    assert isinstance(cells, pl.DataFrame)
    assert isinstance(attempts, pl.DataFrame)
    return Data(start, end, cells, attempts)


@contextmanager
def running(data: Data, folder: Path) -> Iterator[Mapping[str, Answer]]:
    """The engines that are installed here, filled; each answers percentiles per endpoint and hour."""
    with ExitStack() as stack:
        found: dict[str, Answer] = {}
        if shutil.which("prometheus") and shutil.which("promtool"):
            found |= stack.enter_context(_prometheus(data, folder))
        found |= stack.enter_context(_clickhouse(data, folder))
        yield found


@contextmanager
def _clickhouse(data: Data, folder: Path) -> Iterator[dict[str, Answer]]:
    for name, frame in (("cells", data.cells), ("attempts", data.attempts)):
        pyarrow.parquet.write_table(frame.to_arrow(), folder / f"{name}.parquet")
    port = free_port()
    command = [sys.executable, "-m", "bench.clickhouse", str(folder / "clickhouse"), str(port)]
    with process(command), httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=120) as client:

        def run(sql: str) -> int:
            answer = client.post("/", content=sql)
            answer.raise_for_status()
            return frame_of(answer.content).height if answer.content else 0

        _await(lambda: run("SELECT 1"))
        levels = "0.5, 0.95, 0.99"
        states = {"t-digest": f"quantilesTDigest({levels})", "DD": f"quantilesDD(0.01, {levels})"}
        key = "ts DateTime('UTC'), endpoint LowCardinality(String)"
        run("CREATE DATABASE bench ENGINE = Atomic")
        run(
            "CREATE TABLE bench.sealed (ts DateTime('UTC'), target LowCardinality(String), "
            "endpoint LowCardinality(String), attempts UInt32, n_ok UInt32, timeouts UInt32, max_us UInt32, "
            "p50_us UInt32, p95_us UInt32, p99_us UInt32) ENGINE = MergeTree ORDER BY (ts, target, endpoint)"
        )
        run(f"INSERT INTO bench.sealed SELECT * FROM file('{folder}/cells.parquet', Parquet)")
        for name, function in states.items():
            run(
                f"CREATE TABLE bench.`{name}` ({key}, state AggregateFunction({function}, UInt32)) "
                "ENGINE = AggregatingMergeTree ORDER BY (ts, endpoint)"
            )
            run(
                f"INSERT INTO bench.`{name}` SELECT toStartOfHour(ts) AS hour, endpoint, "
                f"{function.replace('(', 'State(', 1)}(toUInt32(assumeNotNull(us))) "
                f"FROM file('{folder}/attempts.parquet', Parquet) GROUP BY hour, endpoint"
            )
            run(f"OPTIMIZE TABLE bench.`{name}` FINAL")
        run("OPTIMIZE TABLE bench.sealed FINAL")
        where = f"WHERE ts >= '{data.start:%F %T}' AND ts < '{data.end:%F %T}'"
        ending = "ORDER BY ts, endpoint SETTINGS output_format_arrow_low_cardinality_as_dictionary = 1"
        asked = {"ClickHouse, finished percentiles": f"{FINISHED} {where} {ending}"}
        for name, function in states.items():
            merged = function.replace("(", "Merge(", 1)
            asked[f"ClickHouse, {name} states of hours"] = (
                f"SELECT ts, endpoint, {merged}(state) FROM bench.`{name}` {where} "
                f"GROUP BY ts, endpoint {ending}"
            )
        yield {name: lambda sql=sql: run(sql) for name, sql in asked.items()}  # type: ignore[misc]


@contextmanager
def _prometheus(data: Data, folder: Path) -> Iterator[dict[str, Answer]]:
    text = folder / "series.om"
    with text.open("w", encoding="utf-8") as file:
        _write_finished(data, file)
        _write_histograms(data, file)
        file.write("# EOF\n")
    kept = folder / "prometheus"
    subprocess.run(
        [*BLOCKS, "openmetrics", str(text), str(kept)],
        check=True,
        capture_output=True,
    )
    text.unlink()
    config = folder / "prometheus.yml"
    config.write_text("scrape_configs: []\n", encoding="utf-8")
    port = free_port()
    command = [
        "prometheus",
        f"--config.file={config}",
        f"--storage.tsdb.path={kept}",
        "--storage.tsdb.retention.time=10y",
        f"--web.listen-address=127.0.0.1:{port}",
        "--log.level=error",
    ]
    first, last = ((at + HOUR).replace(tzinfo=UTC).timestamp() for at in (data.start, data.end - HOUR))
    with process(command), httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=120) as client:

        def run(*queries: str) -> int:
            cells = 0
            for query in queries:
                asked = {"query": query, "start": f"{first:.0f}", "end": f"{last:.0f}", "step": "3600"}
                answer = client.get("/api/v1/query_range", params=asked)
                answer.raise_for_status()
                cells += sum(len(one["values"]) for one in orjson.loads(answer.content)["data"]["result"])
            return cells // 3

        _await(lambda: run('{__name__=~"nothing"}'))
        merged = [
            f"histogram_quantile({level}, sum by (endpoint, le) (increase(latency_ms_bucket[1h])))"
            for level in (0.5, 0.95, 0.99)
        ]
        yield {
            "Prometheus, finished percentiles": lambda: run('{__name__=~"latency_p(50|95|99)_ms"}'),
            "Prometheus, histogram_quantile": lambda: run(*merged),
        }


def _write_finished(data: Data, file: Any) -> None:
    for name in ("p50", "p95", "p99"):
        file.write(f"# TYPE latency_{name}_ms gauge\n")
        for (endpoint,), rows in data.cells.group_by("endpoint", maintain_order=True):
            for at, us in zip(rows["ts"], rows[f"{name}_us"], strict=True):
                file.write(f'latency_{name}_ms{{endpoint="{endpoint}"}} {us / 1000} {_end_s(at)}\n')


def _write_histograms(data: Data, file: Any) -> None:
    """Counts so far at the end of each hour: a sample an hour, far fewer than scrapes would leave."""
    edges = np.array([-1.0, *BOUNDS_MS, np.inf]) * 1000
    file.write("# TYPE latency_ms histogram\n")
    hours = [data.start - HOUR + HOUR * number for number in range(DAYS * 24 + 1)]
    for (endpoint,), rows in data.attempts.sort("ts").group_by("endpoint", maintain_order=True):
        place = ((rows["ts"] - data.start).dt.total_milliseconds() // 3_600_000).to_numpy()
        counts, _, _ = np.histogram2d(place, rows["us"].to_numpy(), [np.arange(len(hours)), edges])
        so_far = np.concatenate([np.zeros((1, len(edges) - 1)), counts.cumsum(axis=0)]).cumsum(axis=1)
        for column, bound in enumerate((*BOUNDS_MS, "+Inf")):
            label = f'endpoint="{endpoint}",le="{bound}"'
            for at, count in zip(hours, so_far[:, column], strict=True):
                file.write(f"latency_ms_bucket{{{label}}} {count:.0f} {_end_s(at)}\n")


def _end_s(hour: datetime) -> int:
    """When an hour ends, in Unix seconds."""
    return int((hour + HOUR).replace(tzinfo=UTC).timestamp())


def _await(ask: Callable[[], object]) -> None:
    until = time.monotonic() + START_S
    while True:
        try:
            ask()
        except (httpx.TransportError, httpx.HTTPStatusError):
            if time.monotonic() > until:
                raise
            time.sleep(0.1)
        else:
            return
