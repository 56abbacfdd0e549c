"""`status`: what runs, since when, what is late, missing or failing, as values and as lines."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import psutil
import pytest

from cli.presence import note, noted, present
from cli.status import age, lines, look
from tests.cli.running import ROOT, perfhouse
from tests.servers.warehouse import WarehouseProcess, running_warehouse, write_config
from tests.warehouse.records import attempt, sample
from warehouse import tokens
from warehouse.client import Client, pack
from warehouse.errors import StorageError
from warehouse.model import Batch, Event, Gap, GapReason, JobState, Sample, now
from warehouse.settings import Settings, load

FIELDS = {"at", "healthy", "problems", "error", "parts", "warehouse", "collectors"}
FIELDS |= {"failing_jobs", "gaps_last_hour", "endpoints", "databases"}


def health(at: datetime, source: str, job: str, **metrics: float) -> list[Sample]:
    """What a collector reports of one of its jobs."""
    known = {"kind": "collector", "target": source, "object": job}
    return [sample(at, value, **known, metric=metric, unit="1") for metric, value in metrics.items()]


def send(process: WarehouseProcess, source: str, **rows: object) -> None:
    value = tokens.add(process.settings.token_dir, source, ["ingest"], [source])
    batch = Batch.model_validate({"batch_id": f"status-{source}", "source": source, **rows})
    with Client(process.settings.warehouse.url, lambda: value) as client:
        assert client.send(batch.batch_id, pack(batch), source).stored


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WarehouseProcess]:
    """A warehouse with four collectors: one well but for a job, one silent, one gone for long, and one
    that sends what it measured half an hour ago.
    """
    at = now() - timedelta(seconds=5)
    long_ago = at - timedelta(minutes=30)
    with running_warehouse(tmp_path_factory.mktemp("status")) as process:
        send(
            process,
            "here",
            attempts=(attempt(at), attempt(at)),
            samples=(
                *health(at, "here", "probe a", interval_s=10, last_success_age_s=1),
                *health(at, "here", "probe b", interval_s=10, last_success_age_s=1),
                *health(at, "here", "probe c", interval_s=10, last_success_age_s=600),
                *health(at - timedelta(seconds=15), "here", "daemon", interval_s=15, spool_batches=9),
                *health(at, "here", "daemon", interval_s=15, last_success_age_s=1),
                *health(at, "here", "daemon", spool_batches=2, spool_bytes=512, spool_dropped_total=3),
                *health(long_ago, "here", "probe of a target no longer configured", interval_s=10),
            ),
            events=(Event(at=at, job="probe b", state=JobState.FAILING, text="refused"),),
            gaps=(
                Gap(at=at, until=at, job="probe a", reason=GapReason.MISSED, missed=4),
                Gap(at=at, until=at, job="probe b", reason=GapReason.MISSED, missed=1),
                Gap(at=at, until=at, job="probe b", reason=GapReason.OVERLAP, missed=2),
                Gap(
                    at=at - timedelta(hours=3),
                    until=at - timedelta(hours=2),
                    job="probe a",
                    reason=GapReason.DOWN,
                    missed=9,
                ),
            ),
        )
        send(process, "silent", samples=tuple(health(long_ago, "silent", "daemon", interval_s=15)))
        events = (Event(at=at - timedelta(days=9), job="daemon", state=JobState.OK, text=""),)
        send(process, "gone", events=events)
        process.stop()
        process.start()
        send(process, "waits", samples=tuple(health(long_ago, "waits", "daemon", interval_s=15)))
        yield process


def test_status_tells_what_the_warehouse_knows(served: WarehouseProcess) -> None:
    report = look(served.settings)
    assert set(report) == FIELDS
    assert report["error"] is None
    warehouse = report["warehouse"]
    assert warehouse["url"] == served.settings.warehouse.url
    assert warehouse["rows"]["attempt"] == 2
    assert warehouse["rows"]["gap"] == 4
    assert warehouse["file_bytes"] > 0
    assert report["gaps_last_hour"] == {"missed": 7, "by_reason": {"missed": 5, "overlap": 2}}
    assert [(job["source"], job["job"], job["state"], job["text"]) for job in report["failing_jobs"]] == [
        ("here", "probe b", "failing", "refused"),
        ("here", "probe c", "late", None),
    ]


def test_status_tells_each_collector(served: WarehouseProcess) -> None:
    gone, here, silent, waits = look(served.settings)["collectors"]
    assert (here["source"], here["state"], here["jobs"], here["jobs_ok"]) == ("here", "ok", 5, 2)
    assert 5 <= here["age_s"] < 300
    assert (here["spool_batches"], here["spool_bytes"], here["spool_dropped_total"]) == (2, 512, 3)
    assert here["spool_refused_total"] is None
    assert (silent["state"], silent["spool_batches"]) == ("silent", None)
    assert 1800 <= silent["age_s"] < 2100
    assert waits["state"] == "waiting"
    assert (gone["source"], gone["state"], gone["newest_at"], gone["age_s"]) == ("gone", "gone", None, None)


def test_each_trouble_is_a_problem_once(served: WarehouseProcess) -> None:
    report = look(served.settings)
    assert not report["healthy"]
    problems = [problem.partition(" since ")[0].partition(", its")[0] for problem in report["problems"]]
    assert problems == [
        "dashboard is not running",
        "collect is not running",
        "agent is not running",
        "collector silent is silent",
        "rows of collector waits wait in its spool",
        "probe b is failing",
        "probe c is late",
    ]
    text = "\n".join(lines(report))
    assert all(f"! {problem}" in text for problem in report["problems"])
    assert "7 samples missed in the last hour (5 missed, 2 overlap)" in text
    assert "collector  here: 2 of 5 jobs ok, newest sample" in text
    assert "2 batches wait in the spool" in text
    assert "collector  gone: nothing measured yet" in text
    assert "endpoints  1 of 1 answer as expected" in text


def test_json_is_the_same_report(served: WarehouseProcess) -> None:
    done = perfhouse("status", "--json", config=served.config)
    report = json.loads(done.stdout)
    assert done.returncode == 1
    assert set(report) == FIELDS
    assert datetime.fromisoformat(report["at"]).tzinfo is not None
    assert report["problems"] == json.loads(json.dumps(look(served.settings)["problems"]))
    assert {part["name"]: part["running"] for part in report["parts"]} == {
        "warehouse": True,
        "dashboard": False,
        "collect": False,
        "agent": False,
    }
    assert perfhouse("status", config=served.config).returncode == 1


def test_the_warehouse_away_is_69(tmp_path: Path) -> None:
    config = write_config(tmp_path, "[demo]\nenabled = true\n")
    done = perfhouse("status", config=config)
    assert done.returncode == 69
    assert done.stdout.count("NOT RUNNING") == 5
    report = json.loads(perfhouse("status", "--json", config=config).stdout)
    assert report["error"]["kind"] == "warehouse_away"
    assert report["error"]["hint"]
    assert (report["warehouse"], report["collectors"]) == (None, [])


def test_a_revoked_token_is_told_and_is_no_69(served: WarehouseProcess, tmp_path: Path) -> None:
    forged = tmp_path / "data" / "tokens"
    forged.mkdir(parents=True)
    (forged / "cli.json").write_text('{"token": "forged"}')
    config = tmp_path / "perfhouse.toml"
    config.write_text(f"[warehouse]\nport = {served.settings.warehouse.port}\n")
    done = perfhouse("status", config=config)
    assert done.returncode == 1
    assert "Not allowed" in done.stdout


def test_a_remote_collector_asks_only_for_health(served: WarehouseProcess, tmp_path: Path) -> None:
    config = tmp_path / "perfhouse.toml"
    config.write_text(
        f'[collectors]\nwarehouse_url = "{served.settings.warehouse.url}"\ntoken = {{ env = "TOKEN" }}\n'
    )
    settings = load(config, {})
    with noted(settings, "collect"):
        report = look(settings)
    assert [(part["name"], part["answers"]) for part in report["parts"]] == [("collect", None)]
    assert (report["healthy"], report["error"]) == (True, None)
    assert report["warehouse"]["rows"] is None
    assert "\n".join(lines(report)).startswith("collect    running since")
    config.write_text(config.read_text().replace(str(served.settings.warehouse.port), "1"))
    assert perfhouse("status", config=config).returncode == 69


def test_a_part_that_lives_and_does_not_answer_is_told_as_that(tmp_path: Path) -> None:
    config = write_config(tmp_path, "[demo]\nenabled = true\n")
    settings = load(config, {})
    with noted(settings, "demo"):
        report = look(settings)
        told = f"demo runs, does not answer (process {os.getpid()})"
        assert told in report["problems"]
        assert "demo is not running" not in report["problems"]
        assert "demo       runs, does not answer (process" in "\n".join(lines(report))
    (demo,) = (part for part in report["parts"] if part["name"] == "demo")
    assert (demo["running"], demo["answers"], demo["pid"]) == (True, False, os.getpid())
    assert "demo is not running" in look(settings)["problems"]


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load(write_config(tmp_path), {})


def test_a_part_is_present_while_it_runs(settings: Settings) -> None:
    assert present(settings, "collect") is None
    with noted(settings, "collect"):
        there = present(settings, "collect")
        assert there is not None
        assert there.pid == os.getpid()
        assert there.since_at.timestamp() == pytest.approx(psutil.Process().create_time())
        assert (settings.data_dir / "run").stat().st_mode & 0o077 == 0
    assert present(settings, "collect") is None
    assert list((settings.data_dir / "run").iterdir()) == []


def test_what_was_killed_is_not_present(settings: Settings) -> None:
    code = (
        "import os, signal, sys; from pathlib import Path; from cli.presence import note\n"
        "from warehouse.settings import load; note(load(Path(sys.argv[1]), {}), 'collect')\n"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    subprocess.run([sys.executable, "-c", code, str(settings.path)], cwd=ROOT, timeout=60)
    assert (settings.data_dir / "run" / "collect.json").exists()
    assert present(settings, "collect") is None
    note(settings, "collect")
    assert present(settings, "collect") is not None


def test_a_second_process_does_not_take_over_the_note(settings: Settings) -> None:
    file = settings.data_dir / "run" / "collect.json"
    file.parent.mkdir(parents=True)
    init = psutil.Process(1)
    since_at = datetime.fromtimestamp(init.create_time()).astimezone().isoformat()
    file.write_text(json.dumps({"pid": 1, "since_at": since_at}))
    with noted(settings, "collect"):
        there = present(settings, "collect")
        assert there is not None
        assert there.pid == 1
    assert file.exists()
    file.write_text(json.dumps({"pid": 1, "since_at": "2000-01-01T00:00:00Z"}))
    assert present(settings, "collect") is None
    file.write_text("garbage")
    assert present(settings, "collect") is None


def test_a_folder_that_cannot_be_made_is_a_storage_error(settings: Settings) -> None:
    settings.data_dir.write_text("a file")
    with pytest.raises(StorageError, match="cannot write to"):
        note(settings, "collect")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (119, "119 s"),
        (120, "2 min"),
        (7199, "120 min"),
        (7200, "2 h"),
        (172_800, "2 d"),
        (-3, "-3 s"),
    ],
)
def test_ages_are_for_people(seconds: float, text: str) -> None:
    assert age(seconds) == text
