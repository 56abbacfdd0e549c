"""Gives freed room back to the disk: copies the warehouse into a new file meanwhile, then swaps them."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import duckdb

from warehouse import notes, restore
from warehouse import store as stores
from warehouse.backup import sequences_of, tables_of
from warehouse.copying import Copying
from warehouse.errors import StorageError
from warehouse.leases import CalledBackError
from warehouse.model import JobState

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from warehouse.keeper import Keeper
    from warehouse.leases import Lease
    from warehouse.settings import Settings
    from warehouse.store import Store

log = logging.getLogger(__name__)

JOB = "compact"
DRAFT = "compact-draft.duckdb"
BEFORE = "compact-before.duckdb"
"""A second name of the file that is replaced, until the new one is open."""

FEW_ROWS = 20_000
"""What came meanwhile is copied again and again, until so little is left for the moment when storing waits,
or a round found more than half of what the round before it had found: it would never become little."""

Step = dict[str, Any]
T = TypeVar("T")
OnWriter = Callable[[Callable[[], T]], T]


def clear_away(settings: Settings) -> None:
    """Delete what a killed compaction left, once the warehouse's file was opened for writing."""
    for name in (DRAFT, BEFORE):
        restore.discard(settings.data_dir / name)


class Compaction:
    """One copy of the warehouse's file into a smaller one, while nothing is rolled up or deleted by age."""

    def __init__(self, store: Store, keeper: Keeper, on_writer: OnWriter[Any]) -> None:
        """`on_writer` runs work on the writer's thread, and waits for it."""
        self._store = store
        self._keeper = keeper
        self._on_writer = on_writer
        self._draft = store.settings.data_dir / DRAFT
        self._generation = store.generation
        self._began = time.monotonic()

    def steps(self) -> Iterator[Step]:
        """Do it; steps are `copy` with rows done and of how many, `catching_up`, and `end` with what it gave.

        Of the rows at the end, `held_rows` were copied and proved while storing waited. Until the exchange
        nothing is changed. Raises StorageError, and RefusedError where the copy is not what the warehouse
        holds.
        """
        self._keeper.check()
        before = sum(self._store.sizes())
        self._refuse_full(before)
        clear_away(self._store.settings)
        try:
            with ExitStack() as seen, closing(self._new_file()) as target:
                copying = Copying(target)
                yield from self._copy_most(copying, target, seen)
                yield {"part": "catching_up"}
                held_rows, waited_s = self._on_writer(lambda: self._finish(copying, target, seen))
        except duckdb.Error as error:
            raise StorageError(f"{self._draft}: {error}", "Nothing was changed.") from error
        finally:
            clear_away(self._store.settings)
        after = sum(self._store.sizes())
        self._tell(before, after)
        yield {
            "part": "end",
            "rows": copying.rows,
            "held_rows": held_rows,
            "before_bytes": before,
            "after_bytes": after,
            "waited_s": waited_s,
        }

    def _refuse_full(self, needed: int) -> None:
        space = self._keeper.space
        if space is None or space.free - needed < space.reserve:
            text = space.text if space else "the disk tells nothing"
            raise StorageError(f"{needed / 1e6:,.0f} MB are needed beside: {text}", "Nothing was changed.")

    def _new_file(self) -> DuckDBPyConnection:
        with self._snapshot() as lease, lease.busy() as source:
            counts = {table: _count(source, table) for table in tables_of(source)}
        target = stores.new_file(self._draft, self._store.settings, self._store.schema_version, counts)
        for table in tables_of(target):
            target.execute(f'DELETE FROM "{table}"')  # noqa: S608 - from the catalogue
        return target

    @contextmanager
    def _snapshot(self) -> Iterator[Lease]:
        """A connection that sees the rows of one moment."""
        with self._store.lend() as lease:
            with lease.busy() as source:
                source.execute("BEGIN")
                _count(source, "migration")
            self._refuse_reopened()
            yield lease

    def _refuse_reopened(self) -> None:
        """Row ids tell nothing of a file that was opened again since they were read."""
        if self._store.generation != self._generation:
            raise CalledBackError("the warehouse opened its file again meanwhile", "Nothing was changed.")

    def _copy_most(self, copying: Copying, target: DuckDBPyConnection, seen: ExitStack) -> Iterator[Step]:
        """Copy and prove what only grows, in rounds of which each finds less to do.

        The moment that the last round saw stays in `seen`.
        """
        most: float = float("inf")
        total = 0
        while True:
            with ExitStack() as newer:
                lease = newer.enter_context(self._snapshot())
                with lease.busy() as source:
                    total = max(total, sum(_count(source, table) for table in tables_of(source)))
                known = copying.rows
                for _ in copying.grow(lease.busy):
                    yield {"part": "copy", "rows": copying.rows, "of": max(copying.rows, total)}
                seen.pop_all().close()
                seen.push(newer.pop_all())
            target.execute("CHECKPOINT")
            restore.sync(self._draft)
            came = copying.rows - known
            if came < FEW_ROWS or came > most / 2:
                return
            most = came

    def _finish(self, copying: Copying, target: DuckDBPyConnection, seen: ExitStack) -> tuple[int, float]:
        """Copy the rest and put the copy in place; on the writer's thread, so that nothing changes.

        Returns how many rows that were, and for how long batches waited (s).
        """
        began, known = time.monotonic(), copying.rows
        self._refuse_reopened()
        source = self._keeper.connection()
        copying.finish(source)
        for name, value in sequences_of(source).items():
            target.execute("SELECT setval(?, ?)", [name, value])
        target.execute("CHECKPOINT")
        target.close()
        restore.sync(self._draft)
        seen.close()
        self._exchange()
        return copying.rows - known, round(time.monotonic() - began, 2)

    def _exchange(self) -> None:
        """The copy becomes the warehouse's file; the one before it is to be deleted once that one is open."""
        present, kept = self._store.path, self._store.settings.data_dir / BEFORE

        def place() -> None:
            if stores.wal_of(present).exists():
                raise StorageError(f"{stores.wal_of(present)} was not folded in", "Nothing was changed.")
            restore.put_in_place(self._draft, present, kept)

        self._keeper.close()
        self._store.exchange(place, lambda _: restore.take_back(self._store.settings, kept))
        self._keeper.exchanged()

    def _tell(self, before: int, after: int) -> None:
        took_s = time.monotonic() - self._began
        text = f"compacted from {before / 1e6:,.1f} to {after / 1e6:,.1f} MB in {took_s:.0f} s"
        log.info("%s", text)
        self._keeper.tell([notes.event(JOB, JobState.OK, text)])


def _count(connection: DuckDBPyConnection, table: str) -> int:
    return int(connection.execute(f'SELECT count(*) FROM "{table}"').fetchall()[0][0])  # noqa: S608 - from the catalogue
