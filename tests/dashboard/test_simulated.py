"""A simulated warehouse is told as such on every page."""

from datetime import timedelta
from pathlib import Path

from tests.dashboard.conftest import LOAD_PAGES, PAGES, Open
from tests.servers.warehouse import WarehouseProcess, write_config
from warehouse.model import now
from warehouse.settings import load
from warehouse.simulation.build import History, Wanted
from warehouse.store import Store


def test_every_page_says_that_its_data_is_simulated(tmp_path: Path, open_page: Open) -> None:
    config = write_config(tmp_path)
    store = Store(load(config, {}))
    end = now().replace(second=0, microsecond=0)
    History(store.cursor(), Wanted(1, end - timedelta(hours=2), end, 2_000)).write(lambda _: None)
    store.close()
    warehouse = WarehouseProcess(config)
    warehouse.start()
    try:
        for page in (*PAGES, *LOAD_PAGES):
            app = open_page(warehouse, page, range="1h")
            assert not app.exception
            assert "Simulated data" in [banner.proto.title for banner in app.warning], page
    finally:
        warehouse.stop()


def test_a_measured_warehouse_has_no_such_banner(tmp_path: Path, open_page: Open) -> None:
    warehouse = WarehouseProcess(write_config(tmp_path))
    warehouse.start()
    try:
        app = open_page(warehouse, "overview", range="1h")
        assert "Simulated data" not in [banner.proto.title for banner in app.warning]
    finally:
        warehouse.stop()
