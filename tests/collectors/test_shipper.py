"""Flusher and shipper against a real warehouse: away, back, refusing, a token revoked and restored."""

import resource
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from collectors import shipper as shipping
from collectors.conditions import Condition, Conditions
from collectors.record import Recorder
from collectors.shipper import Flusher, Shipper, pause_after
from collectors.spool import Packed, Spool
from tests.collectors.batches import packed
from tests.collectors.processes import BOUND_S, asked, wait_for
from tests.servers.ports import free_port
from tests.servers.warehouse import WarehouseProcess, running_warehouse
from tests.warehouse.records import attempt, minute_ago
from warehouse.client import Client
from warehouse.model import Event, Gap, GapReason, JobState, now


@pytest.fixture(scope="module")
def warehouse(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WarehouseProcess]:
    with running_warehouse(tmp_path_factory.mktemp("warehouse")) as process:
        yield process


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    spool = Spool(tmp_path / "spool", 10_000_000)
    yield spool
    spool.close()


class Line:
    """A recorder, a spool and a running shipper."""

    def __init__(self, spool: Spool, client: Client) -> None:
        self.recorder = Recorder("local")
        self.conditions = Conditions()
        self.spool = spool
        self.shipper = Shipper(self.recorder, spool, client, self.conditions)


@contextmanager
def shipping_line(spool: Spool, client: Client) -> Iterator[Line]:
    line = Line(spool, client)
    line.shipper.start()
    try:
        yield line
    finally:
        assert line.shipper.stop(BOUND_S)
        client.close()


def endpoints_in_order(process: WarehouseProcess, target: str) -> list[str]:
    return asked(process, "attempts", target=target).sort("at")["endpoint"].to_list()


def one(target: str, endpoint: str) -> Packed:
    return packed([attempt(target=target, endpoint=endpoint)])


def test_batches_arrive_in_order_and_leave_the_spool(warehouse: WarehouseProcess, spool: Spool) -> None:
    for number in range(20):
        spool.put(packed([attempt(minute_ago(60 - number), target="order", endpoint=f"GET /{number}")]))
    with shipping_line(spool, warehouse.client("collect", retries=0)):
        wait_for(lambda: spool.batches == 0)
    assert endpoints_in_order(warehouse, "order") == [f"GET /{number}" for number in range(20)]
    assert not list(spool.directory.glob("*.batch"))


def test_a_resend_after_a_crash_changes_nothing(warehouse: WarehouseProcess, spool: Spool) -> None:
    """The warehouse has it, the receipt was lost: the same file is sent again."""
    batch = one("resend", "GET /")
    with warehouse.client("collect") as client:
        assert client.send(batch.batch_id, batch.body).stored
    spool.put(batch)
    with shipping_line(spool, warehouse.client("collect", retries=0)):
        wait_for(lambda: spool.batches == 0)
    assert endpoints_in_order(warehouse, "resend") == ["GET /"]


def test_a_refused_batch_is_set_aside_and_told(warehouse: WarehouseProcess, spool: Spool) -> None:
    early = now() - timedelta(days=500)
    refused = packed([attempt(early, target="aside"), attempt(early, target="aside")])
    for batch in (one("aside", "GET /1"), refused, one("aside", "GET /2")):
        spool.put(batch)
    with shipping_line(spool, warehouse.client("collect", retries=0)) as line:
        wait_for(lambda: spool.batches == 0)
    assert set(endpoints_in_order(warehouse, "aside")) == {"GET /1", "GET /2"}
    (file,) = spool.refused_directory.glob("*.batch")
    assert file.read_bytes() == refused.body
    assert spool.refused_rows == 2
    assert "attempts.0.at" in line.conditions.text
    batch = line.recorder.take(10)
    assert batch is not None
    (gap,) = batch.gaps
    assert (gap.job, gap.reason, gap.missed) == ("daemon", GapReason.REFUSED, 2)


