"""Hosts and databases over windows older than their samples: numbers from cells, and what is not known."""

from collections.abc import Iterator
from datetime import datetime, timedelta

import pytest

from tests.dashboard.conftest import CONFIG, Open
from tests.servers.warehouse import WarehouseProcess, running_warehouse
from tests.warehouse.records import database_state, query_shape, query_stat, sample
from warehouse.model import Batch, now
from warehouse.retention import expire
from warehouse.rollups import Alone
from warehouse.store import Store
from warehouse.sum_tiers import keep_up
from warehouse.wire import pack

DAYS = 100


@pytest.fixture(scope="module")
def aged(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WarehouseProcess]:
    """A host and a database of 100 days, another host silent for 50, of which single rows are kept for 30."""
    end = now()
    hours = [end - timedelta(hours=hour) for hour in range(1, DAYS * 24)]
    with running_warehouse(tmp_path_factory.mktemp("aged"), CONFIG) as served:
        with served.client("collect") as client:
            for name, samples in (
                ("box", [sample(at, 0.25) for at in [end - timedelta(minutes=1), *hours]]),
                (
                    "old",
                    [sample(at, 0.97, target="old-box") for at in hours if at < end - timedelta(days=50)],
                ),
            ):
                batch = Batch(batch_id=f"aged-samples-{name}", samples=tuple(samples))
                client.send(batch.batch_id, pack(batch))
            batch = Batch(
                batch_id="aged-statistics",
                query_shapes=(query_shape(hours[-1]),),
                query_stats=tuple(query_stat(at, 100) for at in hours),
                database_states=(database_state(end),),
            )
            client.send(batch.batch_id, pack(batch))
        served.stop()
        store = Store(served.settings)
        at = end.replace(tzinfo=None)
        keep_up(Alone(store.cursor()), at)
        expire(store.cursor(), at, served.settings.retention.raw_days)
        store.close()
        served.start()
        yield served


def texts(app: object) -> str:
    return " ".join(str(each.value) for each in [*app.markdown, *app.caption])  # type: ignore[attr-defined]


def test_a_host_is_drawn_over_a_year_and_a_silent_one_is_called_so(
    aged: WarehouseProcess, open_page: Open
) -> None:
    app = open_page(aged, "hosts", range="1y", host="box")
    assert not app.exception
    assert app.get("plotly_chart")
    assert "CPU 25 %" in texts(app)
    assert "silent" not in texts(app)
    old = texts(open_page(aged, "hosts", range="1y", host="old-box"))
    assert "newest sample 50 d ago" in old
    assert "CPU was 97 %" in old


def test_queries_of_a_year_are_those_that_were_called(aged: WarehouseProcess, open_page: Open) -> None:
    app = open_page(aged, "database", database="main", range="1y")
    assert not app.exception
    shown = next(element.value for element in app.dataframe if "share" in element.value.columns)
    calls = (DAYS * 24 - 1) * 100
    assert shown["calls"].to_list() == [f"{calls:,}"]
    assert "Not known: single statistics are kept since" in texts(app)


def test_what_came_and_went_is_told_where_statistics_are_kept(
    aged: WarehouseProcess, open_page: Open
) -> None:
    since = (now() - timedelta(days=5)).strftime("%Y%m%dT%H%M%SZ")
    said = texts(open_page(aged, "database", database="main", range="1y", since=since))
    assert "one that was called only before is not missed" in said
    recent = texts(open_page(aged, "database", database="main", range="7d"))
    assert "single statistics are kept" not in recent
    with aged.client("dashboard") as client:
        kept = dict(client.ask("kept_since").iter_rows())
    assert set(kept) == {"sample", "query_stat"}
    assert all(isinstance(at, datetime) and timedelta(days=29) < now() - at for at in kept.values())
