"""The commands as a person runs them: their output, their errors, their exit codes."""

import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import polars as pl
import pytest

from tests.cli.running import ROOT, perfhouse
from tests.servers.warehouse import WarehouseProcess, running_warehouse, write_config
from tests.warehouse.records import attempt
from warehouse import VERSION
from warehouse.client import pack
from warehouse.model import Batch, now
from warehouse.settings import load, parse


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WarehouseProcess]:
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
    options = ("--url", "https://api.example.com", "--name", 'the "shop" \u2615 \N{GRINNING FACE}')
    paths = ("--endpoint", "/a", "--endpoint", "/b?c=d")
    assert perfhouse("init", *options, *paths, config=config).returncode == 0
    settings = load(config, {})
    assert settings.target[0].name == options[-1]
    assert [endpoint.path for endpoint in settings.target[0].endpoint] == ["/a", "/b?c=d"]
    assert settings.host is not None
    assert not settings.demo.enabled
    assert perfhouse("check", config=config).returncode == 0
    before = config.read_bytes()
    again = perfhouse("init", config=config)
    assert (again.returncode, config.read_bytes()) == (65, before)
    assert "--force" in again.stderr
    assert perfhouse("init", "--force", config=config).returncode == 0
    assert load(config, {}).target == ()


def test_init_asks_nothing_and_writes_where_it_stands(tmp_path: Path) -> None:
    assert perfhouse("init", cwd=tmp_path).returncode == 0
    assert [file.name for file in tmp_path.iterdir()] == ["perfhouse.toml"]
    assert perfhouse("check", cwd=tmp_path).returncode == 0


def test_what_init_leaves_as_a_comment_is_right_too(tmp_path: Path) -> None:
    perfhouse("init", "--url", "https://api.example.com", cwd=tmp_path)
    text = (tmp_path / "perfhouse.toml").read_text()
    commented = "\n".join(
        line.removeprefix("# ") if "=" in line or "[" in line else line for line in text.splitlines()
    )
    settings = parse(commented.replace("[collectors]", ""), tmp_path / "x.toml", {})
    assert settings.target[0].name == "api.example.com"
    assert settings.target[0].headers
    assert settings.target[0].endpoint[0].expect_json == {"status": "ok"}
    assert settings.retention.raw_days == 30


@pytest.mark.parametrize(
    ("options", "code"),
    [(("--url", "ftp://x"), 78), (("--url", "http://x", "--endpoint", "a"), 78), (("--endpoint", "/a"), 65)],
)
def test_init_with_impossible_options_writes_nothing(
    tmp_path: Path, options: tuple[str, ...], code: int
) -> None:
    done = perfhouse("init", *options, config=tmp_path / "mine.toml")
    assert done.returncode == code
    assert list(tmp_path.iterdir()) == []


def test_init_where_nothing_can_be_written_says_so(tmp_path: Path) -> None:
    done = perfhouse("init", config=tmp_path / "no" / "folder.toml")
    assert done.returncode == 65
    assert "No such file or directory" in done.stderr


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


def test_up_with_taken_ports_starts_nothing(tmp_path: Path) -> None:
    config = write_config(tmp_path)
    ports = load(config, {})
    with (
        socket.create_server(("127.0.0.1", ports.warehouse.port)),
        socket.create_server(("127.0.0.1", ports.dashboard.port)),
    ):
        done = perfhouse("up", config=config)
    assert done.returncode == 75
    assert f"warehouse.port: 127.0.0.1:{ports.warehouse.port} is used by process" in done.stderr
    assert f"dashboard.port: 127.0.0.1:{ports.dashboard.port} is used by process" in done.stderr
    assert not (tmp_path / "data").exists()


def test_up_with_a_wrong_configuration_starts_nothing(tmp_path: Path) -> None:
    target = '[[target]]\nname = "a"\nurl = "http://a"\nheaders = { A = { env = "NO_SUCH_SECRET" } }\n'
    config = write_config(tmp_path, target + 'endpoint = [{ path = "/" }]')
    done = perfhouse("up", config=config)
    assert done.returncode == 78
    assert "NO_SUCH_SECRET" in done.stderr
    assert not (tmp_path / "data").exists()


def test_check_notes_a_taken_port(served: WarehouseProcess, tmp_path: Path) -> None:
    port = str(served.settings.warehouse.port)
    done = perfhouse("check", config=write_config(tmp_path), PERFHOUSE_WAREHOUSE__PORT=port)
    assert done.returncode == 0
    assert f"note: warehouse.port: 127.0.0.1:{port} is used by process {served.pid}" in done.stderr
    assert "note: warehouse.port" not in perfhouse("check", config=write_config(tmp_path)).stderr


