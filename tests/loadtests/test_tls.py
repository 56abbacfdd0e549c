"""HTTPS targets: certificates are checked, connections kept; IPv6, and paths before the endpoint's."""

import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme

from tests.loadtests.running import launch, make_plan, request
from tests.servers.faulty import FaultyServer, running_faulty_server

USERS = 3


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def server(authority: trustme.CA) -> Iterator[FaultyServer]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost", "127.0.0.1").configure_cert(context)
    with running_faulty_server(tls=context) as started:
        yield started


def test_connections_of_a_trusted_server_are_kept(
    server: FaultyServer, authority: trustme.CA, tmp_path: Path
) -> None:
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    plan = make_plan(server.url, request("/ok"), ca_file=tmp_path / "ca.pem", stages=((2, USERS, 50),))
    with launch(tmp_path / "runs", plan) as run:
        assert run.wait_ended()["state"] == "finished"
    assert run.outcomes() == {"ok": len(server.served)}
    assert len(server.served) > USERS * 5
    assert server.connections == USERS


def test_a_server_that_is_not_trusted_is_not_asked(server: FaultyServer, tmp_path: Path) -> None:
    with launch(tmp_path / "runs", make_plan(server.url, request("/ok"), stages=((1, USERS, 50),))) as run:
        assert run.wait_ended()["state"] == "finished"
    assert set(run.outcomes()) == {"tls"}
    assert not server.served
    assert {event["text"] for event in run.events("error")} == {"TLS: CERTIFICATE_VERIFY_FAILED"}


def test_trust_may_be_waived(server: FaultyServer, tmp_path: Path) -> None:
    plan = make_plan(server.url, request("/ok"), verify_tls=False, stages=((1, USERS, 50),))
    with launch(tmp_path / "runs", plan) as run:
        run.wait_ended()
    assert run.outcomes() == {"ok": len(server.served)}


def test_a_target_of_ipv6_with_a_path(tmp_path: Path) -> None:
    with running_faulty_server("::1") as server:
        plan = make_plan(f"{server.url}/ok", request("/deeper?x=1"), stages=((1, USERS, 50),))
        with launch(tmp_path / "runs", plan) as run:
            run.wait_ended()
        assert len(run.rows()) == len(server.served) > 0
        assert set(server.counts) == {"/ok/deeper"}
