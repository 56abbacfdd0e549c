"""Every way a target can fail is one attempt with its outcome, bounded in time and bytes."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.collectors.probing import attempt
from tests.servers import faulty
from tests.servers.faulty import FaultyServer
from tests.servers.ports import free_port
from warehouse.model import Outcome

ENDLESS = ["/drip", "/slow-headers", "/hang", "/drip?every_ms=1", "/early-hints"]


def test_a_right_answer_is_ok_with_every_phase(server: FaultyServer) -> None:
    made = attempt(server.url)
    assert made.outcome is Outcome.OK
    assert made.status == 200
    assert made.dns_us is None
    assert made.tls_us is None
    assert made.connect_us is not None
    assert made.first_byte_us is not None
    assert made.total_us is not None
    assert made.total_us >= made.connect_us + made.first_byte_us
    assert made.bytes == len(b'{"status": "ok", "items": [1, 2, true], "size": {"a": 1, "b": 2}}')
    assert made.deadline_us == 5_000_000
    assert made.loop_lag_us is not None
    assert len(server.served) == 1


@pytest.mark.parametrize("path", ENDLESS)
def test_what_never_ends_is_a_timeout_at_the_deadline(server: FaultyServer, path: str) -> None:
    began = time.perf_counter()
    made = attempt(server.url, path, deadline_s=0.5)
    assert time.perf_counter() - began < 3
    assert made.outcome is Outcome.TIMEOUT
    assert made.total_us is None
    assert made.deadline_us == 500_000
    assert made.connect_us is not None


def test_a_timeout_keeps_what_was_reached(server: FaultyServer) -> None:
    made = attempt(server.url, "/drip", deadline_s=0.5)
    assert made.status == 200
    assert made.first_byte_us is not None
    assert made.bytes
    hung = attempt(server.url, "/hang", deadline_s=0.5)
    assert (hung.status, hung.first_byte_us, hung.bytes) == (None, None, None)


def test_a_body_past_the_cap_is_cut_off(server: FaultyServer) -> None:
    made = attempt(server.url, "/big?mb=100", max_bytes=1_000_000)
    assert made.outcome is Outcome.TOO_LARGE
    assert made.total_us is None
    assert made.bytes is not None
    assert 1_000_000 < made.bytes <= 1_000_000 + 65_536
    _wait_until_hung_up(server)
    assert server.last.sent_bytes < 30_000_000  # what fits into the sockets' buffers


def test_crumbs_do_not_outrun_the_deadline(server: FaultyServer) -> None:
    began = time.perf_counter()
    made = attempt(server.url, "/crumbs", deadline_s=0.3, max_bytes=100_000_000)
    assert time.perf_counter() - began < 3
    assert made.outcome is Outcome.TIMEOUT


def test_a_head_past_the_cap_is_too_large(server: FaultyServer) -> None:
    made = attempt(server.url, "/huge-headers")
    assert made.outcome is Outcome.TOO_LARGE
    assert made.status is None
    _wait_until_hung_up(server)
    assert server.last.sent_bytes < 30_000_000


def test_a_gzip_bomb_is_counted_but_never_inflated(server: FaultyServer) -> None:
    plain = attempt(server.url, "/bomb")
    assert plain.outcome is Outcome.OK
    assert plain.bytes is not None
    assert plain.bytes < 200_000
    asserted = attempt(server.url, "/bomb", expect_text="ok")
    assert asserted.outcome is Outcome.ASSERTION
    assert asserted.total_us is not None


@pytest.mark.parametrize("path", ["/reset", "/close", "/reset-mid-body", "/cut-mid-body"])
def test_an_answer_cut_off_is_a_reset(server: FaultyServer, path: str) -> None:
    made = attempt(server.url, path)
    assert made.outcome is Outcome.RESET
    assert made.total_us is None
    assert made.status == (200 if "body" in path else None)
    assert made.bytes == (10 if "body" in path else None)
    assert len(server.served) == 1


def test_a_body_that_ends_with_the_connection_is_whole(server: FaultyServer) -> None:
    made = attempt(server.url, "/until-close")
    assert (made.outcome, made.bytes) == (Outcome.OK, 20)


def test_redirects_are_not_followed(server: FaultyServer) -> None:
    made = attempt(server.url, "/redirect")
    assert (made.outcome, made.status) == (Outcome.BAD_STATUS, 302)
    assert made.total_us is not None
    assert len(server.served) == 1
    assert attempt(server.url, "/redirect", expect_status=[302]).outcome is Outcome.OK


def test_a_wrong_status_keeps_phases_and_total(server: FaultyServer) -> None:
    made = attempt(server.url, "/ok?status=503")
    assert (made.outcome, made.status) == (Outcome.BAD_STATUS, 503)
    assert made.total_us is not None
    assert made.first_byte_us is not None


def test_something_else_than_http_is_a_protocol_failure(server: FaultyServer) -> None:
    made = attempt(server.url, "/malformed")
    assert made.outcome is Outcome.PROTOCOL
    assert made.total_us is None
    assert made.first_byte_us is not None


def test_a_closed_port_is_refused() -> None:
    made = attempt(f"http://127.0.0.1:{free_port()}")
    assert made.outcome is Outcome.REFUSED
    assert (made.connect_us, made.first_byte_us, made.total_us, made.status) == (None, None, None, None)


def test_an_unknown_name_is_a_dns_failure() -> None:
    made = attempt("http://nowhere.invalid")
    assert made.outcome is Outcome.DNS
    assert (made.dns_us, made.connect_us) == (None, None)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_localhost_works_on_whichever_family_listens(host: str) -> None:
    server = faulty.start(host)
    try:
        made = attempt(f"http://localhost:{server.port}")
        assert made.outcome is Outcome.OK
        assert made.dns_us is not None
        assert server.last.headers["host"] == f"localhost:{server.port}"
    finally:
        server.stop()


def test_an_ipv6_literal_needs_no_name_server() -> None:
    server = faulty.start("::1")
    try:
        made = attempt(server.url)
        assert (made.outcome, made.dns_us) == (Outcome.OK, None)
        assert server.last.headers["host"] == f"[::1]:{server.port}"
    finally:
        server.stop()


def test_a_port_that_takes_no_connection_is_a_timeout() -> None:
    with _deaf_port() as port:
        made = attempt(f"http://127.0.0.1:{port}", deadline_s=0.5)
    assert made.outcome is Outcome.TIMEOUT
    assert (made.connect_us, made.total_us) == (None, None)


def test_tls_is_a_phase_of_its_own(https_server: FaultyServer, authority_file: Path) -> None:
    made = attempt(https_server.url, target={"ca_file": authority_file})
    assert made.outcome is Outcome.OK
    assert made.tls_us is not None
    assert made.connect_us is not None
    assert made.total_us is not None
    assert made.total_us >= made.connect_us + made.tls_us


def test_the_certificate_is_checked_against_the_name(
    https_server: FaultyServer, authority_file: Path
) -> None:
    made = attempt(f"https://localhost:{https_server.port}", target={"ca_file": authority_file})
    assert made.outcome is Outcome.OK
    assert made.dns_us is not None


def test_an_unknown_authority_is_a_tls_failure(https_server: FaultyServer) -> None:
    made = attempt(https_server.url)
    assert made.outcome is Outcome.TLS
    assert made.connect_us is not None
    assert (made.tls_us, made.total_us) == (None, None)
    assert https_server.served == []
    assert attempt(https_server.url, target={"verify_tls": False}).outcome is Outcome.OK


def test_an_expired_certificate_is_a_tls_failure(expired_server: FaultyServer, authority_file: Path) -> None:
    assert attempt(expired_server.url, target={"ca_file": authority_file}).outcome is Outcome.TLS


def test_plain_http_on_a_tls_port_is_a_tls_failure(server: FaultyServer) -> None:
    made = attempt(server.url.replace("http:", "https:"))
    assert made.outcome is Outcome.TLS
    assert made.connect_us is not None


@pytest.mark.parametrize(
    ("path", "expected", "outcome"),
    [
        ("/text?say=all+is+well", {"expect_text": "is well"}, Outcome.OK),
        ("/text?say=all+is+well", {"expect_text": "is bad"}, Outcome.ASSERTION),
        ("/text?say=gr%C3%BCn&charset=latin-1", {"expect_text": "grün"}, Outcome.OK),
        ("/text?say=odd&charset=rot13&encoding=ascii", {"expect_text": "odd"}, Outcome.OK),
        ("/ok", {"expect_json": {"status": "ok"}}, Outcome.OK),
        ("/ok", {"expect_json": {"size": {"b": 2}}}, Outcome.OK),
        ("/ok", {"expect_json": {"items": [1, 2, True]}}, Outcome.OK),
        ("/ok", {"expect_json": {"items": [1, 2]}}, Outcome.ASSERTION),
        ("/ok", {"expect_json": {"status": "bad"}}, Outcome.ASSERTION),
        ("/ok", {"expect_json": {"missing": None}}, Outcome.ASSERTION),
        ("/text?say=no+json", {"expect_json": {"status": "ok"}}, Outcome.ASSERTION),
        ("/ok", {"expect_text": "ok", "expect_json": {"status": "ok"}}, Outcome.OK),
        ("/ok?status=500", {"expect_text": "ok"}, Outcome.BAD_STATUS),
    ],
)
def test_assertions(server: FaultyServer, path: str, expected: dict[str, object], outcome: Outcome) -> None:
    made = attempt(server.url, path, **expected)
    assert made.outcome is outcome
    assert made.total_us is not None


def _wait_until_hung_up(server: FaultyServer) -> None:
    until = time.monotonic() + 10
    while not server.last.hung_up:
        assert time.monotonic() < until, "the probe kept the connection"
        time.sleep(0.01)


@contextmanager
def _deaf_port() -> Iterator[int]:
    """A port whose queue is full: the kernel drops further connections silently."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        waiting = [socket.socket() for _ in range(3)]
        for one in waiting:
            one.setblocking(False)
            one.connect_ex(listener.getsockname())
        yield listener.getsockname()[1]
        for one in waiting:
            one.close()


def test_threads_of_a_probe_end(server: FaultyServer) -> None:
    attempt(f"http://localhost:{server.port}")
    assert not [thread.name for thread in threading.enumerate() if thread.name.startswith("look up")]
