"""What a probe sends is what the configuration says, and secrets go to the target only."""

import json
import logging
from pathlib import Path
from typing import Any

import pytest

from tests.collectors.probing import attempt, attempts
from tests.servers.faulty import FaultyServer
from warehouse.errors import ConfigurationError
from warehouse.model import Outcome


def test_a_plain_get_asks_for_plain_bytes(server: FaultyServer) -> None:
    attempt(server.url, "/echo?b=2&a=%20x")
    sent = server.last
    assert (sent.method, sent.path, sent.query, sent.body) == ("GET", "/echo", {"b": "2", "a": " x"}, b"")
    assert sent.headers["accept-encoding"] == "identity"
    assert sent.headers["host"] == f"127.0.0.1:{server.port}"
    assert sent.headers["user-agent"].startswith("perfhouse/")
    assert "content-length" not in sent.headers


def test_a_target_may_live_below_a_path(server: FaultyServer) -> None:
    attempt(f"{server.url}/api", "/echo")
    assert server.last.path == "/api/echo"


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
def test_every_method(server: FaultyServer, method: str) -> None:
    made = attempt(server.url, "/ok", method=method)
    assert made.outcome is Outcome.OK
    assert made.endpoint == f"{method} /ok"
    assert server.last.method == method
    assert made.bytes == (0 if method == "HEAD" else 65)


@pytest.mark.parametrize(
    ("given", "body", "kind"),
    [
        ({"body": "a=1&b=ü"}, "a=1&b=ü".encode(), None),
        ({"json_body": {"a": [1, None], "b": "ü"}}, '{"a":[1,null],"b":"ü"}'.encode(), "application/json"),
        ({"json_body": []}, b"[]", "application/json"),
        ({}, b"", None),
    ],
)
def test_bodies(server: FaultyServer, given: dict[str, Any], body: bytes, kind: str | None) -> None:
    for made in attempts(server.url, 2, "/echo", method="POST", **given):
        assert made.outcome is Outcome.OK
        assert server.last.body == body
        assert server.last.headers["content-length"] == str(len(body))
        assert server.last.headers.get("content-type") == kind


def test_an_endpoints_headers_win_over_the_targets_and_ours(server: FaultyServer) -> None:
    attempt(
        server.url,
        "/echo",
        target={"headers": {"X-Tenant": "one", "X-Kept": "yes"}},
        headers={"x-tenant": "zwölf", "User-Agent": "custom", "Host": "shop.example"},
    )
    sent = server.last.headers
    assert sent["x-tenant"].encode("latin-1").decode() == "zwölf"
    assert (sent["x-kept"], sent["user-agent"], sent["host"]) == ("yes", "custom", "shop.example")


def test_cookies_do_not_travel_from_one_attempt_to_the_next(server: FaultyServer) -> None:
    attempts(server.url, 2, "/echo", connection="keep")
    assert "cookie" not in server.last.headers


def test_proxies_of_the_environment_are_ignored(
    server: FaultyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    assert attempt(server.url).outcome is Outcome.OK


def test_secrets_come_from_the_environment_and_files(
    server: FaultyServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SHOP_TOKEN", "Bearer abc")
    file = tmp_path / "key"
    file.write_text("k-1\n")
    attempt(
        server.url,
        "/echo",
        target={"headers": {"Authorization": {"env": "SHOP_TOKEN"}}},
        headers={"X-Api-Key": {"file": file}},
    )
    assert server.last.headers["authorization"] == "Bearer abc"
    assert server.last.headers["x-api-key"] == "k-1"


def test_a_missing_secret_is_told_at_the_start(server: FaultyServer) -> None:
    with pytest.raises(ConfigurationError, match="environment variable NO_SUCH_TOKEN"):
        attempt(server.url, headers={"Authorization": {"env": "NO_SUCH_TOKEN"}})
    assert server.served == []


def test_a_missing_ca_file_is_told_at_the_start(server: FaultyServer) -> None:
    with pytest.raises(ConfigurationError, match=r"target shop: ca_file: .*nowhere\.pem"):
        attempt(server.url, target={"ca_file": "nowhere.pem"})


def test_a_header_that_cannot_be_sent_is_an_error_without_its_text(
    server: FaultyServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("SHOP_TOKEN", "hush")
    with caplog.at_level(logging.DEBUG):
        made = attempt(server.url, headers={"Not a Token": {"env": "SHOP_TOKEN"}})
    assert made.outcome is Outcome.ERROR
    assert "LocalProtocolError" in caplog.text
    assert "hush" not in caplog.text


def test_names_hold_no_query_and_fit(server: FaultyServer) -> None:
    long = attempt(server.url, "/ok/" + "x" * 400 + "?token=hush")
    assert len(long.endpoint) == 200
    assert "hush" not in json.dumps(long.model_dump(mode="json"))
