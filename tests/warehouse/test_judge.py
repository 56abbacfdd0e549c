"""A run is judged when all of it is stored: criteria, generator, and what was not measured never passes."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.collectors.processes import wait_for
from tests.servers.warehouse import WarehouseProcess, running_warehouse
from tests.warehouse.loading import AGENT, TARGETS, beats, finish, launch, lines, rows, start
from warehouse.analysis.criteria import Result, Verdict
from warehouse.analysis.generator import is_generator_bound
from warehouse.client import Client
from warehouse.judge import verdict_of
from warehouse.store import Store

ORIGIN = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def served(without_runs: WarehouseProcess) -> WarehouseProcess:
    return without_runs


def judged(served: WarehouseProcess, agent: Client, made: np.ndarray, **told: object) -> dict[str, Any]:
    """A run of the preset with criteria that measured this."""
    run_id = launch(served, "judged")
    began = start(agent, run_id)
    made = made.copy()
    made["start_us"] += rows(began, [0])["start_us"][0]
    agent.send_rows(run_id, 0, "requests-0.bin", 0, made.tobytes())
    agent.send_events(run_id, 0, "events-0.jsonl", 0, lines(*beats(began, [0.3] * 20)))
    finish(agent, run_id, began, **told)
    with served.client("cli") as cli:
        (run,) = cli.ask("run", run_id=run_id).to_dicts()
    return run


def requests(ms: float, failed: int = 0) -> np.ndarray:
    """100 requests of each endpoint; so many of the second one failed."""
    epoch = rows(ORIGIN, [ms] * 200)
    epoch["start_us"] -= epoch["start_us"][0]
    epoch["endpoint"] = np.arange(200) % 2
    epoch["outcome"][1 : 2 * failed : 2] = 9
    return epoch


@pytest.mark.parametrize(
    ("ms", "failed", "told", "verdict", "each"),
    [
        (100, 0, {}, "pass", ["pass", "pass"]),
        (100, 10, {}, "fail", ["pass", "fail"]),
        (500, 0, {}, "fail", ["fail", "pass"]),
        (100, 0, {"state": "cancelled"}, "no_data", ["pass", "pass"]),
        (100, 0, {"state": "failed", "is_partial": True}, "no_data", ["pass", "pass"]),
        (500, 0, {"state": "cancelled"}, "fail", ["fail", "pass"]),
        (
            100,
            0,
            {"reason": "stopped by a criterion: p50 < 500ms: p50 was 600ms, n = 50"},
            "fail",
            ["fail", "pass"],
        ),
    ],
)
def test_criteria_are_judged_by_what_was_stored(
    served: WarehouseProcess,
    agent: Client,
    ms: float,
    failed: int,
    told: dict[str, object],
    verdict: str,
    each: list[str],
) -> None:
    run = judged(served, agent, requests(ms, failed), **told)
    assert run["verdict"] == verdict
    results = json.loads(run["criteria"])
    assert [result["text"] for result in results] == ["p50 < 500ms", "GET /cart: errors < 10%"]
    assert [result["verdict"] for result in results] == each
    assert [result["n"] for result in results][1] == 100
    assert run["is_generator_bound"] is False


def test_too_few_requests_and_none_at_all_are_no_data(served: WarehouseProcess, agent: Client) -> None:
    few = judged(served, agent, requests(1)[:10])
    assert (few["verdict"], few["p50_ms"], few["steady_p50_ms"]) == ("no_data", 1, None)
    run_id = launch(served, "judged")
    began = start(agent, run_id)
    assert finish(agent, run_id, began) == "no_data"
    with served.client("cli") as cli:
        (none,) = cli.ask("run", run_id=run_id).to_dicts()
    assert (none["requests"], none["p50_ms"], none["error_ratio"]) == (0, None, None)
    assert none["is_generator_bound"] is None
    assert json.loads(none["criteria"])[0]["why"]


def test_a_run_of_several_agents_is_judged_again_when_the_last_rows_are_there(
    served: WarehouseProcess, agent: Client
) -> None:
    run_id = launch(served, "shared")
    began = start(agent, run_id)
    agent.report_run(run_id, agent=AGENT, state="running", master_host="127.0.0.1", master_port=5557)
    assert agent.claim("other")["seats"]
    agent.send_rows(run_id, 1, "requests-1.bin", 0, rows(began, [1.0] * 10).tobytes())
    finish(agent, run_id, began)
    agent.send_rows(run_id, 2, "requests-2.bin", 0, rows(began, [1.0] * 10).tobytes())
    with served.client("cli") as cli:
        assert cli.ask("run", run_id=run_id)["requests"].item() == 10
        agent.report_run(run_id, agent="other", state="finished", complete=True)
        assert cli.ask("run", run_id=run_id)["requests"].item() == 20


def test_what_was_not_judged_before_a_kill_is_judged_at_the_next_start(tmp_path: Path) -> None:
    with running_warehouse(tmp_path, TARGETS) as served:
        run_id = launch(served, "judged")
        with served.client("agent") as agent:
            began = start(agent, run_id)
            agent.send_rows(run_id, 0, "requests-0.bin", 0, rows(began, [1.0] * 100).tobytes())
            finish(agent, run_id, began)
        served.stop()
        store = Store(served.settings)
        store.cursor().execute("UPDATE run SET judged_at = NULL, verdict = '', summary = NULL")
        store.close()
        served.start()
        with served.client("cli") as cli:
            wait_for(lambda: cli.ask("run", run_id=run_id)["judged_at"].item() is not None)
            assert cli.ask("run", run_id=run_id)["requests"].item() == 100


def test_no_data_is_worse_than_a_pass_and_a_fail_worse_than_both() -> None:
    def of(*verdicts: Verdict, state: str = "finished") -> str:
        return verdict_of([Result("x", verdict, None, 0, "") for verdict in verdicts], state).value

    assert of(Verdict.PASS, Verdict.NO_DATA) == "no_data"
    assert of(Verdict.PASS, Verdict.NO_DATA, Verdict.FAIL, state="failed") == "fail"
    assert of() == "no_data"


@pytest.mark.parametrize(
    ("cpu", "dropped", "bound"),
    [
        ([0.5] * 100, 0, False),
        ([0.5] * 100, 1, True),
        ([0.5] * 90 + [0.9] * 4 + [0.5] * 6, 0, False),
        ([0.5] * 90 + [0.9] * 5 + [0.5] * 5, 0, True),
        (([0.5] * 11 + [0.95]) * 8, 0, False),
        (([0.5] * 8 + [0.95]) * 10, 0, True),
        ([1.0] + [0.1] * 6, 0, False),
        ([float("nan")] * 10, 0, None),
        ([], 0, None),
    ],
)
def test_a_generator_at_its_limit_is_told(cpu: list[float], dropped: int, bound: bool | None) -> None:
    at_s = np.arange(len(cpu), dtype=np.float64)
    worker, users, drops = (np.full(len(cpu), each) for each in (0, 5, dropped))
    assert is_generator_bound(worker, at_s, users, np.array(cpu), drops) is bound


def test_one_busy_process_of_many_is_enough() -> None:
    at_s = np.tile(np.arange(20, dtype=np.float64), 3)
    worker = np.repeat([0, 1, 2], 20)
    cpu = np.where(worker == 2, 0.99, 0.2)
    users = np.where(worker == 0, 0, 5)
    assert is_generator_bound(worker, at_s, users, cpu, np.zeros(60, np.int64)) is True
    leads = np.where(worker == 0, 0.99, 0.2)
    assert is_generator_bound(worker, at_s, users, leads, np.zeros(60, np.int64)) is True


def test_a_process_that_starts_and_ends_is_not_at_its_limit() -> None:
    at_s, worker = np.arange(8, dtype=np.float64), np.zeros(8, np.int64)
    users, cpu = np.array([0, 0, 5, 5, 5, 5, 0, 0]), np.array([1, 1, 0.2, 0.2, 0.2, 0.2, 1, 1])
    assert is_generator_bound(worker, at_s, users, cpu, worker) is False
