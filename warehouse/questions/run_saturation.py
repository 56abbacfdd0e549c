"""Questions about where a load test broke: requests, generator, hosts, databases on one time axis."""

from __future__ import annotations

from dataclasses import asdict

import numpy as np
import pyarrow as pa

from warehouse.analysis.degradation import windows_of
from warehouse.analysis.requests import Floats
from warehouse.analysis.resources import Queries, Resources, Track
from warehouse.analysis.saturation import saturated_first, unknown
from warehouse.questions import run_tiers
from warehouse.questions.asking import Statement
from warehouse.questions.run_compare import TIMED, requests_in
from warehouse.questions.run_parts import COUNTS, LOAD, PERCENTILES, RANKS, OneRun, elapsed_s
from warehouse.questions.run_tiers import CELL_COUNTS, CELLS, CHOSEN

HOST = ("cpu_ratio", "memory_used_ratio", "swap_used_ratio", "load1", "disk_busy_ratio")
PROCESS = ("process_cpu_ratio", "process_count", "process_memory_bytes")
DATABASE = (
    *("connections", "connections_active", "connections_idle_in_transaction", "connections_waiting"),
    *("connections_usable", "connections_used_ratio", "lock_waits"),
)
SHAPES_TOLD = 10
"""Query shapes that are told of: those that took the most time during the run."""

LATE_S = 30
"""A sample so long after the end may still tell of the run: it covers the time since the one before."""

EARLY_S = 30
"""How long before a run it is looked for what was at its limit already."""

SAMPLES = f"""
    SELECT kind, target, object, metric, unit, ts, value
    FROM sample JOIN series USING (series_id), chosen
    WHERE ts >= began_at - INTERVAL {EARLY_S} SECOND AND ts <= until_at + INTERVAL {LATE_S} SECOND
        AND value IS NOT NULL
        AND (kind = 'host' AND list_contains($host, metric)
            OR kind = 'database' AND list_contains($database, metric))
"""
"""SQL for what was sampled of hosts and databases while the chosen run lasted, just before and after."""

STATS = f"""
    SELECT target, database, shape_id, coalesce(query, shape) AS text, since_ts, ts, calls, total_us
    FROM query_stat JOIN query_shape USING (shape_id), chosen
    WHERE ts > began_at AND since_ts < until_at + INTERVAL {LATE_S} SECOND
"""
"""SQL for the query statistics of the time of the chosen run."""

NAMED = """
    CASE
        WHEN object = '' OR kind = 'database' THEN target
        WHEN starts_with(metric, 'process_') THEN target || '/' || object
        ELSE target || ' ' || object
    END
"""
"""SQL for what a sample is of: the host or database, its process or its device."""

FINDING = pa.schema(
    [
        ("resource", pa.string()),
        ("object", pa.string()),
        ("evidence", pa.string()),
        ("at_elapsed_s", pa.float64()),
        ("confidence", pa.string()),
    ]
)


def run_saturation(asked: OneRun) -> Statement:
    """The first resource that saturated in a load test, with its evidence, or `unknown` and why."""
    users = f"'at_s': {elapsed_s()}, 'worker': worker, 'users': users, 'cpu': cpu_ratio, 'dropped': dropped"
    return Statement(
        f"""
        WITH chosen AS ({CHOSEN})
        SELECT {elapsed_s("until_at")} AS length_s, chosen.raw_deleted_at,
            json_extract_string(plan, '$.arrivals') AS arrivals,
            (SELECT {TIMED} FROM load_request JOIN chosen USING (run_no) WHERE {LOAD}) AS requests,
            (SELECT list({{{users}}} ORDER BY ts) FROM load_beat JOIN chosen USING (run_no)) AS beats,
            (SELECT list({{'kind': kind, 'object': {NAMED}, 'metric': metric, 'at_s': {elapsed_s()},
                'value': value}} ORDER BY ts) FROM ({SAMPLES}), chosen) AS samples,
            (SELECT list({{'target': target, 'shape': shape_id, 'text': text,
                'from_s': {elapsed_s("since_ts")}, 'to_s': {elapsed_s()}, 'calls': calls,
                'total_ms': total_us / 1000}} ORDER BY ts) FROM ({STATS}), chosen) AS stats
        FROM chosen JOIN run USING (run_no)
        """,
        asked.values(host=[*HOST, *PROCESS], database=list(DATABASE)),
        finish=_found,
    )


