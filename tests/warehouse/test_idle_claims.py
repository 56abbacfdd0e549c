"""Load agents that ask for work where there is none are answered from memory, and miss nothing by it."""

from collections.abc import Iterator
from datetime import timedelta

import pytest

from tests.servers.warehouse import WarehouseProcess, running_warehouse
from tests.warehouse.loading import AGENT, TARGETS, finish, us
from warehouse.client import Client
from warehouse.model import now
from warehouse.run_model import Claim
from warehouse.run_orders import Agents

HELPER = "helper"


@pytest.fixture
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WarehouseProcess]:
    with running_warehouse(tmp_path_factory.mktemp("idle"), TARGETS) as process:
        yield process


def idle(agent: Client, name: str = AGENT, **said: object) -> None:
    for _ in range(3):
        assert agent.claim(name, **said) == {"run": None, "cancel": [], "seats": []}  # type: ignore[arg-type]


def test_each_change_is_heard_at_the_next_claim(served: WarehouseProcess) -> None:
    with served.client("cli") as cli, served.client("agent") as agent:
        idle(agent)
        run_id = cli.request_run("shop", "shared", via="cli")["run_id"]
        given = agent.claim(AGENT)["run"]
        assert given is not None
        assert given["run_id"] == run_id
        idle(agent, busy=[run_id])
        idle(agent, HELPER)
        agent.report_run(
            run_id, agent=AGENT, state="running", started_at_us=us(now()), master_host="h", master_port=5557
        )
        assert [seat["run_id"] for seat in agent.claim(HELPER)["seats"]] == [run_id]
        waiting = cli.request_run("shop", "tiny", via="cli", waits=True)["run_id"]
        idle(agent, busy=[run_id])
        cli.cancel_run(run_id)
        assert [order["run_id"] for order in agent.claim(AGENT, busy=[run_id])["cancel"]] == [run_id]
        finish(agent, run_id, now() - timedelta(seconds=2), 1, state="cancelled")
        given = agent.claim(AGENT)["run"]
        assert given is not None
        assert given["run_id"] == waiting


def test_an_answer_that_was_lost_is_given_again(served: WarehouseProcess) -> None:
    with served.client("cli") as cli, served.client("agent") as agent:
        idle(agent)
        run_id = cli.request_run("shop", "tiny", via="cli")["run_id"]
        for _ in range(3):
            given = agent.claim(AGENT)["run"]
            assert given is not None
            assert given["run_id"] == run_id
        idle(agent, busy=[run_id])


def test_an_idle_agent_stays_seen(served: WarehouseProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [1000.0]
    monkeypatch.setattr("warehouse.run_orders.time.monotonic", lambda: clock[0])
    agents, asked = Agents(), Claim(agent=AGENT)
    agents.note_idle(asked, 7)
    assert not agents.is_idle(asked, 7), "it was never noted as seen"
    agents._noted[asked] = clock[0]
    assert agents.is_idle(asked, 7)
    assert not agents.is_idle(asked, 8)
    assert not agents.is_idle(Claim(agent=AGENT, busy=("r20260101000000-aaaaaa",)), 7)
    clock[0] += 5
    assert not agents.is_idle(asked, 7)
