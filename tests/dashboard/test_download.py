"""The download route by raw HTTP: who gets a file, once, whole or visibly not."""

import socket
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import psutil
import pytest
from starlette.responses import PlainTextResponse

from dashboard import tickets
from dashboard.download import Downloads
from dashboard.tickets import TICKETS, Download
from tests.servers.asgi import serving
from tests.servers.warehouse import WarehouseProcess, running_warehouse
from tests.warehouse.filling import fill_attempts
from warehouse.model import now

ROWS = 600_000
WAIT_S = 20
GROWTH_BYTES = 60_000_000
Make = Callable[..., Download]


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WarehouseProcess]:
    with running_warehouse(tmp_path_factory.mktemp("download")) as process:
        process.stop()
        fill_attempts(process.settings, ROWS)
        process.start()
        yield process


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """The route before an application that answers everything else."""
    with serving(Downloads(PlainTextResponse("inner"), ["localhost", "127.0.0.1"])) as url:
        yield url


@pytest.fixture
def make(filled: WarehouseProcess) -> Iterator[Make]:
    """Make a ticket for attempts."""
    made: list[Download] = []
    with filled.client("dashboard", retries=0) as client:

        def make(form: str = "csv", days: float = 8, **changed: object) -> Download:
            window = {"start": now() - timedelta(days=days), "end": now()}
            download = Download("attempts", window, form, "Single attempts", f"attempts.{form}", client)
            for name, value in changed.items():
                setattr(download, name, value)
            made.append(TICKETS.issue(download))
            return download

        yield make
        wait_until(lambda: not any(download.state == "running" for download in made))


def get(address: str, ticket: str, **headers: str) -> httpx.Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return httpx.get(f"{address}/download/{ticket}", headers=named, timeout=WAIT_S, trust_env=False)


def read_after(url: str, happens: Callable[[], None]) -> None:
    """Read to the end what had begun when something happened."""
    with httpx.stream("GET", url, timeout=WAIT_S, trust_env=False) as answer:
        blocks = answer.iter_raw(1000)
        next(blocks)
        happens()
        for _ in blocks:
            pass


def wait_until(true: Callable[[], bool]) -> None:
    until = time.monotonic() + WAIT_S
    while not true():
        assert time.monotonic() < until
        time.sleep(0.02)


def test_a_ticket_gives_what_the_warehouse_gives(
    address: str, make: Make, filled: WarehouseProcess, tmp_path: Path
) -> None:
    download = make(days=1)
    answer = get(address, download.ticket, sec_fetch_site="same-origin", origin=address)
    with filled.client("cli") as client:
        client.export("attempts", "csv", tmp_path / "own.csv", **download.parameters)
    assert answer.status_code == 200
    assert answer.content == (tmp_path / "own.csv").read_bytes()
    assert answer.headers["content-disposition"] == 'attachment; filename="attempts.csv"'
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["cache-control"] == "no-store"
    assert "content-encoding" not in answer.headers
    wait_until(lambda: download.state != "running")
    assert (download.state, download.sent) == ("done", len(answer.content))
    assert download.rows == download.total == len(answer.text.splitlines()) - 1
    assert len(download.ticket) >= 43


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"host": "evil.example"}, 400),
        ({"host": "127.0.0.1.evil.example"}, 400),
        ({"host": "evil@127.0.0.1"}, 400),
        ({"origin": "http://evil.example"}, 403),
        ({"origin": "null"}, 403),
        ({"origin": "http://127.0.0.1:1"}, 403),
        ({"sec_fetch_site": "cross-site"}, 403),
        ({"sec_fetch_site": "same-site"}, 403),
        (
            {"sec_fetch_site": "cross-site", "sec_fetch_mode": "navigate", "sec_fetch_dest": "document"},
            403,
        ),
    ],
)
def test_a_foreign_page_gets_nothing_and_uses_up_nothing(
    address: str, make: Make, headers: dict[str, str], status: int
) -> None:
    download = make(days=0.01)
    refused = get(address, download.ticket, **headers)
    assert refused.status_code == status
    assert "shop" not in refused.text
    assert download.ticket not in refused.text
    assert "content-disposition" not in refused.headers
    assert get(address, download.ticket).status_code == 200


def test_two_hosts_are_none(address: str, make: Make) -> None:
    place = urlsplit(address)
    request = f"GET /download/{make().ticket} HTTP/1.1\r\nHost: {place.netloc}\r\nHost: evil.example\r\n\r\n"
    with socket.create_connection((str(place.hostname), place.port or 0), WAIT_S) as raw:
        raw.sendall(request.encode())
        assert raw.recv(4000).startswith(b"HTTP/1.1 400")


