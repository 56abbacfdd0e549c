"""The switch: what it does to an endpoint, for how long, and who may flip it."""

import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

from tests.demo.running import DemoProcess, running_demo, wait_until

ROOT = Path(__file__).parents[2]
LIST = "GET /api/v1/invoices/"
ONE = "GET /api/v1/invoices/{id}"
SLOW_MS = 300
JSON = {"Content-Type": "application/json"}
Switch = Callable[..., httpx.Response]


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DemoProcess]:
    """The demo whose switch is flipped."""
    with running_demo(tmp_path_factory.mktemp("faults")) as running:
        yield running


@pytest.fixture
def api(demo: DemoProcess) -> Iterator[httpx.Client]:
    """A client of it; nothing is switched on before or after the test."""
    yield demo.client
    demo.client.delete("/demo/faults", headers=JSON).raise_for_status()


@pytest.fixture
def switch(api: httpx.Client) -> Switch:
    """Switch a fault on."""
    return lambda endpoint, **fault: api.post("/demo/faults", json={"endpoint": endpoint, **fault})


@pytest.fixture
def run(demo: DemoProcess) -> Callable[..., subprocess.CompletedProcess[str]]:
    """The switch's command line."""

    def run(*arguments: str, port: int = demo.port) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "demo.faults", *arguments, "--port", str(port)],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=30,
        )

    return run


def took_ms(api: httpx.Client, path: str) -> float:
    """How long one answer took."""
    started = time.perf_counter()
    assert api.get(path).status_code == 200
    return (time.perf_counter() - started) * 1000


def slowest_ms(demo: DemoProcess, statement: str) -> float:
    """The longest that a statement took, as the database's own statistics have it."""
    url = (demo.data_dir / "observer.url").read_text().strip()
    with psycopg.connect(url) as observer:
        row = observer.execute(
            "SELECT max(max_exec_time) FROM pg_stat_statements WHERE query LIKE %s", [f"%{statement}%"]
        ).fetchone()
    assert row is not None
    return float(row[0])


def test_a_delay_slows_its_endpoint_alone(api: httpx.Client, switch: Switch) -> None:
    assert switch(LIST, delay_ms=SLOW_MS).status_code == 200
    assert took_ms(api, "/api/v1/invoices/") >= SLOW_MS
    assert min(took_ms(api, "/health") for _ in range(3)) < SLOW_MS
    assert min(took_ms(api, "/api/v1/invoices/1") for _ in range(3)) < SLOW_MS


def test_jitter_varies_the_delay(api: httpx.Client, switch: Switch) -> None:
    switch("GET /health", delay_ms=100, jitter_ms=100)
    taken = [took_ms(api, "/health") for _ in range(12)]
    assert max(taken) - min(taken) > 30


@pytest.mark.parametrize(
    ("endpoint", "path", "statement"),
    [(LIST, "/api/v1/invoices/", ") AS page"), (ONE, "/api/v1/invoices/9", "invoices.id = ")],
)
def test_a_slow_query_is_slow_in_the_database(
    demo: DemoProcess, api: httpx.Client, switch: Switch, endpoint: str, path: str, statement: str
) -> None:
    api.get(path)
    assert slowest_ms(demo, statement) < SLOW_MS
    switch(endpoint, slow_query_ms=SLOW_MS)
    for _ in range(2):
        assert took_ms(api, path) >= SLOW_MS
    assert slowest_ms(demo, statement) >= SLOW_MS


def test_an_error_ratio_fails_that_share(api: httpx.Client, switch: Switch) -> None:
    switch("GET /health", error_ratio=0.4)
    statuses = [api.get("/health").status_code for _ in range(200)]
    assert set(statuses) == {200, 500}
    assert 40 <= statuses.count(500) <= 120


def test_every_request_fails_at_a_ratio_of_one(api: httpx.Client, switch: Switch) -> None:
    switch("POST /api/v1/invoices/", error_ratio=1)
    before = api.get("/api/v1/invoices/").json()["total"]
    answer = api.post(
        "/api/v1/invoices/", json={"supplier": "A", "number": "1", "amount_cents": 1, "currency": "EUR"}
    )
    assert answer.status_code == 500
    assert "switched on" in answer.json()["detail"]
    assert api.get("/api/v1/invoices/").json()["total"] == before


def test_a_reset_is_a_real_reset(demo: DemoProcess, switch: Switch) -> None:
    switch("GET /health", error="reset")
    with socket.create_connection(("127.0.0.1", demo.port), timeout=10) as connection:
        connection.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\nX-Forwarded-For: 10.0.0.1\r\n\r\n")
        with pytest.raises(ConnectionResetError):
            connection.recv(100)


def test_a_hanging_endpoint_never_answers(api: httpx.Client, switch: Switch) -> None:
    switch("GET /health", error="hang")
    with pytest.raises(httpx.ReadTimeout):
        api.get("/health", timeout=0.7)
    assert api.get("/api/v1/invoices/1").status_code == 200


