"""The probes of one target share places and certificates, not connections or failures."""

import asyncio
from collections import Counter

import pytest

from collectors.probe import Prober
from tests.servers.faulty import FaultyServer
from warehouse.errors import ConfigurationError
from warehouse.model import Attempt, Outcome
from warehouse.settings import TargetSettings


def _target(url: str, *endpoints: dict[str, object], **more: object) -> TargetSettings:
    return TargetSettings.model_validate({"name": "shop", "url": url, "endpoint": endpoints, **more})


def _attempt_all(target: TargetSettings, places: int) -> list[Attempt]:
    async def main() -> list[Attempt]:
        async with Prober(target, max_in_flight=asyncio.Semaphore(places)) as prober:
            return await asyncio.gather(*(prober.attempt(endpoint) for endpoint in target.endpoint))

    return asyncio.run(asyncio.wait_for(main(), 30))


def test_every_attempt_is_of_its_own_endpoint(server: FaultyServer) -> None:
    made = _attempt_all(_target(server.url, {"path": "/ok"}, {"path": "/ok?status=404", "name": "gone"}), 4)
    assert [(one.target, one.endpoint, one.outcome) for one in made] == [
        ("shop", "GET /ok", Outcome.OK),
        ("shop", "gone", Outcome.BAD_STATUS),
    ]


@pytest.mark.parametrize("places", [1, 3])
def test_no_more_are_in_flight_than_there_are_places(server: FaultyServer, places: int) -> None:
    endpoints = [{"path": "/ok?delay_ms=40", "name": f"slow {number}"} for number in range(6)]
    made = _attempt_all(_target(server.url, *endpoints), places)
    assert [one.outcome for one in made] == [Outcome.OK] * 6
    changes = Counter[float]()
    for served in server.served:
        assert served.answered_at is not None
        changes[served.received_at] += 1
        changes[served.answered_at] -= 1
    at_once, most = 0, 0
    for _, change in sorted(changes.items()):
        at_once += change
        most = max(most, at_once)
    assert most <= places


def test_waiting_for_a_place_is_no_latency(server: FaultyServer) -> None:
    endpoints = [{"path": "/ok?delay_ms=60", "name": f"slow {number}"} for number in range(5)]
    made = _attempt_all(_target(server.url, *endpoints), 1)
    for one in made:
        assert one.total_us is not None
        assert one.total_us < 120_000
    starts = sorted(one.at for one in made)
    assert (starts[-1] - starts[0]).total_seconds() >= 4 * 0.06


def test_kept_connections_are_each_endpoints_own(server: FaultyServer) -> None:
    target = _target(
        server.url,
        {"path": "/ok", "name": "one", "connection": "keep"},
        {"path": "/ok", "name": "two", "connection": "keep"},
    )

    async def main() -> None:
        async with Prober(target, max_in_flight=asyncio.Semaphore(1)) as prober:
            for _ in range(3):
                for endpoint in target.endpoint:
                    assert (await prober.attempt(endpoint)).outcome is Outcome.OK

    asyncio.run(main())
    assert server.connections == 2
    assert [served.connection for served in server.served] == [1, 2] * 3


def test_a_missing_secret_is_the_failure_of_its_endpoint_alone(server: FaultyServer) -> None:
    target = _target(
        server.url, {"path": "/ok"}, {"path": "/echo", "headers": {"Authorization": {"env": "NO_SUCH_TOKEN"}}}
    )

    async def main() -> None:
        async with Prober(target, max_in_flight=asyncio.Semaphore(1)) as prober:
            with pytest.raises(ConfigurationError, match="NO_SUCH_TOKEN"):
                await prober.attempt(target.endpoint[1])
            assert (await prober.attempt(target.endpoint[0])).outcome is Outcome.OK

    asyncio.run(main())
    assert server.counts == {"/ok": 1}


def test_a_hanging_target_leaves_another_its_measure(server: FaultyServer) -> None:
    """Hung, dripping, huge and lying endpoints at once: the healthy one is measured as if it were alone."""
    bad = _target(
        server.url,
        *({"path": path} for path in ("/hang", "/drip", "/big?mb=50", "/cut-mid-body", "/malformed")),
        deadline_s=1.5,
    )
    good = _target(server.url, {"path": "/ok?delay_ms=20"})

    async def main() -> tuple[list[Attempt], list[Attempt]]:
        async with (
            Prober(bad, max_in_flight=asyncio.Semaphore(5)) as theirs,
            Prober(good, max_in_flight=asyncio.Semaphore(1)) as ours,
        ):
            hurting = [asyncio.create_task(theirs.attempt(endpoint)) for endpoint in bad.endpoint]
            made = []
            while not all(task.done() for task in hurting):
                made.append(await ours.attempt(good.endpoint[0]))
            return made, [task.result() for task in hurting]

    made, bad_ones = asyncio.run(asyncio.wait_for(main(), 30))
    assert [one.outcome for one in bad_ones[:2]] == [Outcome.TIMEOUT] * 2
    assert [one.outcome for one in bad_ones[2:]] == [Outcome.TOO_LARGE, Outcome.RESET, Outcome.PROTOCOL]
    assert len(made) >= 5
    assert {one.outcome for one in made} == {Outcome.OK}
    totals = sorted(one.total_us or 0 for one in made)
    assert totals[0] >= 20_000
    assert totals[len(totals) // 2] < 60_000
