"""Pages of other sites and rebound names: refused by every part, on every route, before anything else."""

import socket
from collections.abc import Iterator
from contextlib import ExitStack
from urllib.parse import urlsplit

import pytest

from tests.demo.running import running_demo
from tests.hostile.conftest import token_of
from tests.servers.dashboard import running_dashboard
from tests.servers.warehouse import WarehouseProcess

ROUTES = {
    "warehouse": (
        "/healthz",
        "/api/v1/openapi.json",
        "/api/v1/questions",
        "/api/v1/ask/freshness",
        "/nowhere",
    ),
    "dashboard": (
        *("/", "/latency", "/_stcore/health", "/_stcore/host-config", "/_stcore/stream"),
        *("/_stcore/metrics", "/media/x", "/static/x", "/nowhere"),
    ),
    "demo": (
        "/health",
        "/metrics",
        "/api/v1/invoices/",
        "/api/v1/auth/dev-token",
        "/demo/faults",
        "/nowhere",
    ),
}
EVERY = [(part, route) for part, routes in ROUTES.items() for route in routes]
REFUSED = {400, 403}
ACTS_NOT = {403, 405}
"""A web socket is never opened by POST: that is refused even before the door."""


@pytest.fixture(scope="module")
def parts(served: WarehouseProcess, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Where each part listens: host and port."""
    folder = tmp_path_factory.mktemp("doors")
    with ExitStack() as stack:
        dashboard = stack.enter_context(running_dashboard(served.settings, folder / "dashboard.log"))
        demo = stack.enter_context(running_demo(folder / "demo")).url
        urls = {"warehouse": served.settings.warehouse.url, "dashboard": dashboard, "demo": demo}
        yield {part: urlsplit(url).netloc for part, url in urls.items()}


def ask(place: str, target: str, *headers: str, method: str = "GET", version: str = "1.1") -> int:
    """Send a request exactly so; the status of the answer."""
    host, _, port = place.partition(":")
    upgrade = (
        *("Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13"),
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    )
    extra = upgrade if target == "/_stcore/stream" else ("Connection: close", "Content-Length: 0")
    lines = [f"{method} {target} HTTP/{version}", *headers, *extra, "", ""]
    with socket.create_connection((host, int(port)), timeout=20) as connection:
        connection.sendall("\r\n".join(lines).encode("latin-1"))
        answer = b""
        while b"\r\n" not in answer and (more := connection.recv(4096)):
            answer += more
    return int(answer.split(b" ")[1])


@pytest.mark.parametrize(("part", "route"), EVERY)
def test_a_foreign_host_is_refused(parts: dict[str, str], part: str, route: str) -> None:
    place = parts[part]
    port = place.partition(":")[2]
    assert ask(place, route, f"Host: {place}") not in REFUSED
    assert ask(place, route, f"Host: localhost:{port}") not in REFUSED
    foreign = (
        *("evil.example", f"evil.example:{port}", f"127.0.0.1.evil.example:{port}", f"127.0.0.2:{port}"),
        *(
            f"127.0.0.1@evil.example:{port}",
            f"evil.example@127.0.0.1:{port}",
            f"0:{port}",
            f"2130706433:{port}",
        ),
        *(f"127.0.0.1:{port}/", f"127.0.0.1:{port}#.evil.example", f"localhost.evil.example:{port}"),
        *(f"[::ffff:127.0.0.1]:{port}", f"xn--lcalhost-54a:{port}", "", "*", "null"),
    )
    for host in foreign:
        assert ask(place, route, f"Host: {host}") in REFUSED, host
    assert ask(place, route, f"Host: evil.example:{port}", f"X-Forwarded-Host: {place}") in REFUSED
    assert ask(place, route, "Host: evil.example", f"Forwarded: host={place}") in REFUSED


@pytest.mark.parametrize(("part", "route"), EVERY)
def test_another_sites_page_is_refused(parts: dict[str, str], part: str, route: str) -> None:
    place = parts[part]
    port = int(place.partition(":")[2])
    own = f"Host: {place}"
    assert ask(place, route, own, f"Origin: http://{place}", "Sec-Fetch-Site: same-origin") not in REFUSED
    origins = (
        *("http://evil.example", "null", "", f"http://127.0.0.1:{port + 1}", f"http://localhost:{port}"),
        *("http://127.0.0.1", f"http://{place}.evil.example", f"http://{place}@evil.example", "file://"),
    )
    for origin in origins:
        assert ask(place, route, own, f"Origin: {origin}") == 403, origin
        assert ask(place, route, own, f"Origin: {origin}", method="POST") in ACTS_NOT, origin
    for site in ("cross-site", "same-site", "surprise"):
        assert ask(place, route, own, f"Sec-Fetch-Site: {site}") == 403, site
        assert ask(place, route, own, f"Sec-Fetch-Site: {site}", method="POST") in ACTS_NOT, site
    two = ("Origin: http://evil.example", f"Origin: http://{place}")
    assert ask(place, route, own, *two) in REFUSED
    assert ask(place, route, own, *reversed(two)) in REFUSED
    framed = ("Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: navigate")
    assert ask(place, route, own, *framed, "Sec-Fetch-Dest: iframe") == 403
    assert ask(place, route, own, *framed, "Sec-Fetch-Dest: document", method="POST") in ACTS_NOT
    followed = ask(place, route, own, *framed, "Sec-Fetch-Dest: document")
    assert (followed in REFUSED) == (route == "/_stcore/stream"), (
        "a link may be followed, and none is a socket"
    )


@pytest.mark.parametrize("part", sorted(ROUTES))
def test_no_host_two_hosts_and_whole_addresses_reach_nothing(parts: dict[str, str], part: str) -> None:
    place, route = parts[part], ROUTES[part][0]
    own = f"Host: {place}"
    assert ask(place, route, version="1.1") == 400
    assert ask(place, route, version="1.0") in REFUSED
    assert ask(place, route, own, "Host: evil.example") in REFUSED
    assert ask(place, route, "Host: evil.example", own) in REFUSED
    assert ask(place, f"http://evil.example{route}", "Host: evil.example") in REFUSED
    for target in (f"http://evil.example{route}", f"//evil.example{route}", "evil.example:80", "*"):
        assert ask(place, target, own) in {200, 400, 403, 404}, target


def test_a_foreign_page_with_a_token_cannot_act_either(
    served: WarehouseProcess, parts: dict[str, str]
) -> None:
    """A token a page got hold of does not open the door for it."""
    place = parts["warehouse"]
    token = f"Authorization: Bearer {token_of(served, 'cli')}"
    own = f"Host: {place}"
    assert ask(place, "/api/v1/ask/freshness", own, token) == 200
    assert ask(place, "/api/v1/ask/freshness", own, token, "Origin: http://evil.example") == 403
    assert ask(place, "/api/v1/ask/freshness", token, "Host: evil.example") == 400
