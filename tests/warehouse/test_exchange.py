"""A restored file put in the place of the warehouse's own while that is open."""

import shutil
from pathlib import Path
from uuid import uuid4

import httpx
import pytest

from tests.hostile.conftest import token_of
from tests.servers.warehouse import WarehouseProcess
from tests.warehouse.records import attempt
from tests.warehouse.test_backup import contents, take
from warehouse import restore
from warehouse.archive import Archive
from warehouse.client import pack
from warehouse.errors import InvalidInputError, RefusedError, StorageError
from warehouse.exchange import exchange, held_rows
from warehouse.keeper import Keeper
from warehouse.model import Batch, now
from warehouse.settings import Settings
from warehouse.store import Store


@pytest.fixture
def keeper(store: Store) -> Keeper:
    return Keeper(store)


def gap(store: Store, missed: int) -> None:
    store.cursor().execute(
        "INSERT INTO gap VALUES ('2026-01-01', '2026-01-02', 's', 'j', 'missed', ?)", [missed]
    )


def build(store: Store, file: Path) -> None:
    with Archive(take(store, file)) as archive:
        restore.build(archive, store.settings)


def test_what_was_backed_up_is_there_and_what_was_replaced_is_kept(
    store: Store, keeper: Keeper, tmp_path: Path
) -> None:
    gap(store, 1)
    before = contents(store)
    build(store, tmp_path / "b")
    gap(store, 2)
    later = contents(store)
    keeper.connection()
    assert held_rows(store) == 2
    kept = exchange(store, keeper, replace=True)
    assert contents(store) == before
    assert kept is not None
    (told,) = keeper.take_untold()
    assert kept.name in told.text
    gap(store, 3)
    shutil.copy(kept, restore.ready_file(store.settings))
    assert exchange(store, keeper, replace=True) != kept
    assert contents(store) == later


def test_without_leave_nothing_is_replaced(store: Store, keeper: Keeper, tmp_path: Path) -> None:
    gap(store, 1)
    build(store, tmp_path / "b")
    before = contents(store)
    with pytest.raises(InvalidInputError, match="holds 1 rows"):
        exchange(store, keeper, replace=False)
    assert contents(store) == before


def test_an_empty_warehouse_is_replaced_and_not_kept(store: Store, keeper: Keeper, tmp_path: Path) -> None:
    build(store, tmp_path / "b")
    assert exchange(store, keeper, replace=False) is None
    assert not list(store.settings.data_dir.glob("*replaced*"))
    with pytest.raises(RefusedError, match="no restored file"):
        exchange(store, keeper, replace=True)


def test_what_runs_is_ended_and_what_is_asked_later_is_answered(
    store: Store, keeper: Keeper, tmp_path: Path
) -> None:
    gap(store, 1)
    build(store, tmp_path / "b")
    with store.lend() as lease:
        with lease.busy() as connection:
            lease.blocks = connection.sql("SELECT * FROM range(10_000_000)").to_arrow_reader(1000)
            lease.blocks.read_next_batch()
        exchange(store, keeper, replace=True)
        with pytest.raises(StorageError), lease.busy():
            pass
    assert held_rows(store) == 1


@pytest.mark.parametrize("content", [b"no database" * 1000, None])
def test_a_file_that_cannot_be_opened_or_placed_leaves_the_old_one_open(
    store: Store, settings: Settings, content: bytes | None
) -> None:
    gap(store, 1)
    before = contents(store)

    def place() -> Path | None:
        if content is not None:
            restore.ready_file(settings).write_bytes(content)
        return restore.place(settings, now(), keep=True)

    with pytest.raises(StorageError):
        store.exchange(place, lambda kept: restore.take_back(settings, kept))
    assert contents(store) == before
    gap(store, 2)
    assert held_rows(store) == 2
    assert not list(settings.data_dir.glob("*replaced*"))


def test_a_file_of_another_schema_is_refused(store: Store, keeper: Keeper, tmp_path: Path) -> None:
    gap(store, 1)
    build(store, tmp_path / "b")
    store._steps = [*store._steps, (9000, "9000_next", "")]
    with pytest.raises(RefusedError, match="knows 9000"):
        exchange(store, keeper, replace=True)
    assert held_rows(store) == 1


def asked(served: WarehouseProcess, token: str | None, replace: str) -> httpx.Response:
    headers = {"authorization": f"Bearer {token}"} if token else {}
    return httpx.post(
        f"{served.settings.warehouse.url}/api/v1/restore", params={"replace": replace}, headers=headers
    )


def test_only_this_machines_command_line_may_restore(served: WarehouseProcess) -> None:
    with served.client("collect") as client:
        batch_id = uuid4().hex
        client.send(batch_id, pack(Batch(batch_id=batch_id, attempts=(attempt(),))))
    with served.client("cli") as client:
        held = client.held_rows()
    assert held is not None
    assert held >= 3
    for token, status in ((None, 401), ("unknown", 401)):
        assert asked(served, token, "true").status_code == status
    for name in ("collect", "dashboard"):
        assert asked(served, token_of(served, name), "true").status_code == 403
    assert asked(served, token_of(served, "cli"), "true").status_code == 409
    assert asked(served, token_of(served, "cli"), "/etc/passwd").status_code == 422
