"""The audit log on the Load tests page: who asked for what, and what became of it."""

from collections.abc import Iterator

import pytest

from tests.dashboard import load_worlds
from tests.dashboard.conftest import Open
from tests.dashboard.load_worlds import HOSTILE, Story
from tests.servers.warehouse import WarehouseProcess, running_warehouse
from tests.warehouse.loading import us
from warehouse.errors import RefusedError
from warehouse.model import now


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WarehouseProcess]:
    with running_warehouse(tmp_path_factory.mktemp("audited"), load_worlds.CONFIG) as process:
        yield process


def test_before_anybody_asked_it_says_so(served: WarehouseProcess, open_page: Open) -> None:
    app = open_page(served, "loadtests")
    assert not app.exception
    (log,) = [each for each in app.expander if each.label.startswith("Audit log")]
    assert log.label == "Audit log"
    assert "Nobody asked" in log.markdown[0].value


def test_what_was_done_refused_and_missed_is_listed_the_newest_first(
    served: WarehouseProcess, open_page: Open
) -> None:
    with served.client("cli") as asks, served.client("agent") as agent:
        run_id, _ = Story(asks, agent).started(5)
        with pytest.raises(RefusedError):
            asks.request_run("shop", "judged", via="cli", person=HOSTILE[:150])
        agent.tell_missed("nightly", "shop", "judged", due_at_us=us(now()), why="nobody looked")
    app = open_page(served, "loadtests")
    assert not app.exception
    (log,) = [each for each in app.expander if each.label.startswith("Audit log")]
    assert log.label == "Audit log · 1 refused and 1 missed in the last 24 hours"
    table = log.dataframe[0].value
    assert list(table["outcome"]) == ["◌ missed", "✕ refused", "done"]
    assert list(table["who"]) == ["schedule nightly", HOSTILE[:150], "ann"]
    assert list(table["action"]) == ["start"] * 3
    assert run_id in table["text"].iloc[2]
    assert "busy with run" in table["text"].iloc[1]
