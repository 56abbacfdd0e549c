"""`export` in its parts: instants, progress, and what a broken stream leaves behind."""

import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import StringIO
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cli.export import CLEAR_REST, Wanted, export, instant, progress_line
from warehouse.client import Client
from warehouse.errors import InvalidInputError, WarehouseAwayError

AT = datetime(2026, 11, 23, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("now", AT),
        ("0s", AT),
        ("90s", AT - timedelta(seconds=90)),
        ("15m", AT - timedelta(minutes=15)),
        ("24h", AT - timedelta(hours=24)),
        ("7d", AT - timedelta(days=7)),
        ("2w", AT - timedelta(days=14)),
        ("2026-11-23T12:00:00Z", AT),
        ("2026-11-23T14:00:00+02:00", AT),
    ],
)
def test_an_instant_is_iso_or_so_long_ago(text: str, meant: datetime) -> None:
    assert datetime.fromisoformat(instant(text, AT, "--from")) == meant


@pytest.mark.parametrize("text", ["", "yesterday", "24", "h", "-1h", "1.5h", "2026-11-23", "9" * 30 + "w"])
def test_what_is_no_instant_is_refused(text: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        instant(text, AT, "--from")
    assert caught.value.field == "--from"


@given(st.text(max_size=30))
def test_any_text_is_an_instant_or_refused(text: str) -> None:
    try:
        assert datetime.fromisoformat(instant(text, AT, "--to")).tzinfo is not None
    except InvalidInputError as error:
        assert error.field == "--to"  # noqa: PT017 - both ends are right


@pytest.mark.parametrize(
    ("on_terminal", "told_at"), [(True, [1, 2, 3, 4, 5, 6, 7, 8]), (False, [1, 2, 4, 8])]
)
def test_progress_is_told_from_one_second_on(
    monkeypatch: pytest.MonkeyPatch, on_terminal: bool, told_at: list[int]
) -> None:
    class Out(StringIO):
        def isatty(self) -> bool:
            return on_terminal

    clock = [100.0]
    monkeypatch.setattr("cli.export.time.monotonic", lambda: clock[0])
    out = Out()
    tell = progress_line(out)
    for tenth in range(85):
        clock[0] = 100 + tenth / 10
        tell(tenth * 100_000)
    ending = f"{CLEAR_REST}\r" if on_terminal else "\n"
    assert out.getvalue() == "".join(f"{second}.0 MB so far{ending}" for second in told_at)


class Breaking(BaseHTTPRequestHandler):
    """A warehouse that knows one question and breaks off in the middle of its answer."""

    def do_GET(self) -> None:
        if self.path == "/api/v1/questions":
            body = json.dumps([{"name": "endpoints", "parameters": {"properties": {}}}]).encode()
            self.send_response(200)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
        else:
            self.send_response(200)
            self.send_header("content-length", "1000000")
            self.end_headers()
            self.wfile.write(b"endpoint\n" * 10)
            self.close_connection = True

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def breaking() -> Iterator[Client]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Breaking)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    with Client(f"http://127.0.0.1:{server.server_port}", lambda: "token", retries=0) as client:
        yield client
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_broken_answer_leaves_no_file_and_keeps_the_old_one(breaking: Client, tmp_path: Path) -> None:
    out = tmp_path / "endpoints.csv"
    wanted = Wanted("endpoints", "csv", None, None, [])
    with pytest.raises(WarehouseAwayError):
        export(breaking, wanted, out, force=False)
    assert list(tmp_path.iterdir()) == []
    out.write_text("old")
    with pytest.raises(WarehouseAwayError):
        export(breaking, wanted, out, force=True)
    assert [(file.name, file.read_text()) for file in tmp_path.iterdir()] == [("endpoints.csv", "old")]


def test_a_full_or_closed_target_is_told(breaking: Client) -> None:
    with pytest.raises(InvalidInputError, match="cannot write /proc/nothing/x"):
        export(breaking, Wanted("endpoints", "csv", None, None, []), Path("/proc/nothing/x"), force=False)


@pytest.mark.parametrize("force", [False, True])
def test_a_folder_is_no_file_to_write_to(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, force: bool
) -> None:
    monkeypatch.chdir(tmp_path)
    for folder in (Path(), tmp_path):
        with pytest.raises(InvalidInputError, match="is a directory") as caught:
            export(
                Client("http://127.0.0.1:9", lambda: "none"),
                Wanted("gaps", "csv", None, None, []),
                folder,
                force=force,
            )
        assert caught.value.field == "--out"
