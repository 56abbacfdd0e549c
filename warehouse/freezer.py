"""Lets closed days go cold while the warehouse runs, and forgets the oldest of them."""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import TYPE_CHECKING

import duckdb

from warehouse import cold
from warehouse.errors import StorageError
from warehouse.model import now
from warehouse.room import Room

if TYPE_CHECKING:
    from warehouse.store import Store
    from warehouse.writer import Writer

log = logging.getLogger(__name__)


class Freezer:
    """Moves days to files. Nothing is sealed, renewed or deleted by age while `work` runs."""

    def __init__(self, store: Store, writer: Writer) -> None:
        self._store = store
        self._writer = writer

    def work(self) -> int:
        """Let every day that is old enough go cold, the oldest first; how many did. Raises StorageError."""
        settings = self._store.settings
        after_days = settings.cold.after_days
        done = 0
        try:
            while after_days is not None and self._one(after_days):
                done += 1
            self._forget(settings.cold.keep_days)
        except duckdb.Error as error:
            raise StorageError(str(error)) from error
        return done

    def _one(self, after_days: int) -> bool:
        data_dir = self._store.settings.data_dir
        space = Room(data_dir, self._store.settings.warehouse.reserve_mb).look()
        if not space.suffices():
            raise StorageError(space.text)
        before = (now() - timedelta(days=after_days)).date()
        with self._store.lend() as lease, lease.busy() as connection:
            connection.begin()
            day = cold.due(connection, before)
            if day is None:
                return False
            written = cold.write(connection, data_dir, day)
        at = now().replace(tzinfo=None)
        settled = self._writer.submit(lambda writing: cold.settle(writing, written, at)).result()
        if settled:
            log.info("%s is cold: %d attempts in %s", day, written.rows, written.file)
        return settled

    def _forget(self, keep_days: int) -> None:
        before = (now() - timedelta(days=keep_days)).date()
        for file in self._writer.submit(lambda writing: cold.forget(writing, before)).result():
            path = self._store.settings.data_dir / file
            path.unlink(missing_ok=True)
            if not any(path.parent.iterdir()):
                path.parent.rmdir()
