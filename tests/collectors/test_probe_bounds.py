"""A probe stays small whatever comes, one attempt's marks stay its own, and the warehouse takes every row."""

import asyncio
import tracemalloc
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest
import trustme

from collectors.probe import Prober
from tests.collectors.conftest import server_context
from tests.collectors.probing import attempt
from tests.servers.faulty import FaultyServer, running_faulty_server
from tests.servers.ports import free_port
from warehouse import checks, wire
from warehouse.model import Attempt, Batch, Outcome, now
from warehouse.settings import TargetSettings

MEGABYTE = 1_000_000


def _peak_bytes(work: Callable[[], Attempt]) -> int:
    """The most that Python held at once while `work` ran: the probe's part and the server's blocks."""
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("path", "deadline_s", "outcomes"),
    [
        ("/big?mb=100", 10, {Outcome.TOO_LARGE}),
        ("/bomb", 10, {Outcome.ASSERTION}),
        ("/huge-headers", 10, {Outcome.TOO_LARGE}),
        ("/crumbs", 1, {Outcome.TIMEOUT, Outcome.TOO_LARGE}),
        ("/early-hints", 1, {Outcome.TIMEOUT}),
    ],
)
def test_memory_is_bounded_whatever_comes(
    server: FaultyServer, path: str, deadline_s: float, outcomes: set[Outcome]
) -> None:
    def work() -> Attempt:
        return attempt(server.url, path, expect_text="never there", max_bytes=MEGABYTE, deadline_s=deadline_s)

    assert work().outcome in outcomes  # what is made once, the bomb too, is made now
    assert _peak_bytes(work) < 12 * MEGABYTE


def test_a_certificate_for_another_host_is_a_tls_failure(authority: trustme.CA, authority_file: Path) -> None:
    with running_faulty_server(tls=server_context(authority.issue_cert("shop.example"))) as other:
        made = attempt(other.url, target={"ca_file": authority_file})
        assert (made.outcome, made.tls_us, made.total_us) == (Outcome.TLS, None, None)
        assert made.connect_us is not None
        assert (other.served, other.connections) == ([], 1)


def test_a_certificate_that_vouches_for_itself_is_a_tls_failure(authority_file: Path) -> None:
    stranger = trustme.CA()
    with running_faulty_server(tls=server_context(stranger.issue_cert("127.0.0.1"))) as other:
        made = attempt(other.url, target={"ca_file": authority_file})
        assert made.outcome is Outcome.TLS
        assert other.served == []


def test_attempts_of_one_endpoint_that_meet_take_turns(server: FaultyServer) -> None:
    target = TargetSettings.model_validate(
        {"name": "shop", "url": server.url, "endpoint": [{"path": "/ok?delay_ms=80"}]}
    )

    async def main() -> list[Attempt]:
        async with Prober(target, max_in_flight=None) as prober:
            return await asyncio.gather(*(prober.attempt(target.endpoint[0]) for _ in range(3)))

    made = asyncio.run(asyncio.wait_for(main(), 30))
    assert [one.outcome for one in made] == [Outcome.OK] * 3
    assert all(80_000 <= (one.first_byte_us or 0) <= (one.total_us or 0) < 160_000 for one in made)
    ends = [(served.received_at, served.ended_at) for served in server.served]
    assert all(later[0] > (earlier[1] or 0) for earlier, later in pairwise(ends))


def test_without_places_there_is_no_limit(server: FaultyServer) -> None:
    target = TargetSettings.model_validate(
        {
            "name": "shop",
            "url": server.url,
            "endpoint": [{"path": "/ok?delay_ms=300", "name": f"slow {number}"} for number in range(6)],
        }
    )

    async def main() -> list[Attempt]:
        async with Prober(target, max_in_flight=None) as prober:
            return await asyncio.gather(*map(prober.attempt, target.endpoint))

    assert {one.outcome for one in asyncio.run(asyncio.wait_for(main(), 30))} == {Outcome.OK}
    # The last request came before the first answer went out.
    assert max(served.received_at for served in server.served) < min(
        served.answered_at or 0 for served in server.served
    )


def test_the_warehouse_takes_an_attempt_of_every_outcome(server: FaultyServer) -> None:
    paths = ("/ok", "/reset", "/malformed", "/big?mb=2", "/redirect", "/drip", "/reset-mid-body")
    made = [attempt(server.url, path, deadline_s=0.5) for path in paths]
    made += [
        attempt(server.url, "/ok", expect_text="never there"),
        attempt(f"http://127.0.0.1:{free_port()}"),
        attempt("http://nowhere.invalid"),
        attempt(server.url.replace("http:", "https:")),
    ]
    assert {one.outcome for one in made} == set(Outcome) - {
        Outcome.ERROR,
        Outcome.NOT_MEASURABLE,
        Outcome.UNREACHABLE,
    }
    batch = Batch(batch_id="every-outcome", source="local", attempts=tuple(made))
    _, tables = wire.unpack_arrow(batch.batch_id, wire.pack(batch))
    checks.check(batch.batch_id, "local", tables, now())
    assert tables["attempts"].num_rows == len(made)
