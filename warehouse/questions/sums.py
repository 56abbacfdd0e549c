"""What samples, or statistics of queries, come to over time or in a window: from cells and raw rows. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from warehouse.cells import DAY
from warehouse.questions import joining, sources, stages
from warehouse.questions.asking import Piece, Staged, Tables, Trend, Window, stored
from warehouse.questions.joining import LEFT_OUT, RAW, TAGS, Holdings, Interval, Reading
from warehouse.questions.sources import Source
from warehouse.sum_cells import QUERIES, SAMPLES, Summed

KEYS = {
    SAMPLES: "SELECT series_id FROM series WHERE ",
    QUERIES: "SELECT shape_id FROM query_shape WHERE ",
}


TIERS = str([joining.tier_text(tags) for tags in range(2 * LEFT_OUT)])
"""SQL for a list of the words of all tags."""


def summed(
    asked: Window,
    kind: Summed,
    values: Mapping[str, Any],
    *,
    which: str,
    told: str,
    order: str,
) -> Staged:
    """A question about the rows of a kind whose series or shapes the condition `which` chooses.

    `told` selects from `summed`, which has a row for each bucket (`bucket_at`, `bucket_s`; a window is one)
    and key, with the columns of its cells. What it selects as `tags` (their bits joined by `bit_or`) ends the
    answer as `tier`. `order` sorts its columns. `values` are bound. Where the rows of so narrow buckets are
    deleted, buckets are wider.
    """
    return Staged(
        first=stages.tier_pieces(asked, kind.name),
        then=lambda tables: [
            Piece(
                "told",
                f"SELECT * EXCLUDE (tags), ({TIERS})[tags + 1] AS tier FROM ("
                f"WITH summed AS ({_summed(asked, kind, tables, which)}) {told}) ORDER BY {order}",
                values,
            )
        ],
        join=lambda tables: tables["told"],
        streams=True,
    )


def reading_of(asked: Window, held: Holdings, *, exact: bool = False) -> Reading:
    """How to read the buckets, or the window; `exact`: raw rows wherever they are kept."""
    start, end = stored(asked.start), stored(asked.end)
    width_s, buckets = DAY, [(start, end)]
    if isinstance(asked, Trend):
        width_s = joining.usable_width(asked.bucket_s, start, held, merged=True)
        buckets = [*joining.buckets_of(start, end, width_s)]
    if exact and held.raw_from is not None:
        buckets = [part for bucket in buckets for part in _parted(bucket, held.raw_from)]
    return joining.plan(buckets, width_s, held, merged=True, small=exact)


def _parted(bucket: Interval, at: datetime) -> list[Interval]:
    start, end = bucket
    return [(start, at), (at, end)] if start < at < end else [bucket]


def found_in(reading: Reading, held: Holdings, start: datetime) -> list[Source]:
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