def test_the_gap_of_a_refused_batch_can_be_stored(warehouse: WarehouseProcess, spool: Spool) -> None:
    """It tells of rows 500 days old, which is why they were refused; its own times must be taken."""
    spool.put(packed([attempt(now() - timedelta(days=500), target="ancient")]))
    with shipping_line(spool, warehouse.client("collect", retries=0)) as line:
        wait_for(lambda: spool.batches == 0)
        assert Flusher(line.recorder, spool, line.conditions, 1).flush()
        wait_for(lambda: spool.batches == 0)
    assert len(list(spool.refused_directory.glob("*.batch"))) == 1


def test_a_revoked_token_holds_batches_until_it_is_restored(
    warehouse: WarehouseProcess, spool: Spool
) -> None:
    file = warehouse.settings.token_dir / "collect.json"
    token = file.read_bytes()
    client = warehouse.client("collect", retries=0)
    known = Client(client.url, client._token, retries=0)
    held = client._token()
    known._token = lambda: held
    file.unlink()
    spool.put(one("revoked", "GET /"))
    with shipping_line(spool, known) as line:
        wait_for(lambda: "401" in line.conditions.away._reason)
        assert spool.batches == 1
        assert not list(spool.refused_directory.glob("*.batch"))
        file.write_bytes(token)
        wait_for(lambda: spool.batches == 0)
    client.close()
    assert endpoints_in_order(warehouse, "revoked") == ["GET /"]


def test_a_warehouse_away_then_back_loses_and_doubles_nothing(tmp_path: Path, spool: Spool) -> None:
    with running_warehouse(tmp_path) as process:
        with shipping_line(spool, process.client("collect", retries=0)) as line:
            spool.put(one("away", "GET /0"))
            wait_for(lambda: spool.batches == 0)
            process.kill()
            for number in range(1, 30):
                spool.put(one("away", f"GET /{number}"))
            wait_for(lambda: line.shipper._failures >= 3)
            assert spool.batches == 29
            assert line.conditions.text == ""
            process.start()
            wait_for(lambda: spool.batches == 0)
        assert sorted(endpoints_in_order(process, "away")) == sorted(f"GET /{n}" for n in range(30))


class Impostor(BaseHTTPRequestHandler):
    """Answers the same status to everything, with something that is no receipt."""

    status = 200

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(self.status)
        self.end_headers()
        self.wfile.write(b"<html>welcome</html>")

    def log_message(self, *_: object) -> None:
        pass


@pytest.mark.parametrize(
    ("status", "reason"), [(200, "not the warehouse"), (400, "answers 400"), (404, "answers 404")]
)
def test_another_server_at_the_address_takes_nothing(spool: Spool, status: int, reason: str) -> None:
    impostor = type("Impostor", (Impostor,), {"status": status})
    server = ThreadingHTTPServer(("127.0.0.1", 0), impostor)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    spool.put(one("impostor", "GET /"))
    client = Client(f"http://127.0.0.1:{server.server_port}", lambda: "token", retries=0)
    try:
        with shipping_line(spool, client) as line:
            wait_for(lambda: line.shipper._failures >= 2)
    finally:
        server.shutdown()
        thread.join(BOUND_S)
        server.server_close()
    assert spool.batches == 1
    assert reason in line.conditions.away._reason


def test_being_away_counts_only_after_a_while() -> None:
    clock = [100.0]
    away = Condition(patience_s=10, clock=lambda: clock[0])
    away.strike("nothing answers")
    clock[0] += 9
    away.strike("still nothing")
    assert away.text == ""
    clock[0] += 1
    assert away.text.startswith("still nothing (since 20")
    away.clear()
    assert away.text == ""


def test_a_loss_is_held_for_a_while() -> None:
    clock = [100.0]
    full = Condition(hold_s=60, clock=lambda: clock[0])
    full.strike("rows were dropped")
    clock[0] += 59
    assert full.text.startswith("rows were dropped")
    clock[0] += 1
    assert full.text == ""


def test_pauses_grow_to_five_seconds_and_no_further() -> None:
    for failures in range(1, 50):
        longest = min(5.0, 0.2 * 2**failures)
        assert longest / 2 <= pause_after(failures) <= longest


