"""Secrets of the configuration, each a canary: after every kind of failure it is found nowhere."""

import base64
import io
import json
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import polars as pl
import psutil
import pytest
from playwright.sync_api import Page

from cli.presence import present
from tests.cli.children import wait_for
from tests.cli.running import perfhouse
from tests.cli.test_up import Up
from tests.collectors.processes import QUICK
from tests.e2e.conftest import settle
from tests.servers import faulty
from tests.servers.lying import lying_servers
from tests.servers.ports import free_port
from tests.servers.warehouse import write_config
from warehouse.client import Client
from warehouse.model import now
from warehouse.questions import QUESTIONS

CANARIES = {
    name: f"canary{number}x7Qm{number}vLp" for number, name in enumerate(("HEADER", "FILE", "TOKEN", "URL"))
}
"""By what holds it: an environment variable, a file, the collectors' token, a database's address."""

ENVIRONMENT = {f"CANARY_{name}": value for name, value in CANARIES.items() if name != "FILE"}
PATHS = (
    *("/ok", "/ok?status=401", "/ok?status=503", "/echo", "/hang", "/drip", "/reset", "/close", "/malformed"),
    *("/redirect", "/cut-mid-body", "/huge-headers", "/early-hints"),
)
PAGES = ("", "latency", "database", "hosts", "collectors")


def configuration(url: str, lies: dict[str, int]) -> str:
    """Targets and databases that fail in every way, each with a secret."""
    target = f'[[target]]\nname = "ill"\ninterval_s = 2\ndeadline_s = 0.6\nurl = "{url}"\n'
    secrets = 'headers = { Authorization = { env = "CANARY_HEADER" }, X-Api-Key = { file = "secret" } }\n'
    parts = [QUICK, "[host]\ninterval_s = 1\n", target, secrets]
    parts += [
        f'[[target.endpoint]]\nname = "{path}"\npath = "{path}"\nexpect_text = "never there"\n'
        'headers = { Cookie = { file = "secret" } }\n'
        for path in PATHS
    ]
    for name, address in (
        ("refused", f"http://127.0.0.1:{free_port()}"),
        ("no name", "http://nowhere.invalid"),
        ("no tls", url.replace("http:", "https:")),
    ):
        parts.append(
            f'[[target]]\nname = "{name}"\nurl = "{address}"\ninterval_s = 1\n'
            'headers = { Authorization = { env = "CANARY_HEADER" } }\n[[target.endpoint]]\npath = "/"\n'
        )
    for engine in ("postgres", "mysql", "redis"):
        parts += [
            f'[[database]]\nname = "{engine} {name}"\nengine = "{engine}"\ninterval_s = 2\ndeadline_s = 1\n'
            f'url = {{ file = "{engine}-{port}" }}\n'
            for name, port in lies.items()
        ]
    return "\n".join(parts)


def write_secrets(folder: Path, lies: dict[str, int]) -> None:
    """The files that the configuration names."""
    secrets = {"secret": CANARIES["FILE"]}
    for engine in ("postgres", "mysql", "redis"):
        scheme = "postgresql" if engine == "postgres" else engine
        for name, port in lies.items():
            address = f"{scheme}://watcher:{CANARIES['URL']}@127.0.0.1:{port}/db"
            secrets[f"{engine}-{port}"] = (
                address if name != "no address" else f"{CANARIES['URL']} = no address"
            )
    for name, value in secrets.items():
        (folder / name).write_text(value)
        (folder / name).chmod(0o600)


def found_in(data: bytes | str) -> list[str]:
    """The canaries in it: as they are, in base64 at any offset, in hex, and as UTF-16."""
    raw = data if isinstance(data, bytes) else data.encode("utf-8", "surrogateescape")
    found = []
    for name, value in CANARIES.items():
        plain = value.encode()
        forms = [plain, plain.hex().encode(), value.encode("utf-16-le"), plain[::-1]]
        forms += [base64.b64encode(b"x" * shift + plain)[4:-4] for shift in range(3)]
        found += [name] if any(form in raw for form in forms) else []
    return found


