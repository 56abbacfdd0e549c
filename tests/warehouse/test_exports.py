"""Exports on the wire: progress, the end of one whose reader left, a broken one, and memory."""

import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import httpx
import psutil
import pytest
import uvicorn

from tests.collectors.processes import wait_for
from tests.servers.ports import free_port
from tests.servers.warehouse import START_S, WarehouseProcess, running_warehouse
from tests.warehouse.filling import fill_attempts
from warehouse.api import create_app
from warehouse.client import Client
from warehouse.errors import BusyError, RefusedError, WarehouseAwayError
from warehouse.model import now
from warehouse.questions import QUESTIONS, Statement
from warehouse.questions.asking import Nothing
from warehouse.reader import EXPORTS_AT_ONCE
from warehouse.service import Warehouse
from warehouse.settings import Settings

ROWS = 400_000
WAIT_S = 20
GROWTH_BYTES = 100_000_000
WEEK = {"start": now() - timedelta(days=6), "end": now()}


def numbers(_: Nothing) -> Statement:
    """Many rows as they are stored."""
    return Statement(f"SELECT i, 'row ' || i AS text FROM range({ROWS}) AS t(i)", raw=True)


def endless(_: Nothing) -> Statement:
    """No row for a very long time."""
    return Statement("SELECT count(*) AS n FROM range(1000000000000) AS t(i) WHERE sin(i) > 2")


def breaking(_: Nothing) -> Statement:
    """Rows, and then an error."""
    return Statement(
        "SELECT i, CASE WHEN i > 2900000 THEN error('the disk is on fire') ELSE 'x' END AS text "
        "FROM range(3000000) AS t(i)",
        order="",
    )