def test_rows_are_flushed_in_batches_of_at_most_5000(spool: Spool) -> None:
    recorder = Recorder("local")
    at = now()
    recorder.add(attempt(at, endpoint=f"GET /{number % 7}") for number in range(12_001))
    assert Flusher(recorder, spool, Conditions(), 1).flush()
    assert [entry.rows for entry in spool._entries] == [5000, 5000, 2001]
    assert len(recorder) == 0


def test_nothing_recorded_is_no_batch(spool: Spool) -> None:
    safe = []
    flusher = Flusher(Recorder("local"), spool, Conditions(), 0.05, safe.append)
    flusher.start()
    wait_for(lambda: len(safe) >= 2)
    flusher.stop(BOUND_S)
    assert spool.batches == 0


@contextmanager
def no_room_on_disk() -> Iterator[None]:
    """Let real writes fail: no file of this process may grow past 100 bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_keeps_the_batch_in_memory_and_writes_it_later(spool: Spool) -> None:
    recorder, conditions = Recorder("local"), Conditions()
    flusher = Flusher(recorder, spool, conditions, 1)
    recorder.add([attempt()])
    with no_room_on_disk():
        first = flusher.flush()
        recorder.add([attempt()])
        second = flusher.flush()
    assert not first
    assert not second
    assert "the spool cannot be written: File too large" in conditions.text
    assert spool.batches == 0
    assert flusher.flush()
    assert [entry.rows for entry in spool._entries] == [1, 1]
    assert conditions.text == ""


def test_memory_is_bounded_while_the_disk_is_full() -> None:
    recorder = Recorder("local", most_rows=100)
    start = minute_ago(600)
    for number in range(250):
        recorder.add([attempt(start + timedelta(seconds=number), endpoint=f"GET /{number}")])
    batch = recorder.take(1000)
    assert batch is not None
    assert len(batch) == 100
    (gap,) = batch.gaps
    assert (gap.reason, gap.missed, gap.at) == (GapReason.SPOOL_FULL, 151, start)
    assert [row.endpoint for row in batch.attempts] == [f"GET /{number}" for number in range(151, 250)]
    assert recorder.dropped == 151


def test_a_batch_that_cannot_be_packed_holds_up_no_other(
    spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorder, conditions = Recorder("local"), Conditions()
    flusher = Flusher(recorder, spool, conditions, 1)
    recorder.add([attempt()])

    def broken(_: object) -> bytes:
        raise TypeError("secret")

    with monkeypatch.context() as patch:
        patch.setattr(shipping, "pack", broken)
        patch.setattr(recorder, "add", [].append)
        assert flusher.flush()
    assert "TypeError" in conditions.text
    assert "secret" not in conditions.text
    recorder.add([Event(at=now(), job="daemon", state=JobState.OK, text="")])
    assert flusher.flush()
    assert spool.batches == 1


def test_gaps_that_follow_one_another_become_one() -> None:
    recorder = Recorder("local")
    start = minute_ago(60)

    def gap(begin: float, end: float, job: str = "daemon") -> Gap:
        at, until = start + timedelta(seconds=begin), start + timedelta(seconds=end)
        return Gap(at=at, until=until, job=job, reason=GapReason.MISSED, missed=1)

    recorder.add([gap(0, 5), gap(5, 10), gap(20, 25), gap(5, 10, "host box")])
    batch = recorder.take(10)
    assert batch is not None
    spans = {(row.job, (row.until - row.at).total_seconds(), row.missed) for row in batch.gaps}
    assert spans == {("daemon", 10, 2), ("daemon", 5, 1), ("host box", 5, 1)}


def test_no_warehouse_at_all_is_told_with_its_address(spool: Spool) -> None:
    port = free_port()
    spool.put(one("nobody", "GET /"))
    with shipping_line(spool, Client(f"http://127.0.0.1:{port}", lambda: "t", retries=0)) as line:
        wait_for(lambda: line.shipper._failures >= 2)
    assert f"127.0.0.1:{port}" in line.conditions.away._reason
    assert spool.batches == 1
