"""Secrets that a load test sends are found nowhere: not in plan, spool, logs, exports, bundle or pages."""

import json
import signal
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from playwright.sync_api import Page

from tests.cli.children import wait_for
from tests.cli.running import perfhouse
from tests.cli.test_up import Up
from tests.collectors.processes import QUICK
from tests.e2e.conftest import settle
from tests.e2e.test_canary import CANARIES, ENVIRONMENT, found_in, words_of, write_secrets
from tests.servers import faulty
from tests.servers.warehouse import write_config
from warehouse.client import Client
from warehouse.model import now

PATHS = ("/ok", "/ok?status=401", "/echo", "/reset", "/malformed", "/redirect", "/cut-mid-body")
"""One echoes what it is sent, secrets too."""

LOAD = """
[[target]]
name = "ill"
url = "{url}"
interval_s = 60
deadline_s = 1
headers = {{ Authorization = {{ env = "CANARY_HEADER" }} }}
endpoint = [{{ path = "/ok" }}]
load = {{ users = 10, requests_per_s = 100, duration_s = 30 }}
[[preset]]
name = "quick"
users = 3
spawn_rate = 3
duration_s = 5
criteria = ["errors < 1%"]
[[scenario]]
name = "leaky"
think_s = 0.05
"""
REQUEST = """
[[scenario.request]]
name = "{path}"
path = "{path}"
expect_text = "never there"
deadline_s = 1
headers = {{ X-Api-Key = {{ file = "secret" }} }}
"""


@pytest.fixture
def ill(tmp_path: Path) -> Iterator[tuple[Up, faulty.FaultyServer]]:
    """Everything running, and a target that bears load and answers badly."""
    with faulty.running_faulty_server() as target:
        write_secrets(tmp_path, {})
        text = QUICK + LOAD.format(url=target.url) + "".join(REQUEST.format(path=path) for path in PATHS)
        config = write_config(tmp_path, text)
        with Up(config, tmp_path / "up.log", **ENVIRONMENT) as up:
            up.wait_ready()
            yield up, target


@pytest.mark.timeout(300)
def test_no_secret_that_a_load_test_sends_is_found_anywhere(
    ill: tuple[Up, faulty.FaultyServer], open_tab: Callable[..., Page], tmp_path: Path
) -> None:
    up, target = ill
    said, lines = [], set[str]()
    asked = ("loadtest", "run", "quick", "--target", "ill", "--scenario", "leaky", "--json")
    done = perfhouse(*asked, config=up.config, **ENVIRONMENT)
    said.append(done.stdout + done.stderr)
    run_id = json.loads(done.stdout)["run_id"]

    def has_ended() -> bool:
        lines.update(line for process in psutil.process_iter() for line in words_of(process))
        with Client.for_process(up.settings, "cli") as client:
            return client.ask("run", run_id=run_id)["verdict"].item() == "fail"

    wait_for(has_ended, 90, told=lambda: up.said[-3000:])
    served = [request for request in target.served if "x-api-key" in request.headers]
    assert len(served) > 10
    assert found_in(str(served[0].headers)) == ["HEADER", "FILE"], "they were really sent"
    assert any("locust" in line for line in lines)
    assert found_in("\n".join(lines)) == []

    files = {name: tmp_path / f"run.{name}" for name in ("csv", "parquet", "bundle")}
    for name, file in files.items():
        more = ["--bundle"] if name == "bundle" else []
        done = perfhouse("loadtest", "export", run_id, str(file), *more, config=up.config)
        assert done.returncode == 0, done.stderr
        said.append(done.stdout + done.stderr)
        assert found_in(file.read_bytes()) == []
    with zipfile.ZipFile(files["bundle"]) as packed:
        assert found_in(b"".join(packed.read(name) for name in packed.namelist())) == []
    for command in (("show", run_id, "--json"), ("list",), ("presets",)):
        done = perfhouse("loadtest", *command, config=up.config)
        said.append(done.stdout + done.stderr)
    assert found_in("\n".join(said)) == []

    with Client.for_process(up.settings, "cli") as client:
        for question in ("run", "run_failures", "run_requests", "run_endpoints"):
            assert found_in(client.ask(question, run_id=run_id).write_ndjson()) == [], question
        window = {"start": now().replace(hour=0, minute=0), "end": now()}
        assert found_in(client.ask("audit_log", **window).write_ndjson()) == []
    for path in ("loadtests", f"run?run={run_id}", "compare"):
        page = open_tab(f"http://127.0.0.1:{up.settings.dashboard.port}/{path}")
        settle(page)
        assert found_in(page.content() + page.inner_text("body")) == []
        page.close()
    up.end(signal.SIGTERM)
    assert found_in(up.said) == []
    kept = [file for file in up.settings.data_dir.rglob("*") if file.is_file()]
    names = {file.name for file in kept}
    assert {"plan.json", "state.json", "launcher.log", "requests-0.bin", "events-0.jsonl"} <= names
    for file in kept:
        assert found_in(file.read_bytes()) == [], file
    assert CANARIES["FILE"] in (tmp_path / "secret").read_text(), "the canaries are what is looked for"