def run_resources(asked: OneRun) -> Statement:
    """All that was measured during a load test, by seconds since its load began.

    Kinds: load (rps, p95_ms, error_ratio, users, each second), generator (by process), host, process,
    database, and query (`sessions`: how many were busy with a shape on average; the ten that took most time).
    """
    second = f"floor({elapsed_s()})"
    none = ", ".join("NULL" for _ in CELLS)
    return Statement(
        f"""
        WITH chosen AS ({CHOSEN}),
        counted AS (
            SELECT second, {COUNTS}
            FROM (SELECT {second} AS second, outcome, {RANKS}
                FROM load_request JOIN chosen USING (run_no) WHERE {LOAD} AND NOT by_cells)
            GROUP BY second
            UNION ALL BY NAME
            SELECT second::DOUBLE AS second, {CELL_COUNTS}
            FROM run_cell JOIN chosen USING (run_no) WHERE by_cells AND {LOAD} GROUP BY second
        ),
        ranked AS (
            SELECT second, requests, n, failures / requests AS error_ratio, {PERCENTILES}, {", ".join(CELLS)}
            FROM counted
        ),
        beating AS (
            SELECT {second} AS second, worker, arg_max(users, ts) AS users, max(cpu_ratio) AS cpu,
                max(dropped) AS dropped, max(memory_bytes) AS memory, max(worker) OVER () AS last_worker
            FROM load_beat JOIN chosen USING (run_no) GROUP BY 1, 2
        ),
        stats AS ({STATS}),
        foremost AS (
            SELECT shape_id FROM stats GROUP BY shape_id ORDER BY sum(total_us) DESC LIMIT {SHAPES_TOLD}
        )
        SELECT second AS elapsed_s, 'load' AS kind, '' AS object, 'rps' AS metric, '1/s' AS unit,
            requests::DOUBLE AS value
        FROM ranked
        UNION ALL BY NAME
        SELECT second AS elapsed_s, 'load' AS kind, '' AS object, 'p95_ms' AS metric, 'ms' AS unit,
            p95_ms AS value, {", ".join(CELLS)}
        FROM ranked WHERE n > 0
        UNION ALL
        SELECT second, 'load', '', 'error_ratio', 'ratio', error_ratio, {none} FROM ranked
        UNION ALL
        SELECT second, 'load', '', 'users', '1', sum(users) FILTER (worker > 0 OR last_worker = 0),
            {none}
        FROM beating GROUP BY second
        UNION ALL
        SELECT second, 'generator', 'process ' || worker, 'cpu_ratio', 'ratio', cpu, {none}
        FROM beating WHERE cpu IS NOT NULL
        UNION ALL
        SELECT second, 'generator', 'process ' || worker, 'dropped_total', '1', dropped, {none}
        FROM beating
        UNION ALL
        SELECT second, 'generator', 'process ' || worker, 'memory_bytes', 'bytes', memory, {none}
        FROM beating WHERE memory IS NOT NULL
        UNION ALL
        SELECT {elapsed_s()}, CASE WHEN starts_with(metric, 'process_') THEN 'process' ELSE kind END, {NAMED},
            metric, unit, value, {none}
        FROM ({SAMPLES}), chosen WHERE ts >= began_at
        UNION ALL
        SELECT {elapsed_s()}, 'query', target || ': ' || text, 'sessions', '1',
            sum(total_us) / greatest(epoch_us(ts) - epoch_us(since_ts), 1), {none}
        FROM stats JOIN foremost USING (shape_id), chosen
        GROUP BY ts, since_ts, began_at, target, text
        """,
        asked.values(host=[*HOST, *PROCESS], database=list(DATABASE)),
        order="kind, object, metric, elapsed_s",
        finish=run_tiers.merged({"value": 95}),
    )


