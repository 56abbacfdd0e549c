"""Pieces of a load test's spool become rows: each piece whole, and once."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from operator import attrgetter
from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import BaseModel, Field, TypeAdapter, ValidationError

from warehouse import run_tiers
from warehouse.acks import Ack
from warehouse.errors import InvalidInputError
from warehouse.model import MAX_FUTURE, MAX_PAST, Count, Outcome, now
from warehouse.plan import PARTS
from warehouse.run_model import InstantUs, LastPiece, SpoolState
from warehouse.runs import find
from warehouse.transaction import transaction

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

ROW = np.dtype(
    [
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
    ]
)
"""One request as the load generator writes it: 32 bytes, little-endian."""

OUTCOMES = [outcome.value for outcome in Outcome]
PLAIN = ("wait_us", "service_us", "bytes", "user", "status", "endpoint", "error", "part")
BATCH_ID = re.compile(r"(r[0-9]{14}-[0-9a-f]{6}):[A-Za-z0-9_.-]{1,60}:[0-9]{1,15}")
LONGEST_TEXT = 2000

Number = Annotated[int, Field(ge=0, le=65535)]


@dataclass(frozen=True)
class Piece:
    """A piece of one worker's spool, by where it stands there."""

    batch_id: str
    run_id: str
    worker: int

    def ack(self, rows: int, first_us: int, last_us: int) -> Ack:
        """What is remembered of it outside the database's log."""
        return Ack(self.batch_id, f"run {self.run_id}", rows, first_us // 1000, last_us // 1000)


def piece(run_id: str, batch_id: str, worker: int) -> Piece:
    """A piece of this run. Raises InvalidInputError for an id that names another run or no place."""
    named = BATCH_ID.fullmatch(batch_id)
    if named is None or named[1] != run_id:
        raise InvalidInputError(f"expected {run_id}:FILE:OFFSET", field="X-Batch-Id")
    return Piece(batch_id, run_id, worker)


def read_requests(body: bytes, at: datetime) -> pa.Table:
    """The rows of a spool's bytes. Raises InvalidInputError naming row and column."""
    if not body or len(body) % ROW.itemsize:
        raise InvalidInputError(
            f"expected rows of {ROW.itemsize} bytes, given {len(body)} bytes", field="body"
        )
    rows = np.frombuffer(body, ROW)
    early, late = _span_us(at)
    _refuse(rows, "start_us", (rows["start_us"] < early) | (rows["start_us"] > late), "an instant of late")
    _refuse(rows, "outcome", rows["outcome"] >= len(OUTCOMES), f"less than {len(OUTCOMES)}")
    _refuse(rows, "part", rows["part"] >= len(PARTS), f"less than {len(PARTS)}")
    columns = {name: pa.array(np.ascontiguousarray(rows[name])) for name in PLAIN}
    columns["ts"] = pa.array(np.ascontiguousarray(rows["start_us"])).cast(pa.timestamp("us"))
    numbers = pa.array(np.ascontiguousarray(rows["outcome"]).astype(np.int8))
    columns["outcome"] = pa.DictionaryArray.from_arrays(numbers, pa.array(OUTCOMES))
    return pa.table(columns)


def _span_us(at: datetime) -> tuple[int, int]:
    """Between which instants (µs) something can have been measured."""
    return (int((at - MAX_PAST).timestamp() * 1e6), int((at + MAX_FUTURE).timestamp() * 1e6))


def _refuse(rows: np.ndarray, name: str, wrong: np.ndarray, expected: str) -> None:
    if wrong.any():
        row = int(wrong.argmax())
        raise InvalidInputError(f"expected {expected}, given {rows[name][row]}", field=f"rows.{row}.{name}")


def requests_ack(piece: Piece, table: pa.Table) -> Ack:
    """What is remembered of a piece's requests."""
    span = pc.min_max(table["ts"].cast(pa.int64())).as_py()
    return piece.ack(table.num_rows, span["min"], span["max"])


def events_ack(piece: Piece, lines: list[Line]) -> Ack:
    """What is remembered of a piece's events."""
    instants = [line.at_us for line in lines if isinstance(line, BeatLine | LifeLine)]
    return piece.ack(len(lines), min(instants, default=0), max(instants, default=0))


def store_requests(connection: DuckDBPyConnection, piece: Piece, table: pa.Table) -> bool:
    """Store a piece's requests; False when it was there already. Raises RefusedError without the run."""
    with transaction(connection):
        run_no = find(connection, piece.run_id, "run_no")["run_no"]
        if not _is_new(connection, piece, table.num_rows):
            return False
        connection.register("incoming_requests", table)
        connection.execute(
            """
            INSERT INTO load_request
            SELECT $run_no, $worker, ts, wait_us, service_us, bytes, "user", status, endpoint, error,
                outcome, part
            FROM incoming_requests
            """,
            {"run_no": run_no, "worker": piece.worker},
        )
        connection.unregister("incoming_requests")
        run_tiers.note_late(connection, run_no)
        return True


class ErrorLine(BaseModel):
    """The text that a number in the requests' `error` stands for."""

    kind: Literal["error"]
    error: Number
    endpoint: Number = 65535
    text: str


class BeatLine(BaseModel):
    """How a load-generating process does, once a second."""

    kind: Literal["beat"]
    at_us: InstantUs
    users: Annotated[int, Field(ge=0, lt=2**31)]
    cpu_ratio: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None
    dropped: Count = 0
    backlog: Count = 0
    memory_bytes: Count | None = None


class LifeLine(BaseModel):
    """A step in a load-generating process's life."""

    kind: Literal["life"]
    at_us: InstantUs
    state: str


class CrashLine(BaseModel):
    """What ended a load-generating process."""

    kind: Literal["crash"]
    text: str


Line = ErrorLine | BeatLine | LifeLine | CrashLine
LINE: TypeAdapter[Line] = TypeAdapter(Annotated[Line, Field(discriminator="kind")])


def read_events(body: bytes, at: datetime) -> tuple[list[Line], int]:
    """The lines of a spool's events, and how many say nothing: a kill cuts a line short."""
    early, late = _span_us(at)
    lines, skipped = [], 0
    for text in body.splitlines():
        try:
            line = LINE.validate_json(text)
        except ValidationError:
            skipped += 1
            continue
        if isinstance(line, BeatLine | LifeLine) and not early <= line.at_us <= late:
            skipped += 1
        else:
            lines.append(line)
    return lines, skipped


def store_events(connection: DuckDBPyConnection, piece: Piece, lines: list[Line]) -> bool:
    """Store a piece's events; False when it was there already. Raises RefusedError without the run."""
    with transaction(connection):
        run_no = find(connection, piece.run_id, "run_no")["run_no"]
        if not _is_new(connection, piece, len(lines)):
            return False
        _insert_events(connection, run_no, piece.worker, lines)
        return True


def _insert_events(connection: DuckDBPyConnection, run_no: int, worker: int, lines: list[Line]) -> None:
    numbers = attrgetter("users", "cpu_ratio", "dropped", "backlog", "memory_bytes")
    beats = [
        (run_no, worker, _instant(line.at_us), *numbers(line)) for line in lines if isinstance(line, BeatLine)
    ]
    errors = [
        (run_no, worker, line.error, line.endpoint, line.text[:LONGEST_TEXT])
        for line in lines
        if isinstance(line, ErrorLine)
    ]
    if beats:
        connection.executemany("INSERT INTO load_beat VALUES (?, ?, ?, ?, ?, ?, ?, ?)", beats)
    if errors:
        connection.executemany("INSERT INTO load_error VALUES (?, ?, ?, ?, ?)", errors)
    for line in lines:
        if isinstance(line, LifeLine):
            _note_life(connection, run_no, line.state, _instant(line.at_us))
        elif isinstance(line, CrashLine):
            connection.execute(
                "UPDATE run SET reason = ? WHERE run_no = ? AND reason = ''",
                [line.text[:LONGEST_TEXT], run_no],
            )


LIFE = {
    "started": "UPDATE run SET started_at = least(coalesce(load_at, $at), $at), "
    "load_at = least(coalesce(load_at, $at), $at) WHERE run_no = $run_no",
    "stopping": "UPDATE run SET ended_at = greatest(coalesce(load_ended_at, $at), $at), "
    "load_ended_at = greatest(coalesce(load_ended_at, $at), $at) WHERE run_no = $run_no",
}
"""The load begins with the first process that does and ends with the last; until then the launcher's word
for it stands, which includes its own start and end.
"""


def _note_life(connection: DuckDBPyConnection, run_no: int, state: str, at: datetime) -> None:
    if state in LIFE:
        own = " AND $at >= requested_at - INTERVAL 1 HOUR"  # clocks differ; a damaged line by far more
        connection.execute(LIFE[state] + own, {"at": at, "run_no": run_no})


def _is_new(connection: DuckDBPyConnection, piece: Piece, rows: int) -> bool:
    """Whether this piece is not stored yet; if so its id is, with the rows that follow."""
    known = connection.execute("SELECT 1 FROM batch WHERE batch_id = ?", [piece.batch_id]).fetchall()
    if known:
        return False
    connection.execute(
        "INSERT INTO batch (batch_id, source, received_at, attempts, samples, gaps, events, load_rows) "
        "VALUES (?, ?, ?, 0, 0, 0, 0, ?)",
        [piece.batch_id, f"run {piece.run_id}", now().replace(tzinfo=None), rows],
    )
    return True


def last_pieces(connection: DuckDBPyConnection, run_id: str) -> SpoolState:
    """The last piece that is stored of each file of a spool. Raises RefusedError without the run."""
    find(connection, run_id, "run_no")
    stored = connection.execute(
        """
        SELECT parts[2] AS file, max_by((parts[3]::BIGINT, load_rows), parts[3]::BIGINT)
        FROM (SELECT string_split(batch_id, ':') AS parts, load_rows FROM batch WHERE source = ?)
        GROUP BY file
        """,
        [f"run {run_id}"],
    ).fetchall()
    return SpoolState(files={file: LastPiece(offset=last[0], rows=last[1]) for file, last in stored})


def _instant(us: int) -> datetime:
    return datetime(1970, 1, 1) + timedelta(microseconds=us)  # noqa: DTZ001 - UTC, as it is stored
