"""What samples, or statistics of queries, come to over time or in a window: from cells and raw rows. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from warehouse.cells import DAY
from warehouse.questions import joining, rows, sources, stages
from warehouse.questions.asking import Piece, Staged, Tables, Trend, Window, stored
from warehouse.questions.joining import LEFT_OUT, RAW, TAGS, Holdings, Reading
from warehouse.questions.sources import Source
from warehouse.sum_cells import QUERIES, SAMPLES, Summed

KEYS = {
    SAMPLES: "SELECT series_id FROM series WHERE ",
    QUERIES: "SELECT shape_id FROM query_shape WHERE ",
}


def summed(
    asked: Window,
    kind: Summed,
    values: Mapping[str, Any],
    *,
    which: str,
    told: str,
    order: str = "",
) -> Staged:
    """A question about the rows of a kind whose series or shapes the condition `which` chooses.

    `told` selects from `summed`, which has a row for each bucket (`bucket_at`, `bucket_s`; a window is one)
    and key, with the columns of its cells. What it selects as `tags` (their bits joined by `bit_or`) ends the
    answer as `tier`. `values` are bound. Where the rows of so narrow buckets are deleted, buckets are wider.
    """
    return Staged(
        first=stages.tier_pieces(asked, kind.name),
        then=lambda tables: [
            Piece(
                "told",
                f"WITH summed AS ({_summed(asked, kind, tables, which)}) {told}"
                + (f" ORDER BY {order}" if order else ""),
                values,
            )
        ],
        join=_with_tier,
    )


def reading_of(asked: Window, held: Holdings, *, exact: bool = False) -> Reading:
    """How to read the buckets, or the window; `exact`: raw rows wherever they are kept."""
    start, end = stored(asked.start), stored(asked.end)
    if not isinstance(asked, Trend):
        return joining.plan([(start, end)], DAY, held, merged=True, small=exact)
    width_s = joining.usable_width(asked.bucket_s, start, held, merged=True)
    return joining.plan(joining.buckets_of(start, end, width_s), width_s, held, merged=True, small=exact)


def found_in(reading: Reading, held: Holdings, start: Any) -> list[Source]:
    """All that is read; where nothing can be, an empty interval of raw rows."""
    read = sources.sources_of(reading, held)
    return [*read.parts, *read.raw, *read.binned] or [Source(RAW, start, start)]


def rows_of(source: Source, kind: Summed, which: str) -> str:
    """SQL of the rows or cells of a source."""
    table = kind.name if source.width_s == RAW else kind.table(source.width_s)
    return source.sql("*", f"{kind.key} IN ({KEYS[kind]}{which})", table=table, key=kind.key)


def _summed(asked: Window, kind: Summed, tables: Tables, which: str) -> str:
    held = stages.held(tables, kind.name)
    reading = reading_of(asked, held)
    start = stored(asked.start)
    width_ms = reading.width_s * 1000 if isinstance(asked, Trend) else 0
    bucket = f"epoch_ms(ts) // {width_ms} * {width_ms}" if width_ms else f"epoch_ms({sources.literal(start)})"
    parts = "\nUNION ALL BY NAME ".join(
        _part(each, kind, bucket, which) for each in found_in(reading, held, start)
    )
    return f"""
        SELECT make_timestamp_ms(bucket) AS bucket_at, {reading.width_s}::BIGINT AS bucket_s, {kind.key},
            {kind.of_cells}, bit_or(tags) | {_left_out(reading, width_ms)} AS tags
        FROM ({parts}) GROUP BY bucket, {kind.key}
    """


def _part(source: Source, kind: Summed, bucket: str, which: str) -> str:
    """Its cells as they are, or its rows summed."""
    is_raw = source.width_s == RAW
    columns = kind.of_rows if is_raw else f"* EXCLUDE (ts, {kind.key})"
    return (
        f"SELECT {bucket} AS bucket, {kind.key}, {columns}, {TAGS[source.width_s]} AS tags "
        f"FROM ({rows_of(source, kind, which)}){' GROUP BY 1, 2' if is_raw else ''}"
    )


def _left_out(reading: Reading, width_ms: int) -> str:
    """SQL of the bit of buckets of which a part could not be read."""
    if not reading.left_out:
        return "0"
    if not width_ms:
        return str(LEFT_OUT)
    buckets = [int(joining.hour_of(at, width_ms // 1000)) * width_ms for at, _ in reading.left_out]
    return f"CASE WHEN list_contains({buckets}::BIGINT[], bucket) THEN {LEFT_OUT} ELSE 0 END"


def _with_tier(tables: Tables) -> pa.Table:
    told = tables["told"]
    tags = told["tags"].to_numpy().astype("int64")
    return told.drop_columns(["tags"]).append_column("tier", rows.of_few(tags, joining.tier_text))