def contents(folder: Path) -> dict[Path, bytes]:
    """Every file below a folder, but for those that go while the folder is read: batches that were sent."""
    found = {}
    for file in folder.rglob("*"):
        with suppress(FileNotFoundError, IsADirectoryError):
            found[file] = file.read_bytes()
    return found


@pytest.fixture
def ill(tmp_path: Path) -> Iterator[tuple[Up, faulty.FaultyServer]]:
    """Everything running, and failing, with secrets."""
    with faulty.running_faulty_server() as target, lying_servers() as servers:
        lies = {name: server.port for name, server in servers.items()}
        lies |= {"refused": free_port(), "no address": 0}
        write_secrets(tmp_path, lies)
        config = write_config(tmp_path, configuration(target.url, lies))
        with Up(
            config, tmp_path / "up.log", PYTHONFAULTHANDLER="1", PYTHONASYNCIODEBUG="1", **ENVIRONMENT
        ) as up:
            up.wait_ready()
            yield up, target


@pytest.mark.timeout(300)
def test_no_secret_of_the_configuration_is_found_anywhere(
    ill: tuple[Up, faulty.FaultyServer], open_tab: Callable[..., Page], tmp_path: Path
) -> None:
    up, target = ill
    wait_for(lambda: len(outcomes(up)) >= 7, 60, told=lambda: str(outcomes(up)))
    told = {request.headers.get("authorization") for request in target.served}
    assert told == {CANARIES["HEADER"]}, "the secrets were really sent"
    assert {request.headers.get("x-api-key") for request in target.served} == {CANARIES["FILE"]}
    assert set(found_in(str(target.served[0].headers))) == {"HEADER", "FILE"}, "they would be found"
    refused_sender(up, tmp_path / "remote")
    command_lines = [line for process in psutil.process_iter() for line in words_of(process)]
    assert found_in("\n".join(command_lines)) == []
    for part in ("collect", "warehouse"):
        crash(up, part)
    time.sleep(2)

    assert found_in(answers(up)) == []
    for arguments in (("status",), ("status", "--json"), ("check",), ("token", "list")):
        done = perfhouse(*arguments, config=up.config, **ENVIRONMENT)
        assert found_in(done.stdout + done.stderr) == [], arguments
    for shown in pages(up, open_tab):
        assert found_in(shown) == []
    kept = contents(up.settings.data_dir)
    assert {"warehouse.duckdb", "warehouse.duckdb.wal"} <= {file.name for file in kept}
    for file, content in kept.items():
        assert found_in(content) == [], file
        assert found_in(file.name) == []
    up.end(signal.SIGTERM)
    assert "Fatal Python error: Aborted" in up.said, "the crashes left a trace"
    assert found_in(up.said) == []
    for file in up.settings.data_dir.rglob("*"):
        assert found_in(file.read_bytes() if file.is_file() else "") == [], file


def test_problems_of_a_configuration_quote_no_secret(tmp_path: Path) -> None:
    """Secrets written where they do not belong, and references that do not lead to one."""
    secret = CANARIES["HEADER"]
    (tmp_path / "two").write_text(f"{secret}\n{secret}\n")
    (tmp_path / "binary").write_bytes(b"\xff" + secret.encode())
    wrong = (
        f'headers = {{ Authorization = "{secret}" }}',
        f'headers = {{ X-Token = {{ env = "{secret}", file = "{secret}" }} }}',
        f'headers = {{ X-Token = {{ secret = "{secret}" }} }}',
        f'headers = {{ Cookie = ["{secret}"] }}',
        'headers = { Cookie = { file = "two" } }',
        'headers = { Cookie = { file = "binary" } }',
        f'headers = "{secret}"',
        f'body = 5\njson_body = "{secret}"',
        f'url = "http://user:{secret}@host/"',
        f'url = "http://host/?key={secret}"',
        f'token = "{secret}"',
        f'password = "{secret}"',
    )
    for key in wrong:
        config = write_config(
            tmp_path,
            f'[[target]]\nname = "x"\n{"" if "url" in key else "url = 5"}\n{key}\n'
            '[[target.endpoint]]\npath = "/"\n'
            f'[[database]]\nname = "d"\nengine = "postgres"\nurl = "postgresql://u:{secret}@h/d"\n'
            f'[collectors]\nwarehouse_url = "http://u:{secret}@h"\ntoken = "{secret}"\n',
        )
        done = perfhouse("check", config=config)
        assert done.returncode == 78
        assert found_in(done.stderr + done.stdout) == [], key


