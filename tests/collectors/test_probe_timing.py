"""What a probe says it took is what the server knows it took."""

import asyncio
import socket
import statistics
import threading
import time
from collections.abc import Iterator

import pytest

from collectors.dialer import Dialer
from collectors.lag import LagTicker
from collectors.probe import Probe
from collectors.resolve import Address, Resolver
from tests.collectors.probing import attempt, attempts, with_probe
from tests.servers import faulty
from tests.servers.faulty import FaultyServer
from tests.servers.ports import free_port
from warehouse.model import Attempt, Outcome

SLACK_US = 15_000
"""What a busy machine may add; the median of several attempts is compared."""


@pytest.mark.parametrize("connection", ["fresh", "keep"])
@pytest.mark.parametrize("delay_ms", [0, 20, 120])
def test_total_and_first_byte_match_a_known_delay(
    server: FaultyServer, connection: str, delay_ms: int
) -> None:
    made = attempts(server.url, 9, f"/ok?delay_ms={delay_ms}", connection=connection)
    assert [one.outcome for one in made] == [Outcome.OK] * 9
    errors = [
        (
            _us(one.first_byte_us) - delay_ms * 1000,
            _us(one.total_us) - _us(one.first_byte_us) - (one.connect_us or 0),
        )
        for one in made
    ]
    assert 0 <= statistics.median(error for error, _ in errors) < SLACK_US
    assert all(error >= 0 for error, _ in errors)
    assert 0 <= statistics.median(rest for _, rest in errors) < SLACK_US


def test_phases_are_bounded_by_what_the_server_saw(server: FaultyServer) -> None:
    for one, served in zip(attempts(server.url, 5, "/ok?delay_ms=30"), server.served, strict=True):
        assert served.answered_at is not None
        inside_us = (served.answered_at - served.received_at) * 1e6
        assert _us(one.first_byte_us) >= inside_us
        assert _us(one.total_us) >= _us(one.connect_us) + inside_us


def test_the_download_is_in_the_total_and_not_in_the_first_byte(server: FaultyServer) -> None:
    made = attempt(server.url, "/download?delay_ms=150")
    assert made.outcome is Outcome.OK
    assert _us(made.first_byte_us) < 100_000
    assert 150_000 <= _us(made.total_us) < 300_000


def test_fresh_connections_are_new_each_time(server: FaultyServer) -> None:
    made = attempts(server.url, 4, connection="fresh")
    assert all(one.connect_us is not None for one in made)
    assert [served.connection for served in server.served] == [1, 2, 3, 4]


def test_kept_connections_have_no_connect_phase(server: FaultyServer) -> None:
    first, *rest = attempts(f"http://localhost:{server.port}", 4, connection="keep")
    assert first.connect_us is not None
    assert first.dns_us is not None
    assert [(one.dns_us, one.connect_us, one.outcome) for one in rest] == [(None, None, Outcome.OK)] * 3
    assert server.connections == 1
    assert all(_us(one.total_us) >= _us(one.first_byte_us) for one in rest)


def test_a_kept_connection_that_the_server_closed_is_made_anew(server: FaultyServer) -> None:
    made = attempts(server.url, 3, "/ok?idle_close_ms=50", pause_s=0.3, connection="keep")
    assert [one.outcome for one in made] == [Outcome.OK] * 3
    assert all(one.connect_us is not None for one in made)
    assert server.connections == 3


@pytest.mark.parametrize(("method", "outcome"), [("GET", Outcome.OK), ("POST", Outcome.RESET)])
def test_a_close_in_the_same_moment_is_repeated_only_where_that_is_safe(
    method: str, outcome: Outcome
) -> None:
    with_server = _HangsUpOnTheSecondRequest()
    try:
        first, second = attempts(with_server.url, 2, "/", method=method, connection="keep")
    finally:
        with_server.close()
    assert first.outcome is Outcome.OK
    assert second.outcome is outcome
    assert with_server.requests == (3 if method == "GET" else 2)


def test_after_a_failure_the_kept_connection_is_not_used_again(server: FaultyServer) -> None:
    async def work(probe: Probe) -> list[Attempt]:
        return [await probe.attempt() for _ in range(2)]

    made = with_probe(server.url, work, {}, path="/big?mb=2", connection="keep")
    assert [one.outcome for one in made] == [Outcome.TOO_LARGE] * 2
    assert server.connections == 2


