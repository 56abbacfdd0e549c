"""A year of 100 M attempts: made, kept, asked and compacted; each figure beside what it should be."""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from importlib.metadata import version as _version
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np

from bench import peers
from bench.pages import range_change
from bench.report import Section, nearest_rank, spread
from bench.service import ROOT, free_port, scratch, wait_idle, warehouse
from warehouse.client import Client, pack
from warehouse.errors import PerfhouseError
from warehouse.footprint import measure as measure_room
from warehouse.model import Attempt, Batch, Outcome, now
from warehouse.settings import Settings, load
from warehouse.store import Store

ATTEMPTS = int(os.environ.get("PERFHOUSE_BENCH_ATTEMPTS", "100_000_000"))
DAYS = 365
WITH_PHASES = 5_000_000
ROUNDS, WARM_UP = 5, 5
PEOPLE = 20
CROWD_S = 30.0
ROWS_PER_S = 5_000
GROUPS = 20
HOUR = timedelta(hours=1)
HOURS: Mapping[str, Any] = {"buckets": 721}
"""So many buckets that those of 30 days are hours."""

Row = tuple[str, str, str, str]


def measure() -> Section:
    """Asks a copy of the history in PERFHOUSE_BENCH_HISTORY where that names one that `simulate` made."""
    with scratch() as folder:
        known = os.environ.get("PERFHOUSE_BENCH_HISTORY")
        made = folder / "year"
        rows = []
        if known:
            shutil.copytree(known, made)
        else:
            rows.append(_made(made))
        settings = load(made / "perfhouse.toml", {})
        store = Store(settings)
        rows += _room(store, folder)
        truths = _truths(store)
        data = peers.read(store, _last_hour(store))
        store.close()
        bandwidth = _bandwidth()
        with warehouse(settings) as child, Client.for_process(settings, "cli", timeout_s=120) as client:
            wait_idle(child)
            end = max(client.ask("endpoints")["newest_at"])
            rows.append(_error(client, truths))
            rows += _questions(client, end, bandwidth)
            rows += _beside_peers(client, data, folder)
            rows += [range_change(settings, name) for name in ("Overview", "API latency", "Hosts")]
            rows += _crowd(settings, client, end)
            rows.append(_compacted(client))
    return Section(
        "A year of attempts",
        f"""{ATTEMPTS:,} simulated attempts of 50 endpoints in {DAYS} days (`perfhouse simulate --no-phases`,
with phases {WITH_PHASES:,}), asked over HTTP and answered as Arrow. Median (middle half) of {ROUNDS} rounds
after {WARM_UP} to warm up, once the warehouse has done what its start set off. Windows of sealed time that
are asked again are answered from what was kept; beside them stand windows that nobody asked before, each
further back. People ask for windows that end at random seconds. The physical limit is what was read (here:
the bytes of the answer) at this machine's memory bandwidth of {bandwidth / 1e9:.1f} GB/s, measured by
copying. The other engines hold the same 30 days and were asked over HTTP in turns with Perfhouse for the
same numbers, read by the same code: ClickHouse ({_version("chdb")}, in a process of its own behind a bare
HTTP server, answering Arrow with a dictionary of names), Debian's Prometheus
(one sample an hour, far fewer than scrapes would leave; JSON). Finished percentiles are stored as Perfhouse
stores them, a row for each endpoint and hour.""",
        ("what", "measured", "target", "physical limit"),
        rows,
    )


def _made(folder: Path) -> Row:
    began = time.perf_counter()
    _simulate(folder, "--days", str(DAYS), "--attempts", str(ATTEMPTS), "--no-phases")
    took_s = time.perf_counter() - began
    return ("written, cells included", f"{took_s / 60:.1f} min", "at most 10 min", "")


def _simulate(folder: Path, *options: str) -> None:
    ports = ("--port", str(free_port()), "--dashboard-port", str(free_port()))
    command = [sys.executable, str(ROOT / "perfhouse.py"), "simulate", str(folder), *options, *ports]
    subprocess.run(command, check=True, cwd=ROOT)


def _room(store: Store, folder: Path) -> list[Row]:
    """Bytes of the tables, in whole blocks."""
    found = measure_room(store.cursor(), now().replace(tzinfo=None)).tables
    raw = found["attempt"]
    cells = sum(table.bytes for name, table in found.items() if name.startswith("attempt_cell_"))
    _simulate(folder / "phases", "--days", "7", "--attempts", str(WITH_PHASES))
    full = Store(load(folder / "phases" / "perfhouse.toml", {}))
    rich = measure_room(full.cursor(), now().replace(tzinfo=None)).tables["attempt"]
    full.close()
    return [
        ("raw, bytes a sample", f"{raw.bytes / raw.rows:.2f}", "at most 4.5", ""),
        ("raw with phases, bytes and loop lag", f"{rich.bytes / rich.rows:.2f}", "", ""),
        ("all cells beside raw", f"{cells / raw.bytes:.0%}", "at most 25 %", ""),
    ]