def outcomes(up: Up) -> set[str]:
    """How the attempts that are stored ended."""
    with Client.for_process(up.settings, "cli") as client:
        return set(client.ask("attempts", start=now() - timedelta(hours=1), end=now())["outcome"])


def crash(up: Up, part: str) -> None:
    """Abort a part, which leaves its stacks in the log, and wait until another answers in its place."""

    before = present(up.settings, part)
    assert before is not None
    ready = up.said.count("ready after")
    psutil.Process(before.pid).send_signal(signal.SIGABRT)
    wait_for(lambda: up.said.count("ready after") > ready, 60, told=lambda: up.said[-3000:])
    wait_for(lambda: present(up.settings, part) not in (None, before))


def words_of(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def refused_sender(up: Up, folder: Path) -> None:
    """Collectors of another machine whose token is not known here."""
    folder.mkdir()
    config = write_config(
        folder,
        f'[collectors]\nname = "remote"\nwarehouse_url = "{up.settings.warehouse.url}"\n'
        'token = { env = "CANARY_TOKEN" }\nflush_s = 0.2\nhealth_interval_s = 1\n',
    )
    with Up(config, folder / "up.log", **ENVIRONMENT) as remote:
        wait_for(lambda: "401" in remote.said, 30, told=lambda: remote.said)
        remote.end(signal.SIGTERM)
    assert found_in(remote.said) == []
    for file in (folder / "data").rglob("*"):
        assert found_in(file.read_bytes() if file.is_file() else "") == [], file


COMPARING = {"run_compare", "run_compare_curves", "baseline_compare", "baseline_again"}
"""Questions that refuse runs and baselines which are not there."""


def answers(up: Up) -> str:
    """All that the API tells, in every form, unpacked."""
    window = {"start": now() - timedelta(hours=1), "end": now()}
    told = []
    with Client.for_process(up.settings, "cli") as client:
        told += [json.dumps(client.questions()), str(client.health())]
        told.append(client._http.get("/api/v1/openapi.json").text)
        known = {**window, "run_id": "r20260101000000-000000", "scenario": "invoice-api"}
        takes = {each["name"]: each["parameters"] for each in client.questions()}
        for name in QUESTIONS.keys() - COMPARING:
            parameters = {each: value for each, value in known.items() if each in takes[name]["properties"]}
            parameters |= {each: "x" for each in takes[name].get("required", ()) if each not in parameters}
            frame = client.ask(name, **parameters)
            told.append(frame.write_ndjson())
            for form in ("csv", "json", "parquet"):
                out = io.BytesIO()
                client.export(name, form, out, **parameters)
                data = out.getvalue()
                told.append(pl.read_parquet(data).write_ndjson() if form == "parquet" else data.decode())
    assert sum(map(len, told)) > 20_000
    return "\n".join(told)


def pages(up: Up, open_tab: Callable[..., Page]) -> Iterator[str]:
    """The HTML and the text of every page."""
    for path in PAGES:
        page = open_tab(f"http://127.0.0.1:{up.settings.dashboard.port}/{path}?range=15m")
        settle(page)
        yield page.content() + page.inner_text("body")
        page.close()
