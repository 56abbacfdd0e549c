"""Connections that are lent out and can be called back, so that the file can be closed at any time."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import duckdb

from warehouse.errors import StorageError

if TYPE_CHECKING:
    import pyarrow as pa
    from duckdb import DuckDBPyConnection

PATIENCE_S = 1.0
"""How long a running statement may go on when its connection is called back."""

INTERRUPT_EVERY_S = 0.02
LONGEST_S = 30.0
"""After how long a statement that obeys no interrupt is given up."""


class CalledBackError(StorageError):
    """The connection was closed because the file is opened again: asking again helps."""

    title = "The warehouse opened its file again"


class Lease:
    """A connection of one's own for a while.

    DuckDB keeps a file open, invalidated or not, while any connection or unread result of it lives.
    So work on the connection happens within `busy`, and a result that is read bit by bit is kept here.
    """

    def __init__(self, connection: DuckDBPyConnection) -> None:
        self._connection: DuckDBPyConnection | None = connection
        self._lock = threading.Lock()
        self.blocks: pa.RecordBatchReader | None = None

    @property
    def is_open(self) -> bool:
        """Whether the file it was lent from is open still."""
        return self._connection is not None

    @contextmanager
    def busy(self) -> Iterator[DuckDBPyConnection]:
        """The connection, which nobody closes meanwhile. Raises CalledBackError."""
        with self._lock:
            if self._connection is None:
                raise CalledBackError("the warehouse opened its file again meanwhile", "Ask again.")
            yield self._connection

    def interrupt(self) -> None:
        """End what runs now; lost when nothing does."""
        connection = self._connection
        if connection is not None:
            with suppress(duckdb.ConnectionException):  # closed in this very moment
                connection.interrupt()

    def end(self, patience_s: float = 0.0) -> None:
        """Close it; what still runs after `patience_s` is interrupted. Raises StorageError at its bound."""
        began = time.monotonic()
        while not self._lock.acquire(timeout=INTERRUPT_EVERY_S):
            waited_s = time.monotonic() - began
            if waited_s > LONGEST_S:
                raise StorageError("a statement obeys no interrupt", "Start the warehouse again.")
            if waited_s >= patience_s:
                self.interrupt()
        try:
            if self.blocks is not None:
                self.blocks.close()
                self.blocks = None
            if self._connection is not None:
                self._connection.close()
                self._connection = None
        finally:
            self._lock.release()
