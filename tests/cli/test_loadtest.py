"""`perfhouse loadtest` against a real warehouse: requests, waits, stops, lists, compares, exports."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import polars as pl
import pytest
from typer.testing import CliRunner, Result

from cli.loadtest import progress, via
from cli.loadtest_tables import differences
from perfhouse import app
from tests.servers.warehouse import ROOT, WarehouseProcess, running_warehouse
from tests.warehouse.loading import AGENT, TARGETS, beats, finish, lines, rows, us
from warehouse.client import Client
from warehouse.model import now

PRESETS = """
[[preset]]
name = "steady"
title = "Two users"
users = 2
duration_s = 44
[[preset]]
name = "kept"
users = 2
duration_s = 44
criteria = ["p95 < 500ms"]
[[preset]]
name = "broken"
users = 2
duration_s = 44
criteria = ["p95 < 500ms", "GET /cart: p50 < 1ms", "p99 < 1s for 3s"]
"""


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WarehouseProcess]:
    with running_warehouse(tmp_path_factory.mktemp("runs"), TARGETS + PRESETS) as process:
        yield process


@pytest.fixture(autouse=True)
def no_ci(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CI", raising=False)


@pytest.fixture
def typed(served: WarehouseProcess) -> Callable[..., Result]:
    """Run a command of `loadtest` as it is typed."""

    def typed(*words: str) -> Result:
        return CliRunner().invoke(app, ["--config", str(served.config), "loadtest", *words])

    return typed


@contextmanager
def agent(served: WarehouseProcess, act: Callable[[Client, str], None]) -> Iterator[None]:
    """A load agent that takes the next run and does with it what `act` says; it stands in for a generator."""
    failures: list[BaseException] = []

    def work() -> None:
        try:
            with served.client("agent") as client:
                until = time.monotonic() + 20
                while time.monotonic() < until:
                    given = client.claim(AGENT)["run"]
                    if given is not None:
                        act(client, given["run_id"])
                        return
                    time.sleep(0.05)
        except BaseException as error:  # noqa: BLE001 - told to the test that started it
            failures.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    yield
    thread.join(30)
    assert not failures, failures


def finishes(median_ms: float = 20, state: str = "finished", outcome: str = "ok") -> Callable[..., None]:
    def act(client: Client, run_id: str) -> None:
        began = now() - timedelta(seconds=50)
        client.report_run(run_id, agent=AGENT, state="running", started_at_us=us(began))
        random = np.random.default_rng(round(median_ms))
        times = [float(each) for each in np.round(median_ms * np.exp(random.normal(0, 0.3, 1100)), 3)]
        made = rows(began, times, every_ms=40, endpoint=np.arange(1100) % 2, outcome=outcome)
        client.send_rows(run_id, 0, "requests-0.bin", 0, made.tobytes())
        client.send_events(run_id, 0, "events-0.jsonl", 0, lines(*beats(began, [0.2] * 44)))
        finish(client, run_id, began, 44, state=state)

    return act


def ran(served: WarehouseProcess, typed: Callable[..., Result], **how: float | str) -> str:
    """The id of a run that was waited for."""
    with agent(served, finishes(**how)):  # type: ignore[arg-type]
        done = typed("run", "steady", "--target", "shop", "--wait", "--json")
    run_id = json.loads(done.stdout)["run_id"]
    assert isinstance(run_id, str)
    return run_id


def row_of(served: WarehouseProcess, run_id: str) -> dict[str, object]:
    with served.client("cli") as client:
        return client.ask("run", run_id=run_id).row(0, named=True)


def test_run_prints_the_id_and_says_who_asked(
    served: WarehouseProcess, typed: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOGNAME", "ann")
    done = typed("run", "steady", "--target", "shop", "--note", "before the index")
    assert done.exit_code == 0
    run_id = done.stdout.strip()
    row = row_of(served, run_id)
    told = {name: row[name] for name in ("state", "via", "requested_by", "note", "preset")}
    assert told == {
        "state": "requested",
        "via": "cli",
        "requested_by": "ann",
        "note": "before the index",
        "preset": "steady",
    }
    stopped = typed("stop", run_id)
    assert (stopped.exit_code, stopped.stderr.strip()) == (0, f"{run_id} is cancelled")


def test_a_run_that_finishes_without_criteria_exits_0_and_is_told_everywhere(
    served: WarehouseProcess, typed: Callable[..., Result], tmp_path: Path
) -> None:
    junit, markdown = tmp_path / "junit.xml", tmp_path / "summary.md"
    with agent(served, finishes()):
        done = typed(
            *("run", "steady", "--target", "shop", "--json"),
            *("--junit", str(junit), "--markdown", str(markdown)),
        )
    assert done.exit_code == 0, done.stderr
    told = json.loads(done.stdout)
    assert (told["state"], told["requests"], told["failures"], told["exit_code"]) == ("finished", 1100, 0, 0)
    suite = ElementTree.parse(junit).getroot()
    assert (suite.get("tests"), suite.get("failures"), suite.get("errors")) == ("1", "0", "0")
    assert markdown.read_text(encoding="utf-8").startswith("## ✅ Load test steady at shop")
    assert f"requested {told['run_id']}" in done.stderr


@pytest.mark.parametrize(
    ("preset", "code", "verdict", "cases"),
    [("kept", 0, "pass", (1, 0, 0)), ("broken", 1, "fail", (3, 1, 1))],
)
def test_the_exit_code_is_of_the_criteria(
    preset: str,
    code: int,
    verdict: str,
    cases: tuple[int, int, int],
    served: WarehouseProcess,
    typed: Callable[..., Result],
    tmp_path: Path,
) -> None:
    junit = tmp_path / "junit.xml"
    with agent(served, finishes()):
        done = typed("run", preset, "--target", "shop", "--json", "--junit", str(junit))
    told = json.loads(done.stdout)
    assert (done.exit_code, told["verdict"], told["state"]) == (code, verdict, "finished")
    suite = ElementTree.parse(junit).getroot()
    assert tuple(int(suite.get(name) or 0) for name in ("tests", "failures", "errors")) == cases
    if verdict == "fail":
        assert [each["verdict"] for each in told["criteria"]] == ["pass", "fail", "no_data"]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("run", "steady", "--target", "nowhere"), "no target is named nowhere"),
        (("run", "none", "--target", "shop"), "no preset is named none"),
        (("run", "steady", "--target", "watched"), "no load may be sent to watched"),
        (("run", "heavy", "--target", "shop"), "typed to confirm"),
    ],
)
def test_what_is_refused_exits_2_and_is_told(
    words: tuple[str, ...], told: str, typed: Callable[..., Result], tmp_path: Path
) -> None:
    junit = tmp_path / "junit.xml"
    done = typed(*words, "--junit", str(junit), "--json")
    assert done.exit_code == 2
    assert told in done.stderr
    assert told in json.loads(done.stdout)["reason"]
    (error,) = ElementTree.parse(junit).getroot().iter("error")
    assert told in (error.text or "")


def test_a_busy_target_is_refused_or_waited_for_as_asked(
    served: WarehouseProcess, typed: Callable[..., Result]
) -> None:
    first = typed("run", "steady", "--target", "shop").stdout.strip()
    refused = typed("run", "steady", "--target", "shop")
    assert (refused.exit_code, f"busy with run {first}" in refused.stderr) == (2, True)
    queued = typed("run", "steady", "--target", "shop", "--queue")
    assert queued.exit_code == 0
    for run_id in (first, queued.stdout.strip()):
        assert typed("stop", run_id).exit_code == 0


def test_no_warehouse_exits_2(tmp_path: Path) -> None:
    config = tmp_path / "perfhouse.toml"
    config.write_text('[warehouse]\nport = 9\ndata_dir = "data"\n' + TARGETS, encoding="utf-8")
    done = CliRunner().invoke(app, ["--config", str(config), "loadtest", "run", "tiny", "--target", "shop"])
    assert done.exit_code == 2


def test_a_lost_generator_exits_2(served: WarehouseProcess, typed: Callable[..., Result]) -> None:
    with agent(served, finishes(state="failed")):
        done = typed("run", "steady", "--target", "shop", "--wait")
    assert done.exit_code == 2
    assert ": failed\n" in done.stdout


def test_the_first_ctrl_c_stops_the_run_and_waits_for_its_end(served: WarehouseProcess) -> None:
    def until_stopped(client: Client, run_id: str) -> None:
        began = now()
        client.report_run(run_id, agent=AGENT, state="running", started_at_us=us(began))
        started.set()
        until = time.monotonic() + 20
        while time.monotonic() < until:
            if any(each["run_id"] == run_id for each in client.claim(AGENT, busy=[run_id])["cancel"]):
                finish(client, run_id, began, 1, state="cancelled")
                return
            time.sleep(0.05)

    started = threading.Event()
    command = [sys.executable, "perfhouse.py", "--config", str(served.config), "loadtest", "run", "steady"]
    with agent(served, until_stopped):
        process = subprocess.Popen(
            [*command, "--target", "shop", "--wait", "--json"],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert started.wait(20)
        time.sleep(1)
        os.kill(process.pid, signal.SIGINT)
        out, err = process.communicate(timeout=30)
    assert process.returncode == 2
    assert json.loads(out)["state"] == "cancelled"
    assert "stopping r" in err
    assert "Traceback" not in err


def test_runs_are_listed_shown_and_filtered(served: WarehouseProcess, typed: Callable[..., Result]) -> None:
    ran(served, typed)
    run_id = ran(served, typed)
    listed = json.loads(typed("list", "--json", "--target", "shop", "--limit", "2").stdout)
    assert len(listed) == 2
    assert listed[0]["run_id"] == run_id
    table = typed("list", "--limit", "1").stdout.splitlines()
    assert table[0].split()[:3] == ["run", "requested", "(UTC)"]
    assert table[1].startswith(run_id)
    for option in ("--target", "--scenario", "--preset"):
        assert typed("list", option, "other", "--json").stdout.strip() == "[]"
    shown = typed("show", run_id).stdout
    assert "requests           1,100" in shown
    assert "where it broke     unknown: nothing got clearly worse: p95 lay between" in shown
    assert json.loads(typed("show", run_id, "--json").stdout)["run_id"] == run_id
    unknown = typed("show", "r20260101000000-abcdef")
    assert "there is no run" in str(unknown.exception)


def test_runs_are_compared_in_the_warehouse_and_as_bundles(
    served: WarehouseProcess, typed: Callable[..., Result], tmp_path: Path
) -> None:
    a, b = ran(served, typed), ran(served, typed, median_ms=30)
    found = json.loads(typed("compare", a, b, "--json").stdout)
    p50 = next(row for row in found if row["measure"] == "p50" and not row["label"])
    assert p50["low"] < 10 < p50["high"]
    files = [str(tmp_path / name) for name in ("a.zip", "b.zip")]
    for run_id, file in zip((a, b), files, strict=True):
        assert typed("export", run_id, file, "--bundle").exit_code == 0
    elsewhere = CliRunner().invoke(
        app, ["--config", str(tmp_path / "none.toml"), "loadtest", "compare", *files, "--json"]
    )
    assert json.loads(elsewhere.stdout) == found
    text = typed("compare", a, b).stdout
    assert text.splitlines()[0].split() == [
        *["endpoint", "measure", "a", "b", "b", "-", "a,", "95", "%", "interval", "n"]
    ]
    assert "It covers chance within these two runs" in text
    assert "is pinned as a baseline" in str(typed("compare", "baseline", b).exception)
    with served.client("cli") as client:
        client.pin_run(a)
    assert json.loads(typed("compare", "baseline", b, "--json").stdout) == found
    refused = typed("compare", a, a)
    assert "compared with itself" in str(refused.exception)


def test_a_run_is_exported_as_csv_and_parquet(
    served: WarehouseProcess, typed: Callable[..., Result], tmp_path: Path
) -> None:
    run_id = ran(served, typed)
    requests, seconds, summary = (tmp_path / name for name in ("r.parquet", "s.csv", "summary.csv"))
    assert typed("export", run_id, str(requests)).exit_code == 0
    assert pl.read_parquet(requests).height == 1100
    assert typed("export", run_id, str(seconds), "--what", "seconds").exit_code == 0
    assert pl.read_csv(seconds)["requests"].sum() == 1100
    assert typed("export", run_id, str(summary), "--what", "summary").exit_code == 0
    assert pl.read_csv(summary)["run_id"].to_list() == [run_id]
    for words, told in (
        ((run_id, str(seconds)), "exists already"),
        ((run_id, str(tmp_path / "x.xlsx")), "ends in .csv or .parquet"),
        ((run_id, str(tmp_path / "x.csv"), "--what", "nothing"), "expected one of requests"),
        (("r20260101000000-abcdef", str(tmp_path / "x.csv")), "there is no run"),
    ):
        assert told in str(typed("export", *words).exception)


def test_presets_and_scenarios_are_listed(typed: Callable[..., Result]) -> None:
    presets = typed("presets").stdout
    assert "steady" in presets
    assert "40 -> 80 -> 120 -> 160 -> 200" in presets
    assert "volume" in presets
    assert "invoice-api" in typed("scenarios").stdout


def test_ci_is_known_by_its_variable() -> None:
    assert [via(each) for each in ({"CI": "true"}, {"CI": "1"}, {"CI": "false"}, {"CI": ""}, {})] == [
        *("ci", "ci", "cli", "cli", "cli")
    ]


def test_progress_tells_the_time_left() -> None:
    at = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
    row = {
        "run_id": "r1",
        "state": "running",
        "started_at": at,
        "plan": '{"duration_s": 120}',
        "users_max": 5,
        "requests": 1234,
        "p95_ms": 12.3,
        "failures": 2,
    }
    assert progress(row, at + timedelta(seconds=30)) == (
        "r1 running, 1:30 left, 5 users, 1,234 requests, p95 12 ms, 2 failed"
    )
    assert progress({**row, "started_at": None, "state": "requested"}, at) == "r1 requested"


def test_a_difference_that_is_not_known_says_why() -> None:
    row = {
        "label": "",
        "measure": "p99",
        "unit": "ms",
        "a": 10.0,
        "b": 3000.0,
        "a_above": False,
        "b_above": True,
        "difference": None,
        "low": None,
        "high": None,
        "relative": None,
        "n_a": 100,
        "n_b": 90,
        "enough": False,
        "why": "not enough samples: 100 of 1000",
        "method": "m",
    }
    told = differences([row])[1]
    assert "> 3,000.00 ms" in told
    assert "not enough samples: 100 of 1000" in told
