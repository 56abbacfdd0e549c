"""The load generator connects to its target and to nothing else, whichever way it is asked to."""

import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.loadtests.running import ROOT, launch, make_plan, request
from tests.servers.counting import CountingServer, counting_server

WAYS = {
    "socket.connect": "socket.socket().connect(('127.0.0.1', PORT))",
    "connect_ex": "socket.socket().connect_ex(('127.0.0.1', PORT))",
    "create_connection by name": "socket.create_connection(('localhost', PORT))",
    "the C socket beneath": "import _socket; _socket.socket().connect(('127.0.0.1', PORT))",
    "an IPv4 address mapped into IPv6": "socket.socket(socket.AF_INET6).connect(('::ffff:127.0.0.1', PORT))",
    "another spelling of the address": "socket.socket().connect(('127.1', PORT))",
    "urllib": "import urllib.request; urllib.request.urlopen('http://127.0.0.1:%d/' % PORT)",
    "http.client": "import http.client; http.client.HTTPConnection('127.0.0.1', PORT).request('GET', '/')",
    "requests": "import requests; requests.get('http://127.0.0.1:%d/' % PORT)",
    "Locust's own client with an absolute address": (
        "from locust.contrib.fasthttp import FastHttpSession;"
        "from locust.env import Environment;"
        "response = FastHttpSession('http://127.0.0.1:1', Environment().events.request, None)"
        ".get('http://127.0.0.1:%d/' % PORT);"
        "raise response.error"
    ),
    "a datagram": "socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('127.0.0.1', PORT))",
    "another program": "import subprocess; subprocess.run(['curl', 'http://127.0.0.1:%d/' % PORT])",
    "a shell": "import os; os.system('curl http://127.0.0.1:%d/' % PORT)",
    "a fork": "import os; os.fork()",
    "a local socket": "socket.socket(socket.AF_UNIX).connect('/run/docker.sock')",
    "a look-up of a name": "socket.getaddrinfo('elsewhere.example', 80)",
}

PROGRAM = """
{patch}
import socket
from loadtests.guard import Guard, GuardedError
PORT = {elsewhere}
guard = Guard([("127.0.0.1", {target})])
guard.install()
socket.create_connection(("127.0.0.1", {target})).close()
try:
    exec({way!r})
except BaseException as error:
    print(type(error).__name__, error)
else:
    print("it got through")
print(guard.refused)
"""


@pytest.fixture
def server() -> Iterator[CountingServer]:
    with counting_server() as started:
        yield started


@pytest.mark.parametrize(
    "patch", ["", "from gevent import monkey; monkey.patch_all()"], ids=["plain", "gevent"]
)
@pytest.mark.parametrize("way", WAYS)
def test_no_way_leads_elsewhere(server: CountingServer, way: str, patch: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as elsewhere:
        port = elsewhere.getsockname()[1]
        program = PROGRAM.format(patch=patch, elsewhere=port, target=server.port, way=WAYS[way])
        ended = subprocess.run(
            [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=60
        )
        said, refused = ended.stdout.splitlines()[-2:]
        assert "was refused" in said, (ended.stdout, ended.stderr)
        assert int(refused) > 0
        elsewhere.settimeout(0)
        with pytest.raises(BlockingIOError):
            elsewhere.accept()


def test_a_redirect_elsewhere_is_refused_and_recorded(server: CountingServer, tmp_path: Path) -> None:
    with counting_server() as elsewhere:
        plan = make_plan(
            server.url,
            request(f"/redirect?to={elsewhere.url}/health"),
            request("/redirect?to=/health"),
            stages=((1, 3, 50),),
        )
        with launch(tmp_path / "runs", plan) as run:
            run.wait_ended()
        assert elsewhere.total == 0
    outcomes = run.outcomes()
    assert set(outcomes) == {"refused", "bad_status"}
    assert outcomes.total() == server.total
    texts = {event["text"] for event in run.events("error")}
    host = elsewhere.url.removeprefix("http://")
    assert f"status 302: a redirect to {host} was not followed" in texts


def test_a_path_that_names_another_server_stays_a_path(server: CountingServer, tmp_path: Path) -> None:
    """`//elsewhere/health` is asked of the target, as a path."""
    with counting_server() as elsewhere:
        host = elsewhere.url.removeprefix("http:")
        with launch(
            tmp_path / "runs", make_plan(server.url, request(f"{host}/health"), stages=((1, 2, 50),))
        ) as run:
            run.wait_ended()
        assert elsewhere.total == 0
    assert len(run.rows()) == server.total > 0