def test_the_next_address_is_tried_and_its_family_remembered() -> None:
    server = faulty.start()

    async def main() -> None:
        dialer = Dialer(_Names([_v6(free_port()), _v4(server.port)]), deadline_s=5)
        stream = await dialer.connect_tcp("both.example", server.port)
        await stream.aclose()
        assert dialer.marks.connected is not None
        dialer = Dialer(_Names([_v4(free_port()), _v4(free_port())]), deadline_s=5)
        with pytest.raises(ConnectionRefusedError):
            await dialer.connect_tcp("both.example", 1)

    try:
        asyncio.run(main())
    finally:
        server.stop()


def test_a_silent_address_leaves_time_for_the_next() -> None:
    server = faulty.start()

    async def main() -> None:
        with socket.socket() as silent:
            silent.bind(("127.0.0.1", 0))
            silent.listen(0)
            waiting = [socket.socket() for _ in range(3)]
            for one in waiting:
                one.setblocking(False)
                one.connect_ex(silent.getsockname())
            dialer = Dialer(_Names([_v4(silent.getsockname()[1]), _v4(server.port)]), deadline_s=1)
            began = time.perf_counter()
            stream = await dialer.connect_tcp("both.example", server.port)
            assert 0.4 < time.perf_counter() - began < 0.95
            await stream.aclose()
            for one in waiting:
                one.close()

    try:
        asyncio.run(main())
    finally:
        server.stop()


def test_look_ups_that_hang_take_one_thread_a_name(monkeypatch: pytest.MonkeyPatch) -> None:
    hanging = threading.Event()
    calls = []

    def getaddrinfo(host: str, *_: object, **__: object) -> object:
        calls.append(host)
        hanging.wait(10)
        raise socket.gaierror(socket.EAI_AGAIN, "too late")

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    made = attempts("http://slow.example", 3, deadline_s=0.1)
    hanging.set()
    assert [(one.outcome, one.dns_us) for one in made] == [(Outcome.TIMEOUT, None)] * 3
    assert calls == ["slow.example"]


@pytest.mark.parametrize("path", ["/crumbs", "/early-hints", "/big?mb=2000"])
def test_a_flooding_target_leaves_the_loop_to_others(server: FaultyServer, path: str) -> None:
    async def work(probe: Probe) -> float:
        ticker = LagTicker()
        with ticker.watch() as watch:
            flood = asyncio.create_task(probe.attempt())
            await flood
        assert flood.result().outcome in {Outcome.TIMEOUT, Outcome.TOO_LARGE}
        assert flood.result().loop_lag_us is not None
        return watch.worst_s

    lag_s = with_probe(server.url, work, {"deadline_s": 0.4}, path=path, max_bytes=100_000_000 - 1)
    assert lag_s < 0.3


def test_loop_lag_is_seen(server: FaultyServer) -> None:
    async def work(probe: Probe) -> Attempt:
        attempting = asyncio.create_task(probe.attempt())
        await asyncio.sleep(0.02)
        time.sleep(0.15)  # noqa: ASYNC251 - the loop is blocked on purpose
        return await attempting

    made = with_probe(server.url, work, {}, path="/ok?delay_ms=60")
    assert 100_000 < _us(made.loop_lag_us) < 1_000_000
    assert _us(attempt(server.url).loop_lag_us) < 100_000


class _HangsUpOnTheSecondRequest:
    """Answers the first request of its first connection and hangs up once the second has come."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.requests = 0
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(5)

    def _run(self) -> None:
        for number, connection in enumerate(self._connections()):
            with connection:
                while connection.recv(65536):
                    self.requests += 1
                    if number == 0 and self.requests == 2:
                        break
                    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    def _connections(self) -> Iterator[socket.socket]:
        while True:
            try:
                yield self._listener.accept()[0]
            except OSError:
                return


class _Names(Resolver):
    """Answers every look-up with the same addresses."""

    def __init__(self, addresses: list[Address]) -> None:
        super().__init__()
        self._addresses = addresses

    async def resolve(self, host: str, port: int) -> list[Address]:
        return self._addresses


def _v4(port: int) -> Address:
    return socket.AF_INET, ("127.0.0.1", port)


def _v6(port: int) -> Address:
    return socket.AF_INET6, ("::1", port, 0, 0)


def _us(duration: int | None) -> int:
    assert duration is not None
    return duration
