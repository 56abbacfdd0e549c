"""Who may reach the dashboard: this machine, by its own names."""

from urllib.parse import urlsplit

import httpx
import psutil
import pytest

from tests.e2e.conftest import Shown


def test_it_listens_on_this_machine_only(shown: Shown) -> None:
    port = urlsplit(shown[0]).port
    listening = {
        kept.laddr.ip
        for kept in psutil.net_connections("tcp")
        if kept.status == psutil.CONN_LISTEN and kept.laddr and kept.laddr.port == port
    }
    assert listening == {"127.0.0.1"}


@pytest.mark.parametrize(
    ("host", "origin", "status"),
    [
        ("", "", 101),
        ("evil.example", "http://evil.example", 400),
        ("", "http://evil.example", 403),
    ],
)
def test_a_foreign_page_gets_no_session(shown: Shown, host: str, origin: str, status: int) -> None:
    """DNS rebinding: a name that now leads here must not open the websocket."""
    url = shown[0]
    headers = {
        "host": host or urlsplit(url).netloc,
        "origin": origin or url,
        "connection": "Upgrade",
        "upgrade": "websocket",
        "sec-websocket-version": "13",
        "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==",
    }
    with httpx.stream("GET", f"{url}/_stcore/stream", headers=headers, trust_env=False) as answer:
        assert answer.status_code == status
