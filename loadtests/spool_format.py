"""The bytes of a run's spool: one row of 32 bytes for each request."""

from __future__ import annotations

import struct
from typing import NamedTuple

from warehouse.model import Outcome

FIELDS = (
    ("start_us", "<i8"),
    ("wait_us", "<u4"),
    ("service_us", "<u4"),
    ("bytes", "<u4"),
    ("user", "<u4"),
    ("status", "<u2"),
    ("endpoint", "<u2"),
    ("error", "<u2"),
    ("outcome", "u1"),
    ("part", "u1"),
)
"""Names and numpy formats of a row's fields, in order. Corrected time is `wait_us + service_us`."""

PACKED = struct.Struct("<qIIIIHHHBB")
ROW_BYTES = PACKED.size
START = struct.Struct("q")
"""A row's first field alone, in native order, which is stored at once: the row is there once it is not 0."""

REST = struct.Struct("<IIIIHHHBB")
"""All others, stored before it."""

MAX_U4 = 2**32 - 1

OUTCOMES = tuple(Outcome)
"""A row's outcome is an index in here, its part one in `warehouse.plan.PARTS`."""

OTHER_ERROR = 500
"""The number of the last text of an error; further ones are told under it as `other`."""


class Row(NamedTuple):
    """One request as it was recorded."""

    start_us: int
    wait_us: int
    service_us: int
    bytes: int
    user: int
    status: int
    endpoint: int
    error: int
    outcome: int
    part: int


def rows_file(worker: int) -> str:
    """The name of a worker's file of rows."""
    return f"requests-{worker}.bin"


def events_file(worker: int) -> str:
    """The name of a worker's file of events."""
    return f"events-{worker}.jsonl"


def used(spool: bytes) -> int:
    """How many bytes of it are rows: they end where one has no start yet, or is torn."""
    whole = len(spool) // ROW_BYTES * ROW_BYTES
    starts = memoryview(spool)[:whole].cast("q")[:: ROW_BYTES // 8]
    return next((row for row, start in enumerate(starts) if start == 0), len(starts)) * ROW_BYTES


def unpack(spool: bytes) -> list[Row]:
    """All rows that were written."""
    return [Row(*fields) for fields in PACKED.iter_unpack(spool[: used(spool)])]
