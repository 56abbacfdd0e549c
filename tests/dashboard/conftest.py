"""One warehouse for each world, shared by the tests that only look at it."""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from tests.dashboard import database_worlds, worlds
from tests.servers.warehouse import WarehouseProcess, running_warehouse
from warehouse.client import Client

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "streamlit_app.py"
CONFIG = f'[host]\nname = "{worlds.HOST}"\nprocesses = ["postgres", "nginx"]\n' + database_worlds.CONFIG
NAMES = ("overview", "latency", "database", "hosts", "collectors", "data")
LOAD_NAMES = ("loadtests", "run", "compare")
PAGES = {name: f"dashboard/views/{name}.py" for name in NAMES}
LOAD_PAGES = {name: f"dashboard/views/{name}.py" for name in LOAD_NAMES}
"""Those that show no window of time."""

WORLDS = ("nothing", "one_sample", "plenty", "failing", "hostile")

FRESH_S = 30
"""So young the world of what fails must be: its states change within minutes."""

Open = Callable[..., AppTest]


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], WarehouseProcess]]:
    """A running warehouse that holds what the named function of `worlds` puts there.

    All start before the first test, so that none seems left behind by the test that first needs it.
    """
    running: dict[str, WarehouseProcess] = {}
    filled: dict[str, float] = {}

    def refill(name: str) -> None:
        filled[name] = time.monotonic()
        with running[name].client("collect") as client:
            fill(name, client)

    def get(name: str) -> WarehouseProcess:
        """On a slow machine, what fails would fall silent before it is looked at."""
        if name == "failing" and time.monotonic() - filled[name] > FRESH_S:
            refill(name)
        return running[name]

    with ExitStack() as stack:
        for name in WORLDS:
            running[name] = stack.enter_context(running_warehouse(tmp_path_factory.mktemp(name), CONFIG))
            if name != "nothing":
                refill(name)
        yield get


def fill(name: str, client: Client) -> None:
    """Put a world's measurements into a warehouse: of endpoints and hosts, and of databases."""
    getattr(worlds, name)(client)
    getattr(database_worlds, name)(client)


@pytest.fixture
def open_page(monkeypatch: pytest.MonkeyPatch) -> Iterator[Open]:
    """Run a page of the real app against a warehouse, with what the address holds."""
    monkeypatch.chdir(ROOT)
    st.cache_data.clear()

    def run(
        warehouse: WarehouseProcess | Path, page: str = "overview", **address: str | list[str]
    ) -> AppTest:
        config = warehouse if isinstance(warehouse, Path) else warehouse.config
        monkeypatch.setenv("PERFHOUSE_CONFIG", str(config))
        app = AppTest.from_file(str(SCRIPT), default_timeout=60)
        app.context = {"timezone": "Europe/Berlin", "theme": "light"}
        app.run()
        if page != "overview" or address:
            app.switch_page({**PAGES, **LOAD_PAGES}[page])
            for name, value in address.items():
                app.query_params[name] = value
            app.run()
        return app

    yield run
    st.cache_resource.clear()
    st.cache_data.clear()


def texts(app: AppTest) -> str:
    """Everything the page says, as it was handed to Streamlit."""
    kinds = (app.title, app.header, app.subheader, app.markdown, app.caption, app.error, app.warning)
    said = [str(element.value) for kind in kinds for element in kind]
    said += [str(element.proto.title) for element in (*app.error, *app.warning)]
    return "\n".join(said)
