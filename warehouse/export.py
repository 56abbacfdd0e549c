"""Answers as Arrow, JSON, CSV or Parquet, whole or block by block."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Literal, Protocol, overload

import orjson
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet

from warehouse.model import now

Format = Literal["arrow", "json", "csv", "parquet"]

MEDIA_TYPES: Mapping[Format, str] = {
    "arrow": "application/vnd.apache.arrow.stream",
    "json": "application/json",
    "csv": "text/csv; charset=utf-8",
    "parquet": "application/vnd.apache.parquet",
}

_BLANKS = (
    r"[\x00-\x08\x0b\x0c\x0e-\x20\"\x7f-\x{a0}\x{1680}\x{180e}\x{2000}-\x{200f}"
    r"\x{2028}-\x{202f}\x{205f}-\x{206f}\x{3000}\x{feff}]*"
)
_SIGNS = r"[=+\-@\x{ff1d}\x{ff0b}\x{ff0d}\x{ff20}\x{fe62}\x{fe63}\x{fe66}\x{fe6b}]"
FORMULA_IN_SHEETS = rf"(^|[;\t\r\n])({_BLANKS}{_SIGNS})"
"""Where a cell begins that a spreadsheet would run: after blanks too, and after what parts cells elsewhere.

A spreadsheet of another country parts cells at semicolons; then quotes in the middle of a line keep nothing
together, and those at the beginning of such a cell vanish.
"""


class _Writer(Protocol):
    def write_batch(self, batch: pa.RecordBatch) -> None: ...
    def close(self) -> None: ...


def format_of(accept: str) -> Format | None:
    """The format an Accept header asks for first among those we speak; None when it names none."""
    for entry in accept.split(","):
        media = entry.partition(";")[0].strip().lower()
        if media in ("*/*", "application/*", ""):
            return "json"
        for name, known in MEDIA_TYPES.items():
            if media == known.partition(";")[0]:
                return name
        if media == "text/*":
            return "csv"
    return None


def preload() -> None:
    """Write a row in every format, so that the code is in memory before anybody asks for an export."""
    row = pa.RecordBatch.from_pylist([{"at": now(), "text": "=1", "number": 1.0}])
    for form in MEDIA_TYPES:
        for _ in render_blocks(iter([row]), form):
            pass


@overload
def render(question: str, table: pa.Table, form: Literal["arrow"]) -> memoryview: ...


@overload
def render(question: str, table: pa.Table, form: Literal["json", "csv", "parquet"]) -> bytes: ...


@overload
def render(question: str, table: pa.Table, form: Format) -> bytes | memoryview: ...


def render(question: str, table: pa.Table, form: Format) -> bytes | memoryview:
    """A whole answer in one piece."""
    if form == "json":
        return _json(question, table)
    if form == "arrow":
        return _arrow(table)
    schema, batches = table.schema, table.to_batches()
    return b"".join(render_blocks(iter([pa.RecordBatch.from_pylist([], schema=schema), *batches]), form))


def _arrow(table: pa.Table) -> memoryview:
    """The table as an Arrow stream, written once into just as much room as it takes."""
    counting = pa.MockOutputStream()
    _write_arrow(counting, table)
    room = pa.allocate_buffer(counting.size())
    with pa.FixedSizeBufferWriter(room) as sink:
        _write_arrow(sink, table)
    return memoryview(room).cast("B").toreadonly()


def _write_arrow(sink: pa.NativeFile, table: pa.Table) -> None:
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)


def render_blocks(batches: Iterator[pa.RecordBatch], form: Format) -> Iterator[bytes]:
    """Bytes for each block as it comes; the first block gives the schema (and may be empty)."""
    first = next(batches)
    sink = _Outlet()
    writer = _OPEN[form](sink, _safe(first, form).schema)
    yield from sink.drain()
    for batch in batches:
        writer.write_batch(_safe(batch, form))
        yield from sink.drain()
    writer.close()
    yield from sink.drain()


def formula_safe(column: pa.Array) -> pa.Array:
    """Text with an apostrophe before what a spreadsheet would run, and before a leading tab or line end."""
    encoded = column.dictionary_encode()
    disarmed = pc.replace_substring_regex(encoded.dictionary, FORMULA_IN_SHEETS, r"\1'\2")
    safe = pc.replace_substring_regex(disarmed, r"^([\t\r\n])", r"'\1")
    return safe.take(encoded.indices)


def _iso(column: pa.Array) -> pa.Array:
    """Instants as `2026-11-23T12:00:00.123Z`, without strftime, which asks for the zone each time."""
    plain = column.cast(pa.timestamp("ms")).cast(pa.string())
    return pc.binary_join_element_wise(pc.binary_replace_slice(plain, 10, 11, "T"), "Z", "")


def _safe(batch: pa.RecordBatch, form: Format) -> pa.RecordBatch:
    """The batch as this format wants it: names in full; in CSV, no live formulas and instants as ISO 8601."""
    if form == "arrow":
        return batch
    batch = _in_full(batch)
    if form != "csv":
        return batch
    columns = []
    for column in batch.columns:
        if pa.types.is_string(column.type):
            columns.append(formula_safe(column))
        elif pa.types.is_timestamp(column.type):
            columns.append(_iso(column))
        else:
            columns.append(column)
    return pa.RecordBatch.from_arrays(columns, names=batch.schema.names)


def _in_full(batch: pa.RecordBatch) -> pa.RecordBatch:
    """The batch with names in place of numbers for them."""
    columns = [
        column.dictionary_decode() if pa.types.is_dictionary(column.type) else column
        for column in batch.columns
    ]
    return pa.RecordBatch.from_arrays(columns, names=batch.schema.names)


class _Outlet(io.RawIOBase):
    """A sink that is emptied between writes and still knows how far the file has come."""

    def __init__(self) -> None:
        super().__init__()
        self._parts: list[bytes] = []
        self._position = 0

    def writable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def write(self, data: Any) -> int:
        part = bytes(data)
        self._parts.append(part)
        self._position += len(part)
        return len(part)

    def drain(self) -> Iterator[bytes]:
        """What was written since the last time."""
        if self._parts:
            yield b"".join(self._parts)
            self._parts.clear()


class _JsonLines:
    """JSON of unknown length: one object per line."""

    def __init__(self, sink: _Outlet, _: pa.Schema) -> None:
        self._sink = sink

    def write_batch(self, batch: pa.RecordBatch) -> None:
        for row in batch.to_pylist():
            self._sink.write(orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE | orjson.OPT_UTC_Z))

    def close(self) -> None:
        """Nothing to finish."""


def _parquet(sink: _Outlet, schema: pa.Schema) -> Any:
    return pyarrow.parquet.ParquetWriter(sink, schema, compression="zstd")


_OPEN: Mapping[Format, Callable[[_Outlet, pa.Schema], _Writer]] = {
    "arrow": pa.ipc.new_stream,
    "json": _JsonLines,
    "csv": pyarrow.csv.CSVWriter,
    "parquet": _parquet,
}


def _json(question: str, table: pa.Table) -> bytes:
    answer = {"question": question, "columns": table.column_names, "rows": table.to_pylist()}
    return orjson.dumps(answer, option=orjson.OPT_UTC_Z)