@dataclass(frozen=True)
class Truth:
    """Percentiles of pooled attempts (µs), and how to ask for them."""

    asked: dict[str, Any]
    us: Sequence[int]


def _truths(store: Store) -> list[Truth]:
    """The nearest ranks of random endpoints of random windows, from single attempts."""
    connection = store.cursor()
    random = np.random.default_rng(7)
    names = connection.execute("SELECT series_id, target, object FROM series WHERE kind = 'probe'").fetchall()
    first, last = connection.execute("SELECT min(ts), max(ts) FROM attempt").fetchall()[0]
    found = []
    for _ in range(GROUPS):
        chosen = [names[place] for place in random.choice(len(names), random.integers(1, 8), replace=False)]
        start = first + (last - first) * random.uniform(0, 0.9)
        start = start.replace(second=0, microsecond=0, minute=start.minute // 5 * 5)
        end = start + timedelta(minutes=5 * int(random.integers(6, 5000)))
        targets, endpoints = {name[1] for name in chosen}, {name[2] for name in chosen}
        ids = [number for number, target, name in names if target in targets and name in endpoints]
        ((us,),) = connection.execute(
            "SELECT quantile_disc(coalesce(total_us, deadline_us), [0.5, 0.95, 0.99]) FROM attempt "
            "WHERE ts >= ? AND ts < ? AND outcome IN ('ok', 'timeout') AND list_contains(?, series_id)",
            [start, end, ids],
        ).fetchall()
        window = {"start": start.replace(tzinfo=UTC), "end": end.replace(tzinfo=UTC)}
        found.append(Truth({**window, "target": tuple(targets), "endpoint": tuple(endpoints)}, us))
    connection.close()
    return found


def _error(client: Client, truths: Sequence[Truth]) -> Row:
    worst, tiers = 0.0, set()
    for truth in truths:
        (told,) = client.ask("latency_summary", merged=True, **truth.asked).to_dicts()
        tiers.add(told["tier"])
        for name, us in zip(("p50_ms", "p95_ms", "p99_ms"), truth.us, strict=True):
            worst = max(worst, abs(told[name] * 1000 - us) / us)
    what = f"worst error of {GROUPS} random groups, merged ({', '.join(sorted(tiers))})"
    return (what, f"{worst:.2%}", "at most 1 %", "")


def _bandwidth() -> float:
    """Bytes a second that are read and written by copying what fits no cache; the best of five."""
    source = np.ones(32_000_000)
    target = np.empty_like(source)
    best = 0.0
    for _ in range(5):
        began = time.perf_counter()
        np.copyto(target, source)
        best = max(best, 2 * source.nbytes / (time.perf_counter() - began))
    return best


def _questions(client: Client, end: datetime, bandwidth: float) -> list[Row]:
    """The questions of the charts, each over what it needs: one window again and again, and new ones."""
    one = client.ask("endpoints").row(0, named=True)
    single = {"target": [one["target"]], "endpoint": [one["endpoint"]]}
    hour = end.replace(minute=0, second=0, microsecond=0)
    day = hour.replace(hour=0)
    asked: tuple[tuple[str, datetime, datetime, Mapping[str, Any], str, timedelta], ...] = (
        ("per endpoint and hour, 30 days", hour - timedelta(days=30), hour, HOURS, "at most 25 ms", HOUR),
        (
            "all endpoints merged, per day, 1 year",
            day - timedelta(days=364),
            day,
            {"merged": True, "buckets": 365},
            "at most 50 ms",
            24 * HOUR,
        ),
        ("last 24 h per 5 minutes, 1 endpoint", end - 24 * HOUR, end, single, "at most 15 ms", HOUR / 12),
    )
    rows = []
    for what, start, until, more, target, step in asked:
        for how, back in (("again", timedelta()), ("a window not asked before", step)):
            times = []
            for turn in range(WARM_UP + ROUNDS):
                window = {"start": start - back * (turn + 1), "end": until - back * (turn + 1)}
                began = time.perf_counter()
                frame = client.ask("percentile_trend", **window, **more)
                times.append((time.perf_counter() - began) * 1000)
            cells, size = frame.height, frame.estimated_size()
            tiers = ", ".join(sorted(frame["tier"].unique()))
            limit = f"{size / bandwidth * 1000:.2f} ms ({size / 1e6:.1f} MB)"
            rows.append((f"{what}, {how} ({cells:,} rows, {tiers})", spread(times[WARM_UP:]), target, limit))
    return rows


def _last_hour(store: Store) -> datetime:
    """The last full hour of attempts (UTC, naive)."""
    newest: datetime = store.cursor().execute("SELECT max(ts) FROM attempt").fetchall()[0][0]
    return newest.replace(minute=0, second=0, microsecond=0)


def _beside_peers(client: Client, data: peers.Data, folder: Path) -> list[Row]:
    """Percentiles per endpoint and hour over 30 days, each engine in its turn."""
    start, end = (at.replace(tzinfo=UTC) for at in (data.start, data.end))

    def own() -> int:
        return client.ask("percentile_trend", start=start, end=end, **HOURS).height

    back = count(2 * (WARM_UP + ROUNDS))

    def fresh() -> int:
        by = HOUR * next(back)
        return client.ask("percentile_trend", start=start - by, end=end - by, **HOURS).height

    times: dict[str, list[float]] = {}
    cells: dict[str, int] = {}
    with peers.running(data, folder) as engines:
        asked = {"Perfhouse": own, "Perfhouse, a window not asked before": fresh, **engines}
        for turn in range(WARM_UP + ROUNDS):
            for name, ask in asked.items():
                began = time.perf_counter()
                cells[name] = ask()
                if turn >= WARM_UP:
                    times.setdefault(name, []).append((time.perf_counter() - began) * 1000)
    ours = [statistics.median(measured) for name, measured in times.items() if name.startswith("Perfhouse")]
    rows = []
    for name, measured in times.items():
        ratios = " and ".join(f"{statistics.median(measured) / own_ms:.1f}x" for own_ms in ours)
        if name.startswith("Perfhouse"):
            target = ""
        elif "finished" in name:
            target = f"{ratios} ours; over 1x is asked for"
        else:
            target = f"{ratios} ours; at least 10x is asked for"
        rows.append((f"in turns: {name} ({cells[name]:,} cells)", spread(measured), target, ""))
    return rows


@dataclass
class Crowd:
    """What people and a collector met."""

    asked_ms: list[float] = field(default_factory=list)
    acknowledged_ms: list[float] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    rows: int = 0


PAGE = ("percentile_trend", "latency_summary", "errors_by_class", "phase_breakdown", "latency_heatmap")
"""What the API latency page asks."""


def _crowd(settings: Settings, client: Client, end: datetime) -> list[Row]:
    """People open the API latency page again and again while a collector sends."""
    crowd, over = Crowd(), threading.Event()

    def person(number: int) -> None:
        random = np.random.default_rng(number)
        with Client.for_process(settings, "dashboard", timeout_s=60, retries=0) as own:
            while not over.wait(float(random.uniform(0.5, 1.5))):
                days = int(random.choice([1, 7, 30, 365]))
                until = end - timedelta(seconds=int(random.integers(3600)))
                for question in PAGE:
                    _timed(
                        partial(own.ask, question, start=until - timedelta(days=days), end=until),
                        crowd.asked_ms,
                        crowd.errors,
                    )

    def collector() -> None:
        with Client.for_process(settings, "collect", timeout_s=60, source="simulation") as own:
            due = time.perf_counter()
            while not over.wait(max(0.0, due - time.perf_counter())):
                batch = _batch(crowd.rows)
                _timed(partial(own.send, batch.batch_id, pack(batch)), crowd.acknowledged_ms, crowd.errors)
                crowd.rows += len(batch.attempts)
                due += 1.0

    threads = [threading.Thread(target=person, args=(number,)) for number in range(PEOPLE)]
    threads.append(threading.Thread(target=collector))
    began = now()
    for thread in threads:
        thread.start()
    time.sleep(CROWD_S)
    over.set()
    for thread in threads:
        thread.join()
    stored = client.count("attempts", start=began - timedelta(seconds=5), end=now(), target=["bench"])
    what = f"{PEOPLE} people, {crowd.rows / CROWD_S:,.0f} rows/s:"
    lost = f"{crowd.rows - stored:,} of {crowd.rows:,} rows dropped, {len(crowd.errors)} errors"
    return [
        (f"{what} a question, p95 ({len(crowd.asked_ms):,})", _p95(crowd.asked_ms), "at most 1,000 ms", ""),
        (f"{what} ingest acknowledged, p95", _p95(crowd.acknowledged_ms), "at most 250 ms", ""),
        (f"{what} lost", lost, "nothing dropped", ""),
    ]


def _timed(work: Callable[[], object], times: list[float], errors: list[str]) -> None:
    began = time.perf_counter()
    try:
        work()
    except PerfhouseError as error:
        errors.append(str(error))
    times.append((time.perf_counter() - began) * 1000)


def _batch(number: int) -> Batch:
    at = now()
    attempts = tuple(
        Attempt(
            at=at,
            target="bench",
            endpoint=f"GET /{place % 50}",
            outcome=Outcome.OK,
            status=200,
            total_us=5000 + place,
            deadline_us=3_000_000,
        )
        for place in range(ROWS_PER_S)
    )
    return Batch(batch_id=f"crowd-{at:%H%M%S%f}-{number}", attempts=attempts)


def _p95(values: Sequence[float]) -> str:
    return f"{nearest_rank(values, 0.95):,.0f} ms"


def _compacted(client: Client) -> Row:
    began = time.perf_counter()
    *_, end = client.compact()
    if end["part"] != "end":
        return ("compact", f"refused: {end['message']}", "", "")
    took_s = time.perf_counter() - began
    text = f"{took_s:.0f} s; storing waited {end['waited_s']:.1f} s; "
    text += f"{end['before_bytes'] / 1e6:,.0f} to {end['after_bytes'] / 1e6:,.0f} MB"
    return (f"compact, {end['rows']:,} rows", text, "questions wait at most 5 s", "")
