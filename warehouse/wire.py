"""A batch as bytes and as Arrow tables: Arrow streams or JSON, either way."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import ValidationError

from warehouse.errors import InvalidInputError
from warehouse.model import Batch

ARROW = "application/vnd.apache.arrow.stream"
TABLE_KEY = b"table"

_INSTANT = pa.timestamp("ms", "UTC")
_MICROS = pa.uint32()
_NAME = pa.string()
_TEXT = (pa.string(), pa.large_string(), pa.string_view())

_COUNT = pa.int64()
_AMOUNT = pa.float64()


def _columns(required: Mapping[str, pa.DataType], optional: Mapping[str, pa.DataType]) -> pa.Schema:
    return pa.schema(
        [pa.field("at", _INSTANT, nullable=False)]
        + [pa.field(name, kind, nullable=False) for name, kind in required.items()]
        + [pa.field(name, kind) for name, kind in optional.items()]
    )


SCHEMAS: Mapping[str, pa.Schema] = {
    "attempts": _columns(
        {"target": _NAME, "endpoint": _NAME, "outcome": _NAME, "deadline_us": _MICROS},
        {
            "status": pa.uint16(),
            **dict.fromkeys(("dns_us", "connect_us", "tls_us", "first_byte_us", "total_us"), _MICROS),
            "bytes": _COUNT,
            "loop_lag_us": _MICROS,
        },
    ),
    "samples": _columns(
        dict.fromkeys(("kind", "target", "object", "metric", "unit", "outcome"), _NAME),
        {"value": _AMOUNT, "direction": _NAME},
    ),
    "gaps": _columns({"until": _INSTANT, "job": _NAME, "reason": _NAME, "missed": pa.int32()}, {}),
    "events": _columns({"job": _NAME, "state": _NAME, "text": _NAME}, {}),
    "query_shapes": _columns(dict.fromkeys(("target", "database", "shape", "category", "query"), _NAME), {}),
    "query_stats": _columns(
        {
            "since": _INSTANT,
            **dict.fromkeys(("target", "database", "shape"), _NAME),
            "calls": _COUNT,
            "total_us": _AMOUNT,
            "is_partial": pa.bool_(),
        },
        {
            **dict.fromkeys(("squares_us2", "min_us", "max_us", "ceiling_us", "io_us"), _AMOUNT),
            **dict.fromkeys(
                ("rows", "blocks_hit", "blocks_read", "blocks_dirtied", "blocks_written"), _COUNT
            ),
            **dict.fromkeys(("temp_blocks", "wal_bytes", "errors", "unindexed"), _COUNT),
        },
    ),
    "query_latencies": _columns(
        {
            "since": _INSTANT,
            **dict.fromkeys(("target", "database", "method"), _NAME),
            "low_us": _AMOUNT,
            "calls": _COUNT,
        },
        {"high_us": _AMOUNT},
    ),
    "lock_waits": _columns(
        {
            **dict.fromkeys(("target", "database", "waiter_user", "waiter_application"), _NAME),
            **dict.fromkeys(("lock", "mode", "relation"), _NAME),
            **dict.fromkeys(("blocker_user", "blocker_application", "blocker_state"), _NAME),
            **dict.fromkeys(("waiter_pid", "blocker_pid"), _COUNT),
        },
        {
            **dict.fromkeys(("waiter_shape", "blocker_shape"), _NAME),
            **dict.fromkeys(("waited_us", "blocker_transaction_us"), _COUNT),
        },
    ),
    "database_states": _columns(dict.fromkeys(("target", "engine", "part", "state", "text"), _NAME), {}),
    "versions": _columns(dict.fromkeys(("target", "version"), _NAME), {}),
}
"""The columns of each kind of row, in order."""

_BATCH_ID = re.compile(r"[A-Za-z0-9_.:-]{8,100}")


def pack(batch: Batch) -> bytes:
    """A batch as the body of an ingest request: one Arrow stream per kind of row."""
    sink = io.BytesIO()
    for kind, table in _tables(batch).items():
        if table.num_rows:
            schema = table.schema.with_metadata({TABLE_KEY: kind.encode()})
            with pa.ipc.new_stream(sink, schema) as writer:
                writer.write_table(table.cast(schema))
    return sink.getvalue()


def unpack_arrow(batch_id: str, body: bytes) -> tuple[str, dict[str, pa.Table]]:
    """Read what `pack` wrote. Raises InvalidInputError naming table or column."""
    if not _BATCH_ID.fullmatch(batch_id):
        raise InvalidInputError(
            "expected 8 to 100 letters, digits or . _ : -, given something else", field="X-Batch-Id"
        )
    tables: dict[str, pa.Table] = {}
    stream = pa.BufferReader(body)
    while stream.tell() < len(body):
        try:
            kind, table = _read_table(stream)
        except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
            raise InvalidInputError(f"not an Arrow stream: {error}", field="body") from None
        if kind in tables:
            raise InvalidInputError("expected each kind of row once", field=kind)
        tables[kind] = table
    return batch_id, tables


def unpack_json(body: bytes) -> tuple[str, str | None, dict[str, pa.Table]]:
    """Read a JSON batch. Raises InvalidInputError naming the field."""
    try:
        batch = Batch.model_validate_json(body)
    except ValidationError as error:
        fault = error.errors(include_url=False, include_context=False, include_input=False)[0]
        field = ".".join(str(part) for part in fault["loc"]) or "body"
        raise InvalidInputError(in_words(fault), field=field) from None
    return batch.batch_id, batch.source, _tables(batch)


def in_words(fault: Mapping[str, Any]) -> str:
    """What a validator objects to, said to whoever sent it."""
    known = {"extra_forbidden": "no such field", "missing": "expected a value, given nothing"}
    return known.get(fault["type"]) or str(fault["msg"]).removeprefix("Value error, ")


def _tables(batch: Batch) -> dict[str, pa.Table]:
    tables = {}
    for kind, schema in SCHEMAS.items():
        records = getattr(batch, kind)
        columns = [[getattr(record, field.name) for record in records] for field in schema]
        arrays = [
            pa.array(_plain(column), type=field.type) for column, field in zip(columns, schema, strict=True)
        ]
        tables[kind] = pa.Table.from_arrays(arrays, schema=schema)
    return tables


def _plain(column: list[Any]) -> list[Any]:
    """Milliseconds for instants (whatever their zone), the rest as it is."""
    if column and isinstance(column[0], datetime):
        return [int(value.timestamp() * 1000 // 1) for value in column]
    return column


def _read_table(stream: pa.BufferReader) -> tuple[str, pa.Table]:
    """The next table of the body. A damaged one may crash whoever touches it before it is validated."""
    table = pa.ipc.open_stream(stream).read_all()
    table.validate(full=True)
    kind = (table.schema.metadata or {}).get(TABLE_KEY, b"").decode()
    if kind not in SCHEMAS:
        raise InvalidInputError(f"expected one of {', '.join(SCHEMAS)}, given {kind!r}", field="table")
    return kind, _shape(kind, table)


def _shape(kind: str, table: pa.Table) -> pa.Table:
    """The table with exactly its schema's columns and types."""
    schema = SCHEMAS[kind]
    unknown = [name for name in table.column_names if name not in schema.names]
    if unknown:
        raise InvalidInputError("unknown field", field=f"{kind}.{unknown[0]}")
    if len(set(table.column_names)) != len(table.column_names):
        raise InvalidInputError("expected each column once", field=kind)
    columns = []
    for field in schema:
        if field.name not in table.column_names:
            if not field.nullable:
                raise InvalidInputError("expected a value, given nothing", field=f"{kind}.{field.name}")
            columns.append(pa.nulls(table.num_rows, field.type))
            continue
        columns.append(_convert(kind, field, table[field.name]))
    return pa.Table.from_arrays(columns, schema=schema)


def _convert(kind: str, field: pa.Field, column: pa.ChunkedArray) -> pa.ChunkedArray:
    given = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
    same_family = (
        (pa.types.is_timestamp(field.type) and pa.types.is_timestamp(given) and given.tz is not None)
        or (pa.types.is_integer(field.type) and pa.types.is_integer(given))
        or (pa.types.is_floating(field.type) and (pa.types.is_floating(given) or pa.types.is_integer(given)))
        or (pa.types.is_string(field.type) and given in _TEXT)
        or (pa.types.is_boolean(field.type) and pa.types.is_boolean(given))
        or pa.types.is_null(given)
    )
    name = f"{kind}.{field.name}"
    if not same_family:
        raise InvalidInputError(f"expected {field.type}, given {column.type}", field=name)
    try:
        converted = pc.cast(column, field.type, safe=not pa.types.is_timestamp(field.type))
    except pa.ArrowInvalid as error:
        raise InvalidInputError(f"does not fit {field.type}: {error}", field=name) from None
    if not field.nullable and converted.null_count:
        raise InvalidInputError("expected a value, given nothing", field=name)
    return converted
