"""Load tests of a made-up history: one a week, requested, run and spooled as real ones are stored."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from warehouse import runs
from warehouse.plan import Plan, make_plan
from warehouse.run_model import RunRequest
from warehouse.settings import parse
from warehouse.simulation.attempts import OK, OUTCOMES
from warehouse.simulation.changes import DAY_MS, Change, of_kind
from warehouse.simulation.samples import SOURCE
from warehouse.simulation.scene import Endpoint, Random, Scene

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

EVERY_MS = 7 * DAY_MS
LASTS_S = 60
USERS = 20
RAMP_S = 10
REQUESTS_PER_S = 50
FAILING_SHARE = 0.002

CONFIG = """
[[target]]
name = "{target}"
url = "http://{target}.invalid"
[target.load]
users = 100
requests_per_s = 1000
duration_s = 600
environment = "simulated"
{endpoints}
[[preset]]
name = "weekly"
criteria = ["p95 < 2s", "errors < 1%"]
stage = [{{ duration_s = {ramp}, users = {users} }}, {{ duration_s = {rest}, users = {users} }}]
"""
"""What the load tests were requested under. The target's name can never be resolved."""


def instants(from_ms: int, until_ms: int) -> list[int]:
    """When each load test began: weekly, the last one an hour before the end."""
    last = until_ms - 3_600_000
    return list(range(last, from_ms, -EVERY_MS))[::-1]


def store(
    connection: DuckDBPyConnection, scene: Scene, changes: Sequence[Change], at_ms: int, random: Random
) -> None:
    """Store one load test that began at this instant, complete, to be judged."""
    target = scene.endpoints[0].target
    endpoints = [each for each in scene.endpoints if each.target == target]
    plan = _plan(target, endpoints)
    at = datetime.fromtimestamp(at_ms / 1000, UTC).replace(tzinfo=None)
    name = f"r{at:%Y%m%d%H%M%S}-{random.integers(0, 1 << 24):06x}"
    asked = RunRequest(target=target, preset=plan.preset, via="schedule", note="simulated")
    made = runs.request(connection, plan, asked, SOURCE, f"simulated-{name}")
    ended = at + timedelta(seconds=LASTS_S)
    run_no = runs.find(connection, made.run_id, "run_no")["run_no"]
    columns = {
        "run_id": name,
        "state": "finished",
        "agent": SOURCE,
        "requested_at": at - timedelta(seconds=2),
        "claimed_at": at - timedelta(seconds=1),
        "started_at": at,
        "load_at": at,
        "load_ended_at": ended,
        "ended_at": ended,
        "heartbeat_at": ended,
        "complete_at": ended,
    }
    runs.change(connection, made.run_id, columns)
    connection.register("made_requests", _requests(endpoints, changes, at_ms, random))
    connection.execute(
        "INSERT INTO load_request SELECT ?, 0, ts, wait_us, service_us, bytes, user_no, status, endpoint, 0, "
        "outcome, 0 FROM made_requests",
        [run_no],
    )
    connection.unregister("made_requests")
    connection.execute(
        "INSERT INTO load_beat SELECT ?, 0, ?::TIMESTAMP + to_seconds(s), least(?, ? * s // ?), 0.25, 0, 0, "
        "90000000 FROM range(?) AS beats(s)",
        [run_no, at, USERS, USERS, RAMP_S, LASTS_S + 1],
    )


def _plan(target: str, endpoints: Sequence[Endpoint]) -> Plan:
    paths = "\n".join(
        f'[[target.endpoint]]\npath = "{each.label.removeprefix("GET ")}"\nname = "{each.label}"'
        for each in endpoints
    )
    text = CONFIG.format(target=target, endpoints=paths, users=USERS, ramp=RAMP_S, rest=LASTS_S - RAMP_S)
    return make_plan(parse(text, Path("simulated.toml"), {}), target, "weekly", None)


def _requests(
    endpoints: Sequence[Endpoint], changes: Sequence[Change], at_ms: int, random: Random
) -> pa.Table:
    """Requests in order of time, faster or slower as the endpoints were at that time."""
    count = LASTS_S * REQUESTS_PER_S
    ramped = np.sqrt(random.random(count // RAMP_S)) * RAMP_S
    offset_s = np.sort(np.concatenate([ramped, random.uniform(RAMP_S, LASTS_S, count - len(ramped))]))
    which = random.integers(0, len(endpoints), count)
    factors = np.ones(len(endpoints))
    for change in of_kind(changes, "latency", at_ms, at_ms + 1):
        for place, each in enumerate(endpoints):
            factors[place] *= (
                change.factor if (each.target, each.label) == (change.target, change.object) else 1
            )
    median = np.array([each.median_us for each in endpoints]) * factors
    sigma = np.array([each.sigma for each in endpoints])
    service = np.minimum(median[which] * np.exp(sigma[which] * random.standard_normal(count)), 9e6)
    outcome = np.where(random.random(count) < FAILING_SHARE, OUTCOMES.index("bad_status"), OK).astype(np.int8)
    instants_us = at_ms * 1000 + (offset_s * 1e6).astype(np.int64)
    return pa.table(
        {
            "ts": pa.array(instants_us).cast(pa.timestamp("us")),
            "wait_us": np.zeros(count, np.uint32),
            "service_us": service.astype(np.uint32),
            "bytes": np.array([each.size_bytes for each in endpoints], np.uint32)[which],
            "user_no": random.integers(0, USERS, count).astype(np.uint32),
            "status": np.where(outcome == OK, 200, 503).astype(np.uint16),
            "endpoint": which.astype(np.uint16),
            "outcome": pa.DictionaryArray.from_arrays(pa.array(outcome), pa.array(OUTCOMES)),
        }
    )
