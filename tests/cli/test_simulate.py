"""`simulate`: a new folder that shows itself as simulated everywhere, and what it refuses."""

import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import pyarrow.parquet as pq
import pytest

from tests.cli.running import perfhouse
from tests.servers.ports import free_port
from tests.servers.warehouse import WarehouseProcess


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A day of a history."""
    folder = tmp_path_factory.mktemp("simulate") / "made"
    done = perfhouse(
        *("simulate", str(folder), "--days", "1", "--attempts", "5000"),
        *("--port", str(free_port()), "--dashboard-port", str(free_port())),
    )
    assert done.returncode == 0, done.stderr
    assert "attempts of 50 endpoints" in done.stderr
    return folder


@pytest.fixture(scope="module")
def warehouse(folder: Path) -> Iterator[WarehouseProcess]:
    process = WarehouseProcess(folder / "perfhouse.toml")
    process.start()
    yield process
    process.stop()


def test_its_configuration_is_sound(folder: Path) -> None:
    done = perfhouse("check", config=folder / "perfhouse.toml")
    assert done.returncode == 0, done.stderr


def test_health_status_answers_and_exports_say_that_it_is_simulated(
    warehouse: WarehouseProcess, tmp_path: Path
) -> None:
    assert httpx.get(f"{warehouse.settings.warehouse.url}/healthz").json()["simulated"] is True
    told = perfhouse("status", config=warehouse.config)
    assert "SIMULATED" in told.stdout
    assert json.loads(perfhouse("status", "--json", config=warehouse.config).stdout)["warehouse"]["simulated"]
    token = json.loads((warehouse.settings.token_dir / "cli.json").read_text())["token"]
    answer = httpx.get(
        f"{warehouse.settings.warehouse.url}/api/v1/ask/endpoints",
        headers={"authorization": f"Bearer {token}"},
    )
    assert answer.headers["x-perfhouse-simulated"] == "true"
    for form in ("csv", "parquet"):
        out = tmp_path / f"attempts.{form}"
        done = perfhouse(
            *("export", "attempts", "--from", "2d", "--format", form, "--out", str(out)),
            config=warehouse.config,
        )
        assert done.returncode == 0, done.stderr
    header, first = (tmp_path / "attempts.csv").read_text().splitlines()[:2]
    assert header.split(",")[-1].strip('"') == "is_simulated"
    assert first.split(",")[-1] == "true"
    assert set(pq.read_table(tmp_path / "attempts.parquet")["is_simulated"].to_pylist()) == {True}


def test_the_labels_of_what_changed_are_exported(warehouse: WarehouseProcess) -> None:
    done = perfhouse("export", "simulated_changes", "--format", "json", "--out", "-", config=warehouse.config)
    changes = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(changes) >= 6
    assert {"outage", "latency"} <= {change["kind"] for change in changes}
    assert all(change["is_simulated"] for change in changes)


def test_the_mark_travels_with_a_backup(warehouse: WarehouseProcess, tmp_path: Path) -> None:
    archive = tmp_path / "made.tar"
    assert perfhouse("backup", str(archive), config=warehouse.config).returncode == 0
    config = tmp_path / "perfhouse.toml"
    config.write_text(f'data_dir = "data"\n[warehouse]\nport = {free_port()}\n', encoding="utf-8")
    assert perfhouse("restore", str(archive), config=config).returncode == 0
    restored = WarehouseProcess(config)
    restored.start()
    assert httpx.get(f"{restored.settings.warehouse.url}/healthz").json()["simulated"] is True
    restored.stop()


def test_load_tests_are_judged(warehouse: WarehouseProcess) -> None:
    done = perfhouse("export", "runs", "--format", "json", "--out", "-", config=warehouse.config)
    runs = [json.loads(line) for line in done.stdout.splitlines()]
    assert runs
    assert all(run["verdict"] in ("pass", "fail") and run["requests"] == 3000 for run in runs)


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (["--days", "0"], "--days"),
        (["--days", "9999"], "--days"),
        (["--attempts", "5"], "--attempts"),
        (["--attempts", "500", "--rate", "3"], "--rate"),
        (["--rate", "0.00001"], "--rate"),
        (["--end", "yesterday"], "--end"),
    ],
)
def test_what_cannot_be_is_refused_and_nothing_is_written(
    options: list[str], named: str, tmp_path: Path
) -> None:
    done = perfhouse("simulate", str(tmp_path / "new"), *options)
    assert done.returncode == 65
    assert named in done.stderr
    assert not (tmp_path / "new").exists()


def test_a_folder_that_holds_something_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine", encoding="utf-8")
    done = perfhouse("simulate", str(tmp_path), "--days", "1", "--attempts", "500")
    assert done.returncode == 65
    assert [file.name for file in tmp_path.iterdir()] == ["mine.txt"]
