"""One warehouse for each world, shared by the tests that only look at it."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from datetime import datetime, timedelta
from pathlib import Path

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from tests.dashboard import database_worlds, worlds
from tests.servers.warehouse import WarehouseProcess, running_warehouse
from warehouse.client import Client
from warehouse.model import now

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "streamlit_app.py"
CONFIG = f'[host]\nname = "{worlds.HOST}"\nprocesses = ["postgres", "nginx"]\n' + database_worlds.CONFIG
NAMES = ("overview", "regressions", "latency", "database", "hosts", "collectors", "data")
MORE_NAMES = ("baseline",)
LOAD_NAMES = ("loadtests", "run", "compare")
PAGES = {name: f"dashboard/views/{name}.py" for name in NAMES}
MORE_PAGES = {name: f"dashboard/views/{name}.py" for name in MORE_NAMES}
"""Those without a chart."""

LOAD_PAGES = {name: f"dashboard/views/{name}.py" for name in LOAD_NAMES}
"""Those that show no window of time."""

WORLDS = ("nothing", "one_sample", "plenty", "failing", "hostile")

FRESH = timedelta(seconds=30)
"""So young the world of what fails must be: its states change within minutes."""

Open = Callable[..., AppTest]


class Worlds:
    """A running warehouse for each world, and since when it holds what it holds."""

    def __init__(self, running: Mapping[str, WarehouseProcess]) -> None:
        self._running = running
        self.filled_at: dict[str, datetime] = {}
        for name in running:
            if name != "nothing":
                self._fill(name)

    def __call__(self, name: str) -> WarehouseProcess:
        """On a slow machine, what fails would fall silent before it is looked at."""
        if name == "failing" and now() - self.filled_at[name] > FRESH:
            self._fill(name)
        return self._running[name]

    def _fill(self, name: str) -> None:
        self.filled_at[name] = now()
        with self._running[name].client("collect") as client:
            fill(name, client)


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worlds]:
    """A running warehouse that holds what the named function of `worlds` puts there.

    All start before the first test, so that none seems left behind by the test that first needs it.
    """
    with ExitStack() as stack:
        yield Worlds(
            {
                name: stack.enter_context(running_warehouse(tmp_path_factory.mktemp(name), CONFIG))
                for name in WORLDS
            }
        )


def fill(name: str, client: Client) -> None:
    """Put a world's measurements into a warehouse: of endpoints and hosts, and of databases."""
    getattr(worlds, name)(client)
    getattr(database_worlds, name)(client)


@pytest.fixture
def open_page(monkeypatch: pytest.MonkeyPatch) -> Iterator[Open]:
    """Run a page of the real app against a warehouse, with what the address holds and nothing kept before."""
    monkeypatch.chdir(ROOT)

    def run(
        warehouse: WarehouseProcess | Path, page: str = "overview", **address: str | list[str]
    ) -> AppTest:
        st.cache_data.clear()  # answers are kept for two seconds: a test may have changed what they tell
        config = warehouse if isinstance(warehouse, Path) else warehouse.config
        monkeypatch.setenv("PERFHOUSE_CONFIG", str(config))
        app = AppTest.from_file(str(SCRIPT), default_timeout=60)
        app.context = {"timezone": "Europe/Berlin", "theme": "light"}
        app.run()
        if page != "overview" or address:
            app.switch_page({**PAGES, **MORE_PAGES, **LOAD_PAGES}[page])
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