def _found(table: pa.Table) -> pa.Table:
    """What saturated in the run; nothing where there is none."""
    if not table.num_rows:
        return FINDING.empty_table()
    row = {name: table[name][0] for name in table.column_names}
    deleted_at = row["raw_deleted_at"].as_py()
    if deleted_at is not None:
        why = f"single requests were deleted on {deleted_at:%Y-%m-%d}"
        return pa.Table.from_pylist([asdict(unknown(why))], FINDING)
    requests = requests_in(row["requests"])
    beats = row["beats"].as_py() or []
    length_s = row["length_s"].as_py() or 0.0
    at_s, users = _users(beats) if row["arrivals"].as_py() == "users" else _steady_rate(length_s)
    windows = windows_of(requests.within([(0.0, length_s)]), length_s, at_s, users)
    resources = Resources(
        (*_generator(beats), *_tracks(row["samples"].as_py() or [])), _queries(row["stats"].as_py() or [])
    )
    return pa.Table.from_pylist([asdict(saturated_first(windows, resources))], FINDING)


def _users(beats: list[dict[str, float]]) -> tuple[Floats, Floats]:
    """Users at each second, of all processes that have any: with workers the leading one has none."""
    workers = {beat["worker"] for beat in beats}
    counted = workers - {0} if len(workers) > 1 else workers
    seconds: dict[int, dict[float, float]] = {}
    for beat in beats:
        if beat["worker"] in counted:
            seconds.setdefault(int(beat["at_s"]), {})[beat["worker"]] = beat["users"]
    at_s = sorted(second for second in seconds if second >= 0)
    return (
        np.array(at_s, dtype=np.float64),
        np.array([sum(seconds[second].values()) for second in at_s], dtype=np.float64),
    )


def _steady_rate(length_s: float) -> tuple[Floats, Floats]:
    """Open arrivals come at one rate all the time: the load never rises."""
    at_s = np.arange(max(1.0, length_s))
    return at_s, np.ones(len(at_s))


def _generator(beats: list[dict[str, float]]) -> list[Track]:
    """CPU and dropped arrivals of each process of the load generator."""
    tracks = []
    for worker in sorted({beat["worker"] for beat in beats}):
        own = [beat for beat in beats if beat["worker"] == worker]
        name = f"process {worker:.0f}"
        for metric, key in (("generator_cpu_ratio", "cpu"), ("generator_dropped_total", "dropped")):
            told = [(beat["at_s"], beat[key]) for beat in own if beat[key] is not None]
            if told:
                at_s, values = (np.array(side, dtype=np.float64) for side in zip(*told, strict=True))
                tracks.append(Track("generator", name, metric, at_s, values))
    return tracks


def _tracks(samples: list[dict[str, object]]) -> list[Track]:
    series: dict[tuple[str, str, str], list[tuple[object, object]]] = {}
    for sample in samples:
        key = (str(sample["kind"]), str(sample["object"]), str(sample["metric"]))
        series.setdefault(key, []).append((sample["at_s"], sample["value"]))
    tracks = []
    for (kind, name, metric), told in series.items():
        at_s, values = (np.array(side, dtype=np.float64) for side in zip(*told, strict=True))
        tracks.append(Track(kind, name, metric, at_s, values))
    return tracks


def _queries(stats: list[dict[str, object]]) -> list[Queries]:
    shapes: dict[tuple[object, str, str], list[tuple[object, ...]]] = {}
    for stat in stats:
        key = (stat["shape"], str(stat["target"]), str(stat["text"]))
        told = (stat["from_s"], stat["to_s"], stat["calls"], stat["total_ms"])
        shapes.setdefault(key, []).append(told)
    return [
        Queries(target, text, *(np.array(side, dtype=np.float64) for side in zip(*told, strict=True)))
        for (_, target, text), told in shapes.items()
    ]