def test_a_hang_ends_with_its_fault(api: httpx.Client, switch: Switch) -> None:
    switch("GET /health", error="hang", for_s=1)
    with pytest.raises(httpx.HTTPError) as caught:
        api.get("/health", timeout=15)
    assert not isinstance(caught.value, httpx.TimeoutException)
    assert api.get("/health").status_code == 200


def test_a_fault_ends_by_itself(api: httpx.Client, switch: Switch) -> None:
    assert switch("GET /health", error_ratio=1, for_s=1).json()["remaining_s"] <= 1
    assert api.get("/health").status_code == 500
    wait_until(lambda: api.get("/health").status_code == 200, 5)
    assert api.get("/demo/faults").json()["faults"] == []


def test_a_fault_replaces_the_one_before_and_is_cleared(api: httpx.Client, switch: Switch) -> None:
    switch("GET /health", error_ratio=1)
    switch("GET /health", delay_ms=1)
    switch(LIST, delay_ms=1)
    assert api.get("/health").status_code == 200
    only = api.delete("/demo/faults", params={"endpoint": LIST}, headers=JSON)
    assert only.json() == {"cleared": 1}
    assert [one["endpoint"] for one in api.get("/demo/faults").json()["faults"]] == ["GET /health"]
    assert api.delete("/demo/faults", headers=JSON).json() == {"cleared": 1}


@pytest.mark.parametrize(
    ("fault", "status"),
    [
        ({"endpoint": "GET /nowhere", "delay_ms": 1}, 422),
        ({"endpoint": "GET /demo/faults", "delay_ms": 1}, 422),
        ({"endpoint": "GET /metrics", "slow_query_ms": 1}, 422),
        ({"endpoint": LIST}, 422),
        ({"endpoint": LIST, "delay_ms": -1}, 422),
        ({"endpoint": LIST, "delay_ms": 1, "for_s": 1e9}, 422),
        ({"endpoint": LIST, "error_ratio": 1.5}, 422),
        ({"endpoint": LIST, "delay_ms": 1, "surprise": 1}, 422),
        ({"delay_ms": 1}, 422),
    ],
)
def test_a_fault_that_cannot_be_is_refused(api: httpx.Client, fault: dict[str, Any], status: int) -> None:
    assert api.post("/demo/faults", json=fault).status_code == status
    assert api.get("/demo/faults").json()["faults"] == []


@pytest.mark.parametrize(
    "headers",
    [
        {"Content-Type": "text/plain"},
        {"Content-Type": "application/x-www-form-urlencoded"},
        {"Content-Type": "application/json", "Host": "evil.example"},
        {"Content-Type": "application/json", "Host": "127.0.0.1.evil.example:8000"},
        {"Content-Type": "application/json", "Origin": "http://evil.example"},
        {"Content-Type": "application/json", "Origin": "null"},
    ],
)
def test_a_foreign_page_cannot_flip_it(api: httpx.Client, headers: dict[str, str]) -> None:
    body = b'{"endpoint": "GET /health", "error_ratio": 1}'
    assert api.post("/demo/faults", content=body, headers=headers).status_code in (403, 415)
    assert api.delete("/demo/faults", headers=headers).status_code in (403, 415)
    assert api.get("/demo/faults").json()["faults"] == []
    asked_first = api.options("/demo/faults", headers={**headers, "Access-Control-Request-Method": "POST"})
    assert "access-control-allow-origin" not in asked_first.headers


def test_a_rebound_name_cannot_even_look(api: httpx.Client) -> None:
    assert api.get("/demo/faults", headers={"Host": "evil.example"}).status_code == 403


def test_the_command_line_sets_lists_and_clears(
    api: httpx.Client, run: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    options = ["--delay-ms", "300", "--jitter-ms", "50", "--error-ratio", ".2"]
    options += ["--slow-query-ms", "200", "--for-s", "60"]
    assert run("set", LIST, *options).returncode == 0
    (active,) = api.get("/demo/faults").json()["faults"]
    assert active["endpoint"] == LIST
    wanted = {"delay_ms": 300, "jitter_ms": 50, "error_ratio": 0.2, "slow_query_ms": 200, "for_s": 60}
    assert active["fault"] == {**wanted, "error": "status"}
    listed = run("list")
    assert LIST in listed.stdout
    assert "300" in listed.stdout
    assert run("clear", LIST).returncode == 0
    assert "nothing" in run("list").stdout


@pytest.mark.parametrize("how", ["hang", "reset"])
def test_the_command_line_makes_an_endpoint_hang_or_reset(
    api: httpx.Client, run: Callable[..., subprocess.CompletedProcess[str]], how: str
) -> None:
    assert run("set", LIST, f"--{how}").returncode == 0
    (active,) = api.get("/demo/faults").json()["faults"]
    assert (active["fault"]["error"], active["fault"]["error_ratio"]) == (how, 1)
    assert run("clear").returncode == 0


def test_the_command_line_says_what_is_wrong(
    run: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    refused = run("set", "GET /nowhere", "--delay-ms", "1")
    assert refused.returncode == 65
    assert LIST in refused.stderr
    assert run("set", LIST).returncode == 65
    away = run("list", port=1)
    assert away.returncode == 69
    assert len(away.stderr.splitlines()) == 1