def test_version_is_told() -> None:
    assert perfhouse("--version").stdout == f"{VERSION}\n"


@pytest.mark.parametrize(("form", "read"), [("csv", pl.read_csv), ("parquet", pl.read_parquet)])
def test_export_writes_what_was_measured(
    served: WarehouseProcess, tmp_path: Path, form: str, read: Callable[[Path], pl.DataFrame]
) -> None:
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
        (("attempt",), "Did you mean attempts?"),
        (("attempts", "--from", "999999999w"), "--from"),
        (("attempts", "--format", "xlsx"), "--format"),
        (("attempts", "--param", "start=24h"), "start"),
        (("attempts", "--param", "form=csv"), "form"),
        (("storage", "--from", "1h"), "not about a span of time"),
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


def test_export_lists_the_questions_and_what_they_take(served: WarehouseProcess) -> None:
    done = perfhouse("export", "--list", config=served.config)
    assert done.returncode == 0, done.stderr
    listed = done.stdout.split("\nattempts\n")[1].splitlines()
    assert listed[0].strip() == "Single attempts, durations in microseconds as they were measured."
    assert listed[1].strip() == "takes: --from, --to, endpoint, outcome, target"
    assert "takes: nothing" in done.stdout


@pytest.mark.parametrize(("given", "missing"), [(("--out", "-"), "question"), (("endpoints",), "--out")])
def test_export_without_a_question_or_a_file_says_how(
    served: WarehouseProcess, given: tuple[str, ...], missing: str
) -> None:
    done = perfhouse("export", *given, config=served.config)
    assert (done.returncode, done.stdout) == (65, "")
    assert f"{missing}: it is missing" in done.stderr
    assert "--list" in done.stderr


def test_export_with_the_warehouse_away_exits_69(tmp_path: Path) -> None:
    done = perfhouse("export", "attempts", "--out", "-", config=write_config(tmp_path))
    assert done.returncode == 69


def test_export_of_what_has_no_span_of_time(served: WarehouseProcess) -> None:
    done = perfhouse("export", "endpoints", "--out", "-", config=served.config)
    assert pl.read_csv(done.stdout.encode())["endpoint"].to_list() == ["GET /"]
    assert "wrote" in done.stderr


def test_export_into_a_folder_that_is_not_there_says_so(served: WarehouseProcess, tmp_path: Path) -> None:
    done = perfhouse("export", "endpoints", "--out", str(tmp_path / "no" / "x.csv"), config=served.config)
    assert done.returncode == 65
    assert "No such file or directory" in done.stderr


def test_tokens_are_added_listed_and_revoked(served: WarehouseProcess) -> None:
    added = perfhouse("token", "add", "berlin", config=served.config)
    value = added.stdout.strip()
    assert len(value) > 30
    assert value not in added.stderr
    listed = perfhouse("token", "list", config=served.config).stdout
    assert "berlin\tingest\tberlin" in listed.splitlines()
    assert value not in listed
    files = served.settings.token_dir.glob("*.json")
    assert all(value not in file.read_text() and file.stat().st_mode & 0o077 == 0 for file in files)
    assert perfhouse("token", "revoke", "berlin", config=served.config).returncode == 0
    assert perfhouse("token", "revoke", "berlin", config=served.config).returncode == 65


@pytest.mark.parametrize(
    "arguments", [("berlin", "--scope", "launch"), ("../berlin",), ("cli", "--scope", "read")]
)
def test_a_token_that_cannot_be_is_refused(served: WarehouseProcess, arguments: tuple[str, ...]) -> None:
    before = perfhouse("token", "list", config=served.config).stdout
    done = perfhouse("token", "add", *arguments, config=served.config)
    assert (done.returncode, done.stdout) == (65, "")
    assert perfhouse("token", "list", config=served.config).stdout == before


def test_scopes_and_sources_are_as_given(served: WarehouseProcess) -> None:
    options = ("--scope", "ingest", "--scope", "read", "--source", "a", "--source", "b")
    assert perfhouse("token", "add", "both", *options, config=served.config).returncode == 0
    listed = perfhouse("token", "list", config=served.config).stdout
    assert "both\tingest,read\ta,b" in listed.splitlines()
    perfhouse("token", "add", "reader", "--scope", "read", config=served.config)
    assert "reader\tread\t" in perfhouse("token", "list", config=served.config).stdout.splitlines()
