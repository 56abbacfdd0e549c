"""Sessions with database servers end within bounds of time and bytes, whatever answers there."""

import socket
import socketserver
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from collectors import tcp
from collectors.databases import COLLECTORS
from collectors.resolve import Address, loopback
from tests.collectors.databases import settings_of, states, texts
from tests.servers.lying import LIES, LyingServer, drip, hang_up, lying_server

PASSWORD = "canary-77d1"
ADDRESS = {
    "redis": f"redis://:{PASSWORD}@{{host}}:{{port}}/0",
    "rediss": f"rediss://:{PASSWORD}@{{host}}:{{port}}/0",
    "mysql": f"mysql://user:{PASSWORD}@{{host}}:{{port}}/shop",
}
BEGINNINGS = {
    "redis": b"$9000000000\r\n",
    "rediss": b"\x16\x03\x03\x40\x00\x02",
    "mysql": b"\x4a\x00\x00\x00\x0a",
}
"""How each protocol begins an answer that is longer than what will come in time."""

DEADLINE_S = 0.7
LATE_S = 3.0
"""How much later than its deadline a look may end on a machine that has other things to do."""


def look(scheme: str, folder: Path, port: int, host: str = "127.0.0.1") -> tuple[str, str]:
    """The state of the connection after one look, and all that was told."""
    engine = scheme.replace("rediss", "redis")
    url = ADDRESS[scheme].format(host=host, port=port)
    collector = COLLECTORS[engine](settings_of(engine, url, folder, deadline_s=DEADLINE_S))
    began = time.monotonic()
    rows = collector.collect()
    took_s = time.monotonic() - began
    collector.close()
    assert took_s < DEADLINE_S + LATE_S
    told = states(rows)
    assert set(told) == {"connection"}
    assert PASSWORD not in texts(rows)
    return told["connection"], texts(rows)


@pytest.mark.parametrize(
    ("scheme", "lie", "state"),
    [
        ("redis", "silent", "timeout"),
        ("redis", "dripping", "timeout"),
        ("redis", "nonsense", "error"),
        ("redis", "hanging up", "down"),
        ("rediss", "silent", "timeout"),
        ("rediss", "nonsense", "tls"),
        ("mysql", "silent", "timeout"),
        ("mysql", "dripping", "timeout"),
        ("mysql", "nonsense", "error"),
    ],
)
def test_what_lies_is_a_state(tmp_path: Path, scheme: str, lie: str, state: str) -> None:
    with lying_server(LIES[lie]) as server:
        assert look(scheme, tmp_path, server.port)[0] == state
        assert server.callers == 1


@pytest.mark.parametrize("scheme", ADDRESS)
def test_an_answer_that_drips_ends_at_the_deadline(tmp_path: Path, scheme: str) -> None:
    def begin_and_drip(server: LyingServer, conversation: socketserver.BaseRequestHandler) -> None:
        conversation.request.sendall(BEGINNINGS[scheme])
        drip(server, conversation)

    with lying_server(begin_and_drip) as server:
        assert look(scheme, tmp_path, server.port)[0] == "timeout"


@pytest.mark.parametrize("scheme", ["redis", "mysql"])
def test_an_answer_without_end_is_cut_off(
    tmp_path: Path, scheme: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tcp, "MOST_BYTES", 3_000_000)
    sent = [0]

    def pour(server: LyingServer, conversation: socketserver.BaseRequestHandler) -> None:
        beginning = {"redis": b"$9000000000\r\n", "mysql": b"\xff\xff\xff\x00"}[scheme]
        conversation.request.sendall(beginning)
        while not server.ending.is_set():
            conversation.request.sendall(b"x" * 65536)
            sent[0] += 65536

    with lying_server(pour) as server:
        state, told = look(scheme, tmp_path, server.port)
    assert state == "error"
    assert "no end" in told
    assert sent[0] < 40_000_000


