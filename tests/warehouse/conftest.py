"""A warehouse in this process for what needs no network, and one behind HTTP for what does."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa
import pytest

from tests.servers.warehouse import WarehouseProcess, running_warehouse, write_config
from tests.warehouse.loading import TARGETS, forget_runs
from warehouse import checks, wire
from warehouse.client import Client
from warehouse.keeper import Keeper
from warehouse.model import Batch, Receipt, now
from warehouse.questions import QUESTIONS
from warehouse.reader import Reader
from warehouse.settings import Settings, load
from warehouse.store import Store
from warehouse.writer import Writer


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load(write_config(tmp_path), {})


@pytest.fixture
def store(settings: Settings) -> Iterator[Store]:
    store = Store(settings)
    yield store
    store.close()


@pytest.fixture
def writer(store: Store) -> Iterator[Writer]:
    writer = Writer(Keeper(store))
    yield writer
    writer.close()


@pytest.fixture
def put(writer: Writer) -> Callable[[Batch], Receipt]:
    """Store a batch as the server would."""

    def put(batch: Batch) -> Receipt:
        batch_id, tables = wire.unpack_arrow(batch.batch_id, wire.pack(batch))
        return writer.ingest(checks.check(batch_id, batch.source or "local", tables, now())).result(30)

    return put


@pytest.fixture
def ask(store: Store) -> Callable[..., pa.Table]:
    """Ask a question as the server would."""
    reader = Reader(store, deadline_s=30, row_cap=1_000_000)

    def ask(question: str, **parameters: object) -> pa.Table:
        function = QUESTIONS[question]
        model = next(kind for name, kind in function.__annotations__.items() if name != "return")
        if isinstance(model, str):
            model = vars(__import__(function.__module__, fromlist=["_"]))[model]
        return reader.answer(function(model.model_validate(parameters)))

    return ask


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WarehouseProcess]:
    """A warehouse behind HTTP, shared by the tests of a module."""
    with running_warehouse(tmp_path_factory.mktemp("served")) as process:
        yield process


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WarehouseProcess]:
    """A warehouse whose targets allow load, shared by the tests of a module: see `without_runs`."""
    with running_warehouse(tmp_path_factory.mktemp("loaded"), TARGETS) as process:
        yield process


@pytest.fixture
def without_runs(loaded: WarehouseProcess) -> Iterator[WarehouseProcess]:
    """That warehouse, in which no run is left of the tests before."""
    yield loaded
    forget_runs(loaded)


@pytest.fixture
def cli(served: WarehouseProcess) -> Iterator[Client]:
    """That warehouse as the command line asks it."""
    with served.client("cli") as client:
        yield client


@pytest.fixture
def agent(served: WarehouseProcess) -> Iterator[Client]:
    """That warehouse as a load agent works for it."""
    with served.client("agent") as client:
        yield client


@pytest.fixture
def dashboard(served: WarehouseProcess) -> Iterator[Client]:
    """That warehouse as the dashboard asks it."""
    with served.client("dashboard") as client:
        yield client
