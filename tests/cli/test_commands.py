"""The commands as a person runs them: their output, their errors, their exit codes."""

import json
import os
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import polars as pl
import pytest

from tests.servers.ports import free_port
from tests.servers.warehouse import WarehouseProcess, running_warehouse, write_config
from tests.warehouse.records import attempt
from warehouse.client import pack
from warehouse.model import Batch, now
from warehouse.settings import load

ROOT = Path(__file__).parents[2]


def perfhouse(
    *arguments: str, config: Path | None = None, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run the command line; a traceback is never expected."""
    command = [sys.executable, str(ROOT / "perfhouse.py")]
    if config:
        command += ["--config", str(config)]
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PERFHOUSE_")}
    done = subprocess.run(
        [*command, *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        env={**clean, **environment},
    )
    assert "Traceback" not in done.stderr
    return done


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory):  # type: ignore[no-untyped-def]
    at = now() - timedelta(minutes=1)
    with (
        running_warehouse(tmp_path_factory.mktemp("commands")) as process,
        process.client("collect") as client,
    ):
        batch = Batch(batch_id="commands-1", attempts=tuple(attempt(at, ms=float(ms)) for ms in range(1, 8)))
        client.send(batch.batch_id, pack(batch))
        yield process


def test_help_is_quick_because_it_imports_no_engine() -> None:
    code = (
        "import sys; sys.argv = ['perfhouse.py', '--help']; import perfhouse\n"
        "try: perfhouse.run()\nexcept SystemExit: pass\n"
        "print(sorted({'duckdb', 'streamlit', 'polars', 'pyarrow', 'fastapi'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.stdout.splitlines()[-1] == "[]"


def test_init_writes_what_check_accepts_and_never_overwrites(tmp_path: Path) -> None:
    config = tmp_path / "mine.toml"
    options = (
        "--url",
        "https://api.example.com",
        "--name",
        "shop",
        "--endpoint",
        "/a",
        "--endpoint",
        "/b?c=d",
    )
    assert perfhouse("init", *options, config=config).returncode == 0
    settings = load(config, {})
    assert settings.target[0].name == "shop"
    assert [endpoint.path for endpoint in settings.target[0].endpoint] == ["/a", "/b?c=d"]
    assert not settings.demo.enabled
    assert perfhouse("check", config=config).returncode == 0
    before = config.read_bytes()
    again = perfhouse("init", config=config)
    assert (again.returncode, config.read_bytes()) == (65, before)
    assert "--force" in again.stderr


def test_init_with_an_impossible_address_writes_nothing(tmp_path: Path) -> None:
    done = perfhouse("init", "--url", "ftp://x", config=tmp_path / "mine.toml")
    assert done.returncode == 78
    assert list(tmp_path.iterdir()) == []


def test_check_tells_all_problems_at_once_and_no_secret(tmp_path: Path) -> None:
    config = tmp_path / "bad.toml"
    config.write_text(
        'data_dirr = "x"\n[warehouse]\nport = "abc"\n[[target]]\nname = "a"\nurl = "http://a"\n'
        'headers = { Authorization = "hunter2" }\nendpoint = []\n'
    )
    done = perfhouse("check", config=config)
    assert done.returncode == 78
    assert done.stdout == ""
    for word in ("data_dirr", "warehouse.port", "'abc'", "target[1].headers", "target[1].endpoint"):
        assert word in done.stderr
    assert "hunter2" not in done.stderr


def test_check_finds_secrets_and_files_that_are_not_there(tmp_path: Path) -> None:
    config = tmp_path / "secrets.toml"
    config.write_text(
        '[[target]]\nname = "a"\nurl = "https://a"\nca_file = "/nowhere/ca.pem"\n'
        'headers = { Authorization = { env = "NO_SUCH_SECRET" }, X-Api-Key = { file = "/nowhere/key" } }\n'
        '[[target.endpoint]]\npath = "/"\n'
    )
    done = perfhouse("check", config=config)
    assert done.returncode == 78
    assert all(word in done.stderr for word in ("ca_file", "NO_SUCH_SECRET", "/nowhere/key"))
    key = tmp_path / "key"
    key.write_text("0123456789\n")
    config.write_text(
        config.read_text().replace('ca_file = "/nowhere/ca.pem"\n', "").replace("/nowhere/key", str(key))
    )
    assert perfhouse("check", config=config, NO_SUCH_SECRET="s3cr3t").returncode == 0


def test_no_configuration_says_how_to_get_one(tmp_path: Path) -> None:
    done = perfhouse("status", config=tmp_path / "none.toml")
    assert done.returncode == 78
    assert "init" in done.stderr


def test_a_second_warehouse_exits_75_and_names_the_first(served: WarehouseProcess) -> None:
    done = perfhouse("warehouse", config=served.config)
    assert done.returncode == 75
    assert str(served.pid) in done.stderr


def test_a_warehouse_whose_port_is_taken_says_so(served: WarehouseProcess, tmp_path: Path) -> None:
    config = write_config(tmp_path)
    port = str(served.settings.warehouse.port)
    done = perfhouse("warehouse", config=config, PERFHOUSE_WAREHOUSE__PORT=port)
    assert done.returncode == 75
    assert port in done.stderr


def test_up_with_a_taken_port_starts_nothing(served: WarehouseProcess, tmp_path: Path) -> None:
    config = write_config(tmp_path)
    done = perfhouse("up", config=config, PERFHOUSE_WAREHOUSE__PORT=str(served.settings.warehouse.port))
    assert done.returncode == 75
    assert "warehouse: port" in done.stderr
    assert not (tmp_path / "data").exists()


def test_status_json_tells_rows_and_freshness(served: WarehouseProcess) -> None:
    done = perfhouse("status", "--json", config=served.config)
    report = json.loads(done.stdout)
    assert done.returncode == 1
    assert {part["name"]: part["running"] for part in report["parts"]} == {
        "warehouse": True,
        "collect": None,
        "dashboard": False,
    }
    assert report["rows"]["attempt"] == 7
    assert [(row["source"], row["kind"]) for row in report["fresh"]] == [("local", "probe")]
    assert report["healthy"] is False


def test_status_with_the_warehouse_away_exits_69(tmp_path: Path) -> None:
    done = perfhouse("status", config=write_config(tmp_path))
    assert done.returncode == 69
    assert "NOT RUNNING" in done.stdout


@pytest.mark.parametrize(("form", "read"), [("csv", pl.read_csv), ("parquet", pl.read_parquet)])
def test_export_writes_what_was_measured(served: WarehouseProcess, tmp_path: Path, form: str, read) -> None:  # type: ignore[no-untyped-def]
    out = tmp_path / f"attempts.{form}"
    options = ("export", "attempts", "--format", form, "--from", "1h", "--out", str(out))
    assert perfhouse(*options, config=served.config).returncode == 0
    frame = read(out)
    assert sorted(frame["total_us"].to_list()) == [ms * 1000 for ms in range(1, 8)]
    again = perfhouse(*options, config=served.config)
    assert again.returncode == 65
    assert perfhouse(*options, "--force", config=served.config).returncode == 0
    assert [file.name for file in tmp_path.iterdir()] == [out.name]


def test_export_to_stdout_with_parameters(served: WarehouseProcess) -> None:
    options = ("--out", "-", "--from", "1h", "--param", "endpoint=GET /", "--param", "merged=true")
    done = perfhouse("export", "latency_summary", *options, config=served.config)
    assert done.returncode == 0
    (row,) = pl.read_csv(done.stdout.encode()).to_dicts()
    assert (row["n"], row["p50_ms"], row["max_ms"]) == (7, 4.0, 7.0)


@pytest.mark.parametrize(
    ("options", "word"),
    [
        (("no_such",), "percentile_trend"),
        (("attempts", "--from", "yesterday"), "--from"),
        (("attempts", "--from", "2026-11-23T00:00:00"), "offset"),
        (("attempts", "--format", "xlsx"), "--format"),
        (("attempts", "--param", "endpoint"), "NAME=VALUE"),
        (("attempts", "--param", "sql=DROP"), "sql"),
        (("attempts", "--from", "1h", "--to", "2h"), "end must be after start"),
    ],
)
def test_export_says_what_is_wrong(
    served: WarehouseProcess, tmp_path: Path, options: tuple[str, ...], word: str
) -> None:
    done = perfhouse("export", *options, "--out", str(tmp_path / "x"), config=served.config)
    assert done.returncode == 65
    assert word in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_export_with_the_warehouse_away_exits_69(tmp_path: Path) -> None:
    done = perfhouse("export", "attempts", "--out", "-", config=write_config(tmp_path))
    assert done.returncode == 69


def test_tokens_are_added_listed_and_revoked(served: WarehouseProcess) -> None:
    added = perfhouse(
        "token", "add", "berlin", "--scope", "ingest", "--source", "berlin", config=served.config
    )
    value = added.stdout.strip()
    assert len(value) > 30
    listed = perfhouse("token", "list", config=served.config).stdout
    assert "berlin\tingest\tberlin" in listed
    assert value not in listed
    files = served.settings.token_dir.glob("*.json")
    assert all(value not in file.read_text() and file.stat().st_mode & 0o077 == 0 for file in files)
    assert perfhouse("token", "revoke", "berlin", config=served.config).returncode == 0
    assert perfhouse("token", "revoke", "berlin", config=served.config).returncode == 65


def test_a_port_nobody_uses_is_no_note(tmp_path: Path) -> None:
    config = write_config(tmp_path)
    assert "note:" not in perfhouse("check", config=config, PERFHOUSE_DASHBOARD__PORT=str(free_port())).stderr