@pytest.mark.parametrize("scheme", ["redis", "mysql"])
def test_a_name_server_that_hangs_costs_one_thread(
    tmp_path: Path, scheme: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    answering = threading.Event()

    def hang(host: str, port: int) -> list[Address]:
        answering.wait(30)
        return []

    monkeypatch.setattr(tcp, "look_up", hang)
    url = ADDRESS[scheme].format(host="db.example.com", port=1)
    collector = COLLECTORS[scheme](settings_of(scheme, url, tmp_path, deadline_s=0.3))
    before = set(threading.enumerate())
    assert states(collector.collect()) == {"connection": "timeout"}
    collector.collect()
    hanging = [each for each in set(threading.enumerate()) - before if each.name == "look up"]
    assert len(hanging) == 1
    answering.set()
    collector.close()


@contextmanager
def black_hole() -> Iterator[Address]:
    """An address where connections are neither accepted nor refused."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        waiting = [socket.socket() for _ in range(3)]
        for each in waiting:
            each.setblocking(False)
            each.connect_ex(listener.getsockname())
        try:
            yield socket.AF_INET, listener.getsockname()
        finally:
            for each in waiting:
                each.close()


def test_an_address_that_answers_is_found_behind_one_that_does_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with black_hole() as hole, lying_server(hang_up) as server:
        monkeypatch.setattr(tcp, "look_up", lambda host, port: [hole, loopback(server.port)[1]])
        assert look("redis", tmp_path, 1, "db.example.com")[0] == "down"
        assert server.callers == 1
        monkeypatch.setattr(tcp, "look_up", lambda host, port: [hole, hole])
        assert look("mysql", tmp_path, 1, "db.example.com")[0] == "timeout"


def test_a_name_that_nobody_knows_is_a_server_that_is_down(tmp_path: Path) -> None:
    assert look("redis", tmp_path, 1, "nowhere.invalid")[0] == "down"


def test_who_is_not_let_in_knocks_less_and_less(tmp_path: Path) -> None:
    with lying_server(hang_up) as server:
        url = ADDRESS["redis"].format(host="127.0.0.1", port=server.port)
        collector = COLLECTORS["redis"](settings_of("redis", url, tmp_path, deadline_s=2.0))
        told = [states(collector.collect()) for _ in range(6)]
        collector.close()
        assert server.callers == 3
    assert told == [{"connection": "down"}, *[{}] * 5]


Lie = Callable[[bytes], bytes]


def answering(answers: dict[bytes, bytes]) -> Callable[[LyingServer, socketserver.BaseRequestHandler], None]:
    """A server that gives each command of Redis's the answer of its first word."""

    def answer(server: LyingServer, conversation: socketserver.BaseRequestHandler) -> None:
        conversation.request.settimeout(5)
        while said := conversation.request.recv(65536):
            for word, told in answers.items():
                if word in said:
                    conversation.request.sendall(told)

    return answer


@pytest.mark.parametrize(
    "info",
    [
        "redis_version:\x1b[31m7\r\nkeyspace_hits:x\r\nused_memory:inf\r\nmaxmemory:nan\r\ndb0:keys=\r\n",
        "redis_version:7\r\ndb0:keys=" + "9" * 5000 + "\r\nused_memory:" + "9" * 5000 + "\r\n",
        "redis_version:" + "7" * 5000 + "\r\n" + "".join(f"db{n}:keys=1\r\n" for n in range(3000)),
        "redis_version:7\r\nmaxclients:0\r\nconnected_clients:-5\r\nserver_time_usec:-1\r\n",
    ],
)
def test_numbers_that_are_none_are_left_out(tmp_path: Path, info: str) -> None:
    body = info.encode()
    answers = {
        b"AUTH": b"+OK\r\n",
        b"PING": b"+PONG\r\n",
        b"INFO": b"$%d\r\n%s\r\n" % (len(body), body),
        b"SLOWLOG": b"*1\r\n*1\r\n:" + b"9" * 400 + b"\r\n",
    }
    with lying_server(answering(answers)) as server:
        url = ADDRESS["redis"].format(host="127.0.0.1", port=server.port)
        collector = COLLECTORS["redis"](settings_of("redis", url, tmp_path, deadline_s=2.0))
        for _ in range(2):
            rows = collector.collect()
            assert len(rows) < 1100
        collector.close()