def test_a_ticket_is_used_once_and_soon(address: str, make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    used = make(days=0.01)
    assert get(address, used.ticket).status_code == 200
    again = get(address, used.ticket)
    assert (again.status_code, "Export again" in again.text) == (410, True)
    old = make(made_at=time.monotonic() - tickets.GOOD_FOR_S - 1)
    assert get(address, old.ticket).status_code == 410
    stopped = make()
    stopped.stop()
    assert get(address, stopped.ticket).status_code == 410
    for unknown in ("", "x", "a" * 43, "..%2f..%2fetc"):
        assert get(address, unknown).status_code == 404


def test_only_get_is_answered_and_the_rest_passes_on(address: str, make: Make) -> None:
    download = make(days=0.01)
    for method in ("HEAD", "POST", "OPTIONS", "DELETE"):
        answer = httpx.request(method, f"{address}/download/{download.ticket}", trust_env=False)
        assert answer.status_code == 405
        assert answer.headers["allow"] == "GET"
    assert not download.used
    for path in ("/", "/download", "/downloads/x", "/latency"):
        assert httpx.get(address + path, trust_env=False).text == "inner"


def test_who_leaves_frees_the_place_in_the_warehouse(address: str, make: Make) -> None:
    """Four times two downloads given up: a fifth pair is answered."""
    for _ in range(4):
        pair = [make(), make()]
        for download in pair:
            url = f"{address}/download/{download.ticket}"
            with httpx.stream("GET", url, timeout=WAIT_S, trust_env=False) as answer:
                next(answer.iter_raw(1000))
                assert answer.status_code == 200
        wait_until(lambda pair=pair: all(download.state == "stopped" for download in pair))  # type: ignore[misc]
        wait_until(lambda pair=pair: all(_ended(download) for download in pair))  # type: ignore[misc]


def _ended(download: Download) -> bool:
    return download.client.export_state(download.export_id).state != "running"


def test_cancel_on_the_page_breaks_the_stream_visibly(address: str, make: Make) -> None:
    download = make()
    url = f"{address}/download/{download.ticket}"
    with pytest.raises(httpx.RemoteProtocolError, match="incomplete chunked read"):
        read_after(url, download.stop)
    wait_until(lambda: not download.is_active)
    assert download.state == "stopped"
    wait_until(lambda: _ended(download))


def test_a_third_export_says_what_to_do(address: str, make: Make) -> None:
    busy = [make(), make()]
    streams = [
        httpx.stream("GET", f"{address}/download/{download.ticket}", timeout=WAIT_S, trust_env=False)
        for download in busy
    ]
    with streams[0] as one, streams[1] as two:
        assert one.status_code == two.status_code == 200
        third = make()
        answer = get(address, third.ticket)
    wait_until(lambda: third.state != "running")
    assert (answer.status_code, third.state) == (429, "failed")
    assert "2 exports run already" in answer.text
    assert "content-disposition" not in answer.headers
    wait_until(lambda: all(_ended(download) for download in busy))


def test_a_refused_question_is_told_and_no_file(address: str, make: Make) -> None:
    download = make(question="no_such_question")
    answer = get(address, download.ticket)
    assert answer.status_code == 404
    wait_until(lambda: download.state == "failed")
    assert "content-disposition" not in answer.headers


@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_memory_stays_bounded_on_the_way(address: str, make: Make, form: str) -> None:
    """The route runs in this process: what it held back would show here."""
    get(address, make(form, days=0.01).ticket)
    process = psutil.Process()
    before = most = process.memory_info().rss
    download = make(form)
    read = 0
    with httpx.stream("GET", f"{address}/download/{download.ticket}", trust_env=False) as answer:
        for block in answer.iter_raw():
            read += len(block)
            most = max(most, process.memory_info().rss)
    assert read > (45_000_000 if form == "csv" else 4_000_000)
    wait_until(lambda: download.state == "done")
    assert download.rows == ROWS
    assert most - before < GROWTH_BYTES


def test_a_warehouse_that_dies_midway_leaves_no_whole_file(address: str, tmp_path: Path) -> None:
    with running_warehouse(tmp_path) as process:
        process.stop()
        fill_attempts(process.settings, ROWS)
        process.start()
        with process.client("dashboard", retries=0) as client:
            window = {"start": now() - timedelta(days=8), "end": now()}
            download = TICKETS.issue(Download("attempts", window, "csv", "Attempts", "a.csv", client))
            url = f"{address}/download/{download.ticket}"
            with pytest.raises(httpx.RemoteProtocolError, match="incomplete chunked read"):
                read_after(url, process.kill)
            wait_until(lambda: download.state == "failed")
            late = TICKETS.issue(Download("attempts", window, "csv", "Attempts", "a.csv", client))
            answer = get(address, late.ticket)
            wait_until(lambda: late.state == "failed")
    assert answer.status_code == 503
    assert "perfhouse" in answer.text
