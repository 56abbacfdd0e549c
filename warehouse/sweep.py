"""Has DuckDB let go of what it still remembers of buffers that are gone.

Its buffer pool notes each buffer that may be evicted in one of eight queues, and looks through a queue only
when memory runs out or once the queue is longer than 32,768: until then every buffer of every small question
leaves some 230 bytes behind, outside `memory_limit` (`duckdb_eviction_queues()` counts them, no tag of
`duckdb_memory()` does). A memory limit that cannot be met makes it look through all of them at once, and is
refused without ever having held.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

import duckdb

from warehouse import allocator

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

log = logging.getLogger(__name__)

MOST_REMEMBERED = 40_000
"""Entries, about 9 MB: that many are there before they are swept."""

MOST_SPILLED_MB = 64
"""More than this in temporary buffers is not swept now: they would be written to the disk."""

LOOK_EVERY_S = 5.0
REST_S = 60.0
"""After a sweep: the blocks it dropped from memory were of use to questions."""

LIMIT_MB = 4
"""Less than the answer that is held meanwhile, so that it cannot be met; enough for `SET` to take it back."""

HELD = "SELECT list(i) FROM range(500000) AS numbers (i)"
"""An answer of 8 MB, which cannot be spilled."""


class Sweeper:
    """Sweeps when enough has gathered and little is in use. For the writer's thread alone."""

    def __init__(self, memory_limit_mb: int) -> None:
        self._memory_limit_mb = memory_limit_mb
        self._next = 0.0

    def look(self, connection: DuckDBPyConnection) -> bool:
        """Called often; whether it swept. A database that fails is left to the next statement to find."""
        if time.monotonic() < self._next:
            return False
        self._next = time.monotonic() + LOOK_EVERY_S
        try:
            if (
                remembered(connection) < MOST_REMEMBERED
                or temporary_bytes(connection) > MOST_SPILLED_MB * 1e6
            ):
                return False
            sweep(connection, self._memory_limit_mb)
        except duckdb.Error as error:
            log.warning("sweeping the buffers: %s", error)
            return False
        allocator.give_back()
        self._next = time.monotonic() + REST_S
        return True


def remembered(connection: DuckDBPyConnection) -> int:
    """Entries in all queues, of buffers that are gone and that are there."""
    rows = connection.execute("SELECT sum(approximate_size)::BIGINT FROM duckdb_eviction_queues()").fetchall()
    return int(rows[0][0])


def temporary_bytes(connection: DuckDBPyConnection) -> int:
    """Memory of what the file does not hold: running questions, and rows of the write-ahead log."""
    rows = connection.execute(
        "SELECT coalesce(sum(memory_usage_bytes), 0)::BIGINT FROM duckdb_memory() "
        "WHERE tag NOT IN ('BASE_TABLE', 'METADATA')"
    ).fetchall()
    return int(rows[0][0])


def sweep(connection: DuckDBPyConnection, memory_limit_mb: int) -> None:
    """Empty the queues, and memory of every block that nobody uses. Questions that run go on."""
    holding = connection.cursor()
    try:
        holding.execute(HELD)
        connection.execute(f"SET memory_limit = '{LIMIT_MB}MB'")
        connection.execute(f"SET memory_limit = '{memory_limit_mb}MB'")
    except duckdb.OutOfMemoryException:
        log.debug("swept")
    finally:
        holding.close()
