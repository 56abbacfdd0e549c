"""`status` on the endpoints: what fails or is flaky is a problem, and no exit code 0."""

import json
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest

from cli.status import lines, look
from tests.cli.running import perfhouse
from tests.servers.warehouse import WarehouseProcess, running_warehouse
from tests.warehouse.records import attempt
from warehouse.client import pack
from warehouse.model import Attempt, Batch, Outcome, now

FIELDS = {"target", "endpoint", "state", "since_at", "last_at", "last_outcome", "last_status"}
FIELDS |= {"recent_attempts", "recent_errors"}
FAILED: dict[str, Any] = {"ms": None}
ANSWERED_500: dict[str, Any] = {"outcome": Outcome.BAD_STATUS, "status": 500}
OK: dict[str, Any] = {}


def history(endpoint: str, last_at: datetime, *attempts: dict[str, Any], every_s: int = 10) -> list[Attempt]:
    """Attempts up to an instant, the last one there."""
    return [
        attempt(last_at - timedelta(seconds=every_s * back), endpoint=endpoint, **fields)
        for back, fields in enumerate(reversed(attempts))
    ]


def put(process: WarehouseProcess, name: str, *histories: list[Attempt]) -> None:
    batch = Batch(batch_id=name, attempts=tuple(each for history in histories for each in history))
    with process.client("collect") as client:
        assert client.send(batch.batch_id, pack(batch)).stored


@pytest.fixture(scope="module")
def at() -> datetime:
    return now() - timedelta(seconds=1)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, at: datetime) -> Iterator[WarehouseProcess]:
    with running_warehouse(tmp_path_factory.mktemp("endpoints")) as process:
        put(
            process,
            "endpoints-1",
            history("well", at, *[OK] * 20),
            history("down", at, OK, OK, *[FAILED] * 3),
            history("broken", at, OK, ANSWERED_500),
            history("shaky", at, OK, *[FAILED] * 5, *[OK] * 14),
            history("ages", at, *[FAILED] * 60, every_s=60),
            history("removed", at - timedelta(minutes=30), OK, FAILED),
            history("forgotten", at - timedelta(hours=3), FAILED),
        )
        yield process


def test_each_failing_or_flaky_endpoint_is_a_problem(served: WarehouseProcess, at: datetime) -> None:
    report = look(served.settings)
    told = [problem for problem in report["problems"] if " of shop " in problem]
    assert told == [
        "ages of shop fails for an hour or longer (timeout)",
        f"broken of shop fails since {at:%H:%M:%S} UTC (status 500)",
        f"down of shop fails since {at - timedelta(seconds=20):%H:%M:%S} UTC (timeout)",
        "shaky of shop is flaky: 5 of 20 recent attempts failed",
    ]
    text = lines(report)
    assert "endpoints  1 of 5 answer as expected, 1 no longer probed" in text
    assert all(f"! {problem}" in text for problem in told)


def test_json_has_the_endpoints(served: WarehouseProcess) -> None:
    done = perfhouse("status", "--json", config=served.config)
    assert done.returncode == 1
    endpoints = json.loads(done.stdout)["endpoints"]
    assert all(set(each) == FIELDS for each in endpoints)
    assert {each["endpoint"]: each["state"] for each in endpoints} == {
        "ages": "failing",
        "broken": "failing",
        "down": "failing",
        "removed": "gone",
        "shaky": "flaky",
        "well": "ok",
    }
    (broken,) = (each for each in endpoints if each["endpoint"] == "broken")
    assert (broken["last_outcome"], broken["last_status"], broken["recent_errors"]) == ("bad_status", 500, 1)
