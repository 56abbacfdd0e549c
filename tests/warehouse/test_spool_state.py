"""How far a run's spool is stored, for an agent that does not know any more."""

from collections.abc import Iterator

import pytest

from tests.servers.warehouse import WarehouseProcess, running_warehouse
from tests.warehouse.loading import TARGETS, beats, launch, lines, rows, start
from warehouse.errors import RefusedError


@pytest.fixture
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WarehouseProcess]:
    with running_warehouse(tmp_path_factory.mktemp("spool"), TARGETS) as process:
        yield process


def test_the_last_piece_of_each_file_is_told(served: WarehouseProcess) -> None:
    run_id = launch(served)
    with served.client("agent") as agent:
        began = start(agent, run_id)
        assert agent.stored_spool(run_id) == {}
        for offset, amount in ((0, 2), (64, 30), (1024, 3)):
            agent.send_rows(run_id, 0, "requests-0.bin", offset, rows(began, [1.0] * amount).tobytes())
        agent.send_rows(run_id, 1, "requests-1.bin", 0, rows(began, [1.0]).tobytes())
        agent.send_events(run_id, 0, "events-0.jsonl", 0, lines(*beats(began, [0.1] * 4)) + b'{"cut\n')
        assert agent.stored_spool(run_id) == {
            "requests-0.bin": {"offset": 1024, "rows": 3},
            "requests-1.bin": {"offset": 0, "rows": 1},
            "events-0.jsonl": {"offset": 0, "rows": 4},
        }
        with pytest.raises(RefusedError) as refused:
            agent.stored_spool("r20260101000000-aaaaaa")
    assert refused.value.status == 404
    with served.client("cli") as cli, pytest.raises(RefusedError) as refused:
        cli.stored_spool(run_id)
    assert refused.value.status == 403