@pytest.fixture
def api(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The API in this process, with questions of these tests."""
    for question in (numbers, endless, breaking):
        monkeypatch.setitem(QUESTIONS, question.__name__, question)  # type: ignore[arg-type]
    port = free_port()
    app = create_app(Warehouse(settings))
    server = uvicorn.Server(uvicorn.Config(app, port=port, log_level="warning", timeout_graceful_shutdown=5))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        assert thread.is_alive()
        time.sleep(0.01)
    yield f"http://127.0.0.1:{port}"
    server.should_exit = True
    thread.join(WAIT_S)
    assert not thread.is_alive()


@pytest.fixture
def reader(api: str, settings: Settings) -> Iterator[Client]:
    local = Client.for_process(settings, "cli")
    with Client(api, local._token, retries=0) as client:
        yield client
    local.close()


def stream(
    client: Client, question: str, **headers: str
) -> "httpx._client.AbstractContextManager[httpx.Response]":  # type: ignore[name-defined]
    request = client._export_request(question, "csv", headers.get("export_id"), {})
    return httpx.stream(
        "GET",
        client.url + request["url"],
        params=request["params"],
        headers=request["headers"],
        timeout=WAIT_S,
    )


def wait_free(client: Client) -> None:
    """Wait until both places are free: the next exports are answered."""
    until = time.monotonic() + WAIT_S
    while True:
        try:
            with stream(client, "numbers") as one, stream(client, "numbers") as two:
                if one.status_code == two.status_code == 200:
                    return
        except httpx.HTTPError:
            pass
        assert time.monotonic() < until, "the places are still taken"
        time.sleep(0.05)


def test_progress_is_told_while_it_runs_and_after(reader: Client, tmp_path: Path) -> None:
    export_id = "progress-of-this-test"
    seen = []
    out = tmp_path / "numbers.csv"
    reader.export("numbers", "csv", out, lambda _: seen.append(reader.export_state(export_id)), export_id)
    assert {state.total_rows for state in seen} == {ROWS}
    assert [state.rows for state in seen] == sorted(state.rows for state in seen)
    assert len({state.rows for state in seen}) > 2
    ended = reader.export_state(export_id)
    assert (ended.state, ended.rows) == ("done", ROWS)
    assert len(out.read_text().splitlines()) == ROWS + 1


def test_an_id_is_used_once_and_is_the_owners_own(reader: Client, settings: Settings) -> None:
    export_id = "an-id-that-is-used-once"
    with stream(reader, "numbers", export_id=export_id) as answer:
        assert answer.headers["x-total-rows"] == str(ROWS)
    with stream(reader, "numbers", export_id=export_id) as again:
        assert again.status_code == 409
    with (
        Client.for_process(settings, "dashboard") as process,
        Client(reader.url, process._token, retries=0) as other,
        pytest.raises(RefusedError) as unknown,
    ):
        other.export_state(export_id)
    assert unknown.value.status == 404


@pytest.mark.parametrize("question", ["numbers", "endless"])
def test_a_reader_that_leaves_frees_its_place(reader: Client, question: str) -> None:
    """Also when the database has not given a row yet."""
    for number in range(EXPORTS_AT_ONCE + 2):
        export_id = f"left-alone-number-{number}"
        timeout = httpx.Timeout(WAIT_S, read=0.3 if question == "endless" else WAIT_S)
        request = reader._export_request(question, "csv", export_id, {})
        request["url"] = reader.url + request["url"]
        try:
            with httpx.stream(**request, timeout=timeout) as answer:
                assert answer.status_code == 200
                next(answer.iter_raw(1000))
        except httpx.ReadTimeout:
            assert question == "endless"
        until = time.monotonic() + WAIT_S
        while reader.export_state(export_id).state == "running":
            assert time.monotonic() < until
            time.sleep(0.02)
        assert reader.export_state(export_id).state == "broken"
    wait_free(reader)


def test_one_that_breaks_midway_is_no_whole_answer(reader: Client, tmp_path: Path) -> None:
    out = tmp_path / "breaking.csv"
    with pytest.raises(WarehouseAwayError):
        reader.export("breaking", "csv", out, None, "one-that-breaks-off")
    assert out.stat().st_size > 0
    assert reader.export_state("one-that-breaks-off").state == "broken"
    wait_free(reader)


def test_a_third_is_told_what_to_do(reader: Client, tmp_path: Path) -> None:
    with stream(reader, "numbers") as one, stream(reader, "numbers") as two:
        assert one.status_code == two.status_code == 200
        with pytest.raises(BusyError) as third:
            reader.export("numbers", "csv", tmp_path / "x")
    assert "2 exports run already" in third.value.message
    assert "Try again" in third.value.hint


def test_the_first_rows_and_the_count_have_no_row_cap(tmp_path: Path) -> None:
    window = {"start": "2026-01-01T00:00:00Z", "end": now()}
    with running_warehouse(tmp_path, warehouse="row_cap = 100") as process:
        process.stop()
        fill_attempts(process.settings, 1000)
        process.start()
        with process.client("cli") as client:
            assert client.count("attempts", **window) == 1000
            assert client.count("endpoints") == 10
            assert client.ask("attempts", first=20, **window).height == 20
            with pytest.raises(RefusedError):
                client.ask("attempts", first=0, **window)


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WarehouseProcess]:
    """A warehouse with so many attempts that holding them would show; what it begins with is done."""
    with running_warehouse(tmp_path_factory.mktemp("large")) as process:
        process.stop()
        fill_attempts(process.settings, 1_500_000)
        process.start()
        with process.client("cli") as client:
            wait_for(lambda: {"probe"} <= set(client.ask("watching")["kind"]), START_S)
            wait_for(lambda: "1d" in client.ask("latency_summary", **WEEK)["tier"][0], START_S)
        yield process


@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_memory_stays_bounded_in_warehouse_and_client(
    large: WarehouseProcess, tmp_path: Path, form: str
) -> None:
    watched = {"warehouse": psutil.Process(large.pid), "client": psutil.Process()}
    with large.client("cli") as client:
        # What is loaded once is not counted: a small export comes first.
        client.export("attempts", form, tmp_path / "small", start=now() - timedelta(hours=1), end=now())
        before = {name: process.memory_info().rss for name, process in watched.items()}
        most = dict(before)

        def look(_: int) -> None:
            for name, process in watched.items():
                most[name] = max(most[name], process.memory_info().rss)

        out = tmp_path / f"attempts.{form}"
        written = client.export("attempts", form, out, look, start="2026-01-01T00:00:00Z", end=now())
    grown = {name: most[name] - before[name] for name in watched}
    assert written > (100_000_000 if form == "csv" else 10_000_000)
    assert all(growth < GROWTH_BYTES for growth in grown.values()), grown
