"""Warehouses in every state, and a reader who opens pages of them without a browser."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from tests.dashboard import recordings
from tests.servers.warehouse import ROOT, WarehouseProcess, running_warehouse, write_config

VIEWS = ("overview", "latency", "hosts", "collectors")
Open = Callable[..., AppTest]


@pytest.fixture(scope="session")
def nothing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WarehouseProcess]:
    """A warehouse without a sample."""
    with running_warehouse(tmp_path_factory.mktemp("nothing")) as warehouse:
        yield warehouse


@pytest.fixture(scope="session")
def single(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WarehouseProcess]:
    """A warehouse with one round of everything."""
    with running_warehouse(tmp_path_factory.mktemp("single")) as warehouse:
        recordings.send(
            warehouse,
            attempts=recordings.slow_probes([123.0]),
            samples=[*recordings.host(0), *recordings.health(0, jobs=["probe shop GET /slow"])],
        )
        yield warehouse


@pytest.fixture(scope="session")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WarehouseProcess]:
    """A warehouse with most of an hour, one failing job among it."""
    with running_warehouse(tmp_path_factory.mktemp("measured")) as warehouse:
        recordings.full(warehouse)
        yield warehouse


@pytest.fixture
def unstarted(tmp_path: Path) -> WarehouseProcess:
    """A warehouse that does not run."""
    return WarehouseProcess(write_config(tmp_path))


@pytest.fixture
def open_page(monkeypatch: pytest.MonkeyPatch) -> Open:
    """Open a page as a reader in Berlin; `parameters` are those of the address."""
    monkeypatch.chdir(ROOT)

    def open_page(warehouse: WarehouseProcess, view: str, **parameters: str | list[str]) -> AppTest:
        monkeypatch.setenv("PERFHOUSE_CONFIG", str(warehouse.config))
        page = AppTest.from_file(str(ROOT / "streamlit_app.py"), default_timeout=60)
        page.context = {"timezone": "Europe/Berlin", "theme": "light"}
        for name, value in parameters.items():
            page.query_params[name] = value
        page.run()
        if view != "overview":
            page.switch_page(f"dashboard/views/{view}.py")
            for name, value in parameters.items():
                page.query_params[name] = value
            page.run()
        return page

    return open_page


def said(page: AppTest) -> str:
    """Everything the page says in words, marks of Markdown taken away."""
    kinds = (page.title, page.subheader, page.markdown, page.caption, page.error, page.warning, page.info)
    texts = [str(element.value) for kind in kinds for element in kind]
    texts += [f"{metric.label} {metric.value} {metric.delta}" for metric in page.metric]
    texts += [str(getattr(element.proto, "title", "")) for element in page.error]
    return "\n".join(texts).replace("\\", "").replace("\u2060", "")


def trouble(page: AppTest) -> list[str]:
    """Exceptions that reached the page."""
    return [f"{element.message}\n{element.stack_trace}" for element in page.exception]
