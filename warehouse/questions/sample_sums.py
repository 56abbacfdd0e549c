"""What samples come to, bucket by bucket or in a whole window: joined from cells and single samples. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from warehouse.cells import DAY
from warehouse.questions import joining, rows, sources, stages
from warehouse.questions.asking import Piece, Staged, Tables, Trend, Window, stored
from warehouse.questions.joining import LEFT_OUT, RAW, TAGS, Reading
from warehouse.questions.sources import Source
from warehouse.sample_cells import OF_CELLS, OF_SAMPLES, TABLES
from warehouse.tiers import SAMPLE

KEPT_SERIES = "SELECT series_id FROM series WHERE "


def summed(asked: Window, values: Mapping[str, Any], *, which: str, told: str, order: str) -> Staged:
    """A question about the samples of the series that the condition `which` chooses.

    `told` selects from `summed`: a row for each bucket (`bucket_at`, `bucket_s`; a window is one) and
    `series_id` with n, failures, sum, min, max, last_at, last_value and last_outcome. `tags` is added to the
    answer's end, as the words of `tier`. `values` are bound. Where the samples of so narrow buckets are
    deleted, the buckets are wider.
    """
    return Staged(
        first=stages.tier_pieces(asked, SAMPLE),
        then=lambda tables: [_piece(asked, tables, values, which, f"{told} ORDER BY {order}")],
        join=_with_tier,
    )


def _reading(asked: Window, tables: Tables) -> Reading:
    held = stages.held(tables, SAMPLE)
    start, end = stored(asked.start), stored(asked.end)
    if not isinstance(asked, Trend):
        return joining.plan([(start, end)], DAY, held, merged=True, small=False)
    width_s = joining.usable_width(asked.bucket_s, start, held, merged=True)
    return joining.plan(joining.buckets_of(start, end, width_s), width_s, held, merged=True, small=False)


def _piece(asked: Window, tables: Tables, values: Mapping[str, Any], which: str, told: str) -> Piece:
    reading = _reading(asked, tables)
    read = sources.sources_of(reading, stages.held(tables, SAMPLE))
    start = stored(asked.start)
    found = [*read.parts, *read.raw, *read.binned] or [Source(RAW, start, start)]
    width_ms = reading.width_s * 1000 if isinstance(asked, Trend) else 0
    bucket = f"epoch_ms(ts) // {width_ms} * {width_ms}" if width_ms else f"epoch_ms({sources.literal(start)})"
    left_out = [int(joining.hour_of(at, 1)) * 1000 for at, _ in reading.left_out]
    if width_ms:
        left_out = [at // width_ms * width_ms for at in left_out]
    mark = f"CASE WHEN list_contains({left_out}::BIGINT[], bucket) THEN {LEFT_OUT} ELSE 0 END"
    if left_out and not width_ms:
        mark = str(LEFT_OUT)
    parts = "\nUNION ALL BY NAME ".join(_part(each, bucket, which) for each in found)
    sql = f"""
        WITH parts AS ({parts}),
        summed AS (
            SELECT make_timestamp_ms(bucket) AS bucket_at, {reading.width_s}::BIGINT AS bucket_s, series_id,
                {OF_CELLS}, bit_or(tags) | {mark} AS tags
            FROM parts GROUP BY bucket, series_id
        )
        {told}
    """
    return Piece("told", sql, values)


def _part(source: Source, bucket: str, which: str) -> str:
    """Its cells as they are, or its samples summed."""
    series = f"series_id IN ({KEPT_SERIES}{which})"
    rows_sql = source.sql("*", series, table={RAW: SAMPLE, **TABLES}[source.width_s])
    columns = "* EXCLUDE (ts, series_id)" if source.width_s != RAW else OF_SAMPLES
    ending = " GROUP BY 1, 2" if source.width_s == RAW else ""
    return (
        f"SELECT {bucket} AS bucket, series_id, {columns}, {TAGS[source.width_s]} AS tags "
        f"FROM ({rows_sql}){ending}"
    )


def _with_tier(tables: Tables) -> pa.Table:
    told = tables["told"]
    tags = told["tags"].to_numpy().astype("int64")
    return told.drop_columns(["tags"]).append_column("tier", rows.of_few(tags, joining.tier_text))
