"""A run's spool becomes rows exactly once, and the questions about it tell its numbers."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from loadtests import spool_format
from tests.servers.warehouse import WarehouseProcess, running_warehouse
from tests.warehouse.loading import AGENT, TARGETS, beats, finish, launch, lines, rows, start, us
from warehouse import runs
from warehouse.client import Client
from warehouse.errors import RefusedError
from warehouse.model import now
from warehouse.plan import make_plan
from warehouse.run_model import Claim, Report, RunRequest
from warehouse.run_orders import Agents, report
from warehouse.run_rows import ROW
from warehouse.settings import Settings, parse
from warehouse.store import Store


@pytest.fixture
def served(without_runs: WarehouseProcess) -> WarehouseProcess:
    return without_runs


def test_the_generator_writes_what_the_warehouse_reads() -> None:
    assert np.dtype(list(spool_format.FIELDS)) == ROW
    assert ROW.itemsize == spool_format.ROW_BYTES == 32


def test_every_request_is_stored_once_and_whole(served: WarehouseProcess, cli: Client, agent: Client) -> None:
    run_id = launch(served)
    began = start(agent, run_id)
    made = rows(began, [12.5, 3000], every_ms=0.123, wait_ms=2, outcome=["ok", "timeout"], user=7, bytes=42)
    made["status"], made["endpoint"], made["error"], made["part"] = [200, 0], [1, 0], [0, 3], [0, 2]
    body = made.tobytes()
    agent.send_events(run_id, 1, "events-1.jsonl", 0, lines(error(3, "too late")))
    assert agent.send_rows(run_id, 1, "requests-1.bin", 0, body) == {
        "batch_id": f"{run_id}:requests-1.bin:0",
        "stored": True,
        "rows": 2,
        "skipped": 0,
    }
    with ThreadPoolExecutor(8) as pool:
        again = pool.map(lambda _: agent.send_rows(run_id, 1, "requests-1.bin", 0, body)["stored"], range(8))
    assert not any(again)
    told = cli.ask("run_requests", run_id=run_id).drop("at", "elapsed_s").sort("start_us").to_dicts()
    assert told == [
        {
            "start_us": us(began) + 123 * number,
            "worker": 1,
            "user": 7,
            "label": label,
            "part": part,
            "outcome": outcome,
            "status": status,
            "wait_us": 2000,
            "service_us": service,
            "corrected_us": service + 2000,
            "bytes": 42,
            "error": text,
        }
        for number, (label, part, outcome, status, service, text) in enumerate(
            [
                ("GET /cart", "load", "ok", 200, 12_500, None),
                ("GET /", "setup", "timeout", None, 3_000_000, "too late"),
            ]
        )
    ]


def test_rows_survive_a_kill_and_are_known_when_they_come_again(tmp_path: Path) -> None:
    with running_warehouse(tmp_path, TARGETS) as served:
        run_id = launch(served)
        pieces = [rows(now(), [1.0] * 1000).tobytes() for _ in range(5)]
        with served.client("agent") as agent:
            start(agent, run_id)
            for number, piece in enumerate(pieces[:3]):
                agent.send_rows(run_id, 0, "requests-0.bin", number * 32_000, piece)
        served.kill()
        served.start()
        with served.client("agent") as agent, served.client("cli") as cli:
            stored = [
                agent.send_rows(run_id, 0, "requests-0.bin", number * 32_000, piece)["stored"]
                for number, piece in enumerate(pieces)
            ]
            assert stored == [False, False, False, True, True]
            assert cli.count("run_requests", run_id=run_id) == 5000
            assert agent.claim(AGENT, busy=[run_id])["run"] is None, "the run itself was kept too"


@pytest.mark.parametrize(
    ("file", "offset", "change", "field"),
    [
        ("requests 0.bin", 0, {}, "X-Batch-Id"),
        ("requests-0.bin", -1, {}, "X-Batch-Id"),
        ("requests-0.bin", 0, {"outcome": 13}, "rows.1.outcome"),
        ("requests-0.bin", 0, {"part": 4}, "rows.1.part"),
        ("requests-0.bin", 0, {"start_us": 0}, "rows.1.start_us"),
        ("requests-0.bin", 0, {"start_us": 2**62}, "rows.1.start_us"),
        ("requests-0.bin", 0, {"start_us": -(2**63)}, "rows.1.start_us"),
        ("requests-0.bin", 0, None, "body"),
    ],
)
def test_a_damaged_piece_is_named_and_nothing_of_it_is_stored(
    served: WarehouseProcess,
    cli: Client,
    agent: Client,
    file: str,
    offset: int,
    change: dict[str, int] | None,
    field: str,
) -> None:
    run_id = launch(served)
    made = rows(start(agent, run_id), [1.0, 1.0])
    for name, value in (change or {}).items():
        made[name][1] = value
    body = made.tobytes() if change is not None else made.tobytes()[:-1]
    with pytest.raises(RefusedError) as refused:
        agent.send_rows(run_id, 0, file, offset, body)
    assert (refused.value.status, refused.value.field) == (422, field)
    assert cli.count("run_requests", run_id=run_id) == 0


def test_lines_cut_short_are_counted_and_the_others_kept(
    served: WarehouseProcess, cli: Client, agent: Client
) -> None:
    run_id = launch(served)
    began = start(agent, run_id)
    good = lines(
        *beats(began, [0.5, 0.6, 0.4]), {"kind": "life", "at_us": us(began) + 500_000, "state": "started"}
    )
    told = agent.send_events(run_id, 0, "events-0.jsonl", 0, good + b'{"kind":"beat","at_\n{"kind":"tea"}\n')
    assert (told["rows"], told["skipped"]) == (4, 2)
    (run,) = cli.ask("run", run_id=run_id).to_dicts()
    assert run["started_at"] == began + timedelta(seconds=0.5), "the load's own start, not the launcher's"
    assert (run["users_max"], run["generator_cpu_max"], run["dropped"]) == (2, 0.4, 0), "not of its start"


def test_a_runs_length_is_that_of_its_load(served: WarehouseProcess, cli: Client, agent: Client) -> None:
    run_id = launch(served)
    began = start(agent, run_id)
    life = {state: lines(life_of(state, began, at_s)) for state, at_s in (("started", 2), ("stopping", 12))}
    busy = [
        *beats(began + timedelta(seconds=1), [1.0], users=0),
        *beats(began + timedelta(seconds=3), [0.5] * 9),
        *beats(began + timedelta(seconds=12), [1.0], users=0),
    ]
    agent.send_rows(run_id, 0, "requests-0.bin", 0, rows(began + timedelta(seconds=2), [1.0] * 100).tobytes())
    agent.send_events(run_id, 0, "events-0.jsonl", 0, life["started"] + lines(*busy) + life["stopping"])
    finish(agent, run_id, began, seconds=20)
    (run,) = cli.ask("run", run_id=run_id).to_dicts()
    assert [run["started_at"], run["ended_at"]] == [began + timedelta(seconds=each) for each in (2, 12)]
    assert (run["rps"], run["generator_cpu_max"], run["is_generator_bound"]) == (10, 0.5, False)


def life_of(state: str, began: datetime, at_s: float) -> dict[str, object]:
    return {"kind": "life", "at_us": us(began + timedelta(seconds=at_s)), "state": state}


def test_a_crash_is_told(served: WarehouseProcess, cli: Client, agent: Client) -> None:
    run_id = launch(served)
    start(agent, run_id)
    agent.send_events(run_id, 0, "events-0.jsonl", 0, lines({"kind": "crash", "text": "ValueError: x"}))
    assert cli.ask("run", run_id=run_id)["reason"].item() == "ValueError: x"


def test_the_numbers_of_a_run_second_by_second_and_per_endpoint(
    served: WarehouseProcess, cli: Client, agent: Client
) -> None:
    run_id = launch(served)
    began = start(agent, run_id)
    fast = rows(began, [10.0 * (number % 10 + 1) for number in range(200)])
    late = rows(
        began + timedelta(seconds=5, microseconds=7),
        [5000.0, 20.0, 30.0],
        every_ms=10,
        wait_ms=100,
        endpoint=1,
    )
    late["outcome"] = [1, 9, 0]
    late["status"] = [0, 503, 200]
    late["error"] = [0, 1, 0]
    agent.send_rows(run_id, 0, "requests-0.bin", 0, np.concatenate([fast, late]).tobytes())
    agent.send_events(
        run_id, 0, "events-0.jsonl", 0, lines(error(1, "busy"), *beats(began, [0.2] * 21, dropped=3))
    )
    assert finish(agent, run_id, began) == "no_data"
    (run,) = cli.ask("runs", text=run_id).to_dicts()
    known = ("requests", "n", "failures", "timeouts", "dropped", "is_generator_bound", "reason", "users_max")
    assert [run[name] for name in known] == [203, 202, 2, 1, 3, True, "no criteria", 2]
    assert run["rps"] == pytest.approx(203 / 20)
    assert run["error_ratio"] == pytest.approx(2 / 203)
    assert (run["p50_ms"], run["p95_ms"], run["p99_ms"], run["p99_above"]) == (60, 100, 100, False)
    assert (run["steady_n"], run["steady_p50_ms"]) == (162, 60), "from 2 s after both users were there"
    first, second = cli.ask("run_endpoints", run_id=run_id).to_dicts()
    assert (first["label"], first["requests"], first["p95_ms"], first["max_ms"]) == ("GET /", 200, 100, 100)
    assert (second["label"], second["requests"], second["n"], second["failures"]) == ("GET /cart", 3, 2, 2)
    assert (second["p50_ms"], second["p95_ms"], second["p95_above"]) == (130, 5100, True)
    assert (second["service_p50_ms"], second["max_ms"], second["max_above"]) == (30, 5100, True)
    steady, _ = cli.ask("run_endpoints", run_id=run_id, phase="steady").to_dicts()
    assert (steady["requests"], steady["rps"]) == (160, pytest.approx(160 / 16))
    seconds = cli.ask("run_seconds", run_id=run_id)
    assert seconds["elapsed_s"].to_list() == list(range(20))
    assert seconds["requests"].to_list() == seconds["rps"].to_list() == [10] * 5 + [13] + [10] * 14
    assert seconds["users"].to_list() == [2] * 20
    assert seconds["dropped"].to_list() == [3] + [0] * 19
    assert seconds["p95_ms"].to_list()[4:7] == [100, 5100, 100]
    assert seconds["service_p95_ms"].to_list()[5] == 5000
    assert cli.ask("run_seconds", run_id=run_id, width_s=10)["requests"].to_list() == [103, 100]
    failures = cli.ask("run_failures", run_id=run_id).to_dicts()
    assert failures[0]["first_at"] == failures[0]["last_at"] == began + timedelta(seconds=5)
    columns = ("label", "part", "outcome", "status", "text", "n")
    assert [tuple(row[name] for name in columns) for row in failures] == [
        ("GET /cart", "load", "timeout", None, "", 1),
        ("GET /cart", "load", "bad_status", 503, "busy", 1),
    ]


def test_a_run_does_not_seem_to_drop_at_its_end(served: WarehouseProcess, cli: Client, agent: Client) -> None:
    """Stopped after 4.5 s: half a second is no whole one, and how its process ended is not the load."""
    run_id = launch(served)
    began = start(agent, run_id)
    agent.send_rows(run_id, 0, "requests-0.bin", 0, rows(began, [1.0] * 45).tobytes())
    quitting = beats(began + timedelta(seconds=5.2), [1.0])
    told = (*beats(began, [0.2] * 5), *quitting)
    agent.send_events(run_id, 0, "events-0.jsonl", 0, lines(*told))
    finish(agent, run_id, began, 4.5)
    seconds = cli.ask("run_seconds", run_id=run_id)
    assert seconds["requests"].to_list() == [10, 10, 10, 10, 5]
    assert seconds["rps"].to_list() == [10, 10, 10, 10, None]
    assert seconds["generator_cpu"].to_list() == [0.2] * 5


def test_where_nobody_told_anything_nothing_is_said(
    served: WarehouseProcess, cli: Client, agent: Client
) -> None:
    run_id = launch(served)
    began = start(agent, run_id)
    told = [*beats(began, [0.1] * 3), *beats(began + timedelta(seconds=8), [0.1] * 3)]
    agent.send_events(run_id, 0, "events-0.jsonl", 0, lines(*told))
    seconds = cli.ask("run_seconds", run_id=run_id)
    assert seconds["requests"].to_list() == [0] * 4 + [None] * 4 + [0] * 3
    assert seconds["users"].to_list() == [2] * 4 + [None] * 4 + [2] * 3
    assert seconds["p50_ms"].to_list() == [None] * 11


def test_two_workers_are_added_up_and_the_master_is_not_counted_twice(
    served: WarehouseProcess, cli: Client, agent: Client
) -> None:
    run_id = launch(served)
    began = start(agent, run_id)
    for worker, users, cpu in ((0, 2, 0.1), (1, 1, 0.5), (2, 1, 0.7)):
        told = lines(*beats(began, [cpu] * 5, users=users, dropped=worker))
        agent.send_events(run_id, worker, f"events-{worker}.jsonl", 0, told)
        made = rows(began, [1.0] * 10, every_ms=400)
        agent.send_rows(run_id, worker, f"requests-{worker}.bin", 0, made.tobytes())
    seconds = cli.ask("run_seconds", run_id=run_id)
    assert set(seconds["users"]) == {2}
    assert set(seconds["generator_cpu"]) == {0.7}
    assert seconds["dropped"].to_list() == [3, 0, 0, 0, 0]
    (run,) = cli.ask("run", run_id=run_id).to_dicts()
    assert (run["requests"], run["users_max"], run["dropped"]) == (30, 2, 3)
    assert run["generator_cpu_max"] == 0.7


def test_a_run_without_news_is_silent_and_not_ended(
    store: Store, settings: Settings, ask: Callable[..., pa.Table]
) -> None:
    connection = store.cursor()
    plan = make_plan(parse(TARGETS, settings.path, {}), "shop", "tiny", None)
    asked = RunRequest(target="shop", preset="tiny", via="cli")
    run_id = runs.request(connection, plan, asked, "ann", "12345678").run_id

    def told() -> tuple[str, bool]:
        (run,) = ask("run", run_id=run_id).to_pylist()
        return run["state"], run["is_silent"]

    at = now().replace(tzinfo=None)
    runs.change(connection, run_id, {"requested_at": at - timedelta(hours=1)})
    assert told() == ("requested", False), "it waits, and nobody is to tell of it"
    Agents().claim(connection, Claim(agent=AGENT))
    assert told() == ("starting", False), "it was claimed a moment ago"
    runs.change(connection, run_id, {"claimed_at": at - timedelta(seconds=11)})
    assert told() == ("starting", True)
    report(connection, run_id, Report(agent=AGENT, state="running"))
    assert told() == ("running", False)
    runs.change(connection, run_id, {"heartbeat_at": at - timedelta(seconds=11)})
    assert told() == ("running", True)
    report(connection, run_id, Report(agent=AGENT, state="finished"))
    runs.change(connection, run_id, {"heartbeat_at": at - timedelta(hours=1)})
    assert told() == ("finished", False)


def test_runs_are_found_by_what_they_are(served: WarehouseProcess, cli: Client, agent: Client) -> None:
    first = launch(served, note="before the Release")
    agent.report_run(agent.claim(AGENT)["run"]["run_id"], agent=AGENT, state="failed", complete=True)
    second = launch(served, target="other")
    cli.pin_run(first)

    def found(**filters: object) -> list[str]:
        return cli.ask("runs", **filters)["run_id"].to_list()

    assert found() == [second, first]
    assert found(target=["other"]) == [second]
    assert found(preset=["tiny"], state=["failed"]) == [first]
    assert found(verdict=["no_data"]) == [first]
    assert found(text="release") == found(baseline=True) == [first]
    assert found(text=second) == found(baseline=False) == [second]
    assert found(start=now() + timedelta(minutes=1)) == found(end=now() - timedelta(minutes=1)) == []
    assert found(scenario=["endpoints"]) == [second, first]


def error(number: int, text: str) -> dict[str, object]:
    return {"kind": "error", "error": number, "endpoint": 1, "text": text}
