"""How runs end before their time: by criteria, deadlines, and what cannot run at all."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.loadtests.running import launch, make_plan, request
from tests.servers.counting import CountingServer, counting_server


@pytest.fixture
def server() -> Iterator[CountingServer]:
    with counting_server() as started:
        yield started


def test_a_broken_criterion_with_stop_ends_the_run(server: CountingServer, tmp_path: Path) -> None:
    plan = make_plan(
        server.url,
        request("/status/503"),
        request("/health", weight=3),
        stages=((60, 10, 50),),
        criteria=("p99 > 30s, stop", "errors > 5% for 2s, stop"),
    )
    with launch(tmp_path / "runs", plan) as run:
        state = run.wait_ended()
    assert state["state"] == "finished"
    assert state["reason"].startswith("stopped by a criterion: errors > 5% for 2s, stop: errors was ")
    assert state["ended_at_us"] - state["started_at_us"] < 20_000_000
    assert len(run.rows()) == server.total
    assert run.outcomes()["bad_status"] == server.counts()["GET /status/503"]


def test_a_criterion_that_holds_ends_nothing(server: CountingServer, tmp_path: Path) -> None:
    plan = make_plan(server.url, criteria=("errors > 5% for 1s, stop", "rps < 1/s for 1s, stop"))
    with launch(tmp_path / "runs", plan) as run:
        state = run.wait_ended()
    assert (state["state"], state["reason"]) == ("finished", "")
