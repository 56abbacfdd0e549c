"""Questions about percentiles of probed latency, over time and of a window, joined from all tiers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field

from warehouse.cells import DAY, RANK
from warehouse.histogram import SQL_BUCKET
from warehouse.questions import joining, rows, sealed, sources, stages, within
from warehouse.questions.asking import Piece, Staged, Tables, Trend, stored
from warehouse.questions.joining import Reading
from warehouse.questions.sources import Source
from warehouse.questions.stages import Endpoints, EndpointTrend

MAX_TREND_BUCKETS = 1000


class EndpointSummary(Endpoints):
    """`merged` pools the attempts of all chosen endpoints before any percentile is taken."""

    merged: bool = False


class PercentileTrend(EndpointTrend):
    """`merged` pools the attempts of all chosen endpoints before any percentile is taken."""

    buckets: Annotated[int, Field(ge=1, le=MAX_TREND_BUCKETS)] = 300
    merged: bool = False


Chosen = EndpointSummary | PercentileTrend


def percentile_trend(asked: PercentileTrend) -> Staged:
    """p50, p95 and p99 of probed latency over time, per endpoint or pooled (ms, nearest rank).

    `tier` tells what was read and `error_bound` how far a percentile may be off: 0 where single attempts or
    the percentiles of a sealed cell were, 0.01 where histograms were merged. Where the attempts of so narrow
    buckets are deleted, the buckets are wider, as `bucket_s` says.
    """
    reading = stages.once(lambda tables: _trend_reading(asked, tables))
    return Staged(
        first=stages.first(asked),
        then=lambda tables: _then(asked, tables, reading(tables)),
        join=lambda tables: _join_trend(asked, tables, reading(tables)),
    )


def latency_summary(asked: EndpointSummary) -> Staged:
    """Percentiles, errors and the last outcome of the whole window, per endpoint or pooled.

    `skipped` counts the probes that were due and did not happen: what they would have met is not in the
    other numbers. Attempts are counted against the limit of their endpoint, where it has one and endpoints
    are not pooled: see `within`.
    """
    by = "0" if asked.merged else "series_id"
    skipped = Piece(
        "skipped",
        f"""
        WITH chosen AS ({stages.CHOSEN})
        SELECT {by}::BIGINT AS series_id, sum(missed)::BIGINT AS skipped
        FROM gap JOIN chosen ON job = 'probe ' || target || ' ' || endpoint
        WHERE ts < $end AND until_ts >= $start
        GROUP BY 1
        """,
        asked.values(target=asked.target, endpoint=asked.endpoint),
    )
    reading = stages.once(lambda tables: _summary_reading(asked, tables))
    return Staged(
        first=(*stages.first(asked), skipped),
        then=lambda tables: _then(asked, tables, reading(tables)),
        join=lambda tables: _join_summary(asked, tables, reading(tables)),
    )


def _trend_reading(asked: PercentileTrend, tables: Tables) -> Reading:
    held = stages.held(tables)
    start, end = stored(asked.start), stored(asked.end)
    width_s = joining.usable_width(asked.bucket_s, start, held, merged=asked.merged)
    buckets = joining.buckets_of(start, end, width_s)
    return joining.plan(buckets, width_s, held, merged=asked.merged, small=stages.is_small(tables))


def _summary_reading(asked: EndpointSummary, tables: Tables) -> Reading:
    window = (stored(asked.start), stored(asked.end))
    return joining.plan([window], DAY, stages.held(tables), merged=True, small=stages.is_small(tables))


def _then(asked: Chosen, tables: Tables, reading: Reading) -> Sequence[Piece]:
    """The statements that read what the plan says."""
    held = stages.held(tables)
    read = sources.sources_of(reading, held)
    series = stages.series_of(asked, tables)
    bucket = f"epoch_ms(ts) // {reading.width_s * 1000}" if isinstance(asked, Trend) else "0::BIGINT"
    by = f"{bucket} AS bucket, {'0::BIGINT' if asked.merged else 'series_id'} AS series_id"
    last = _NO_LAST if isinstance(asked, Trend) else _LAST
    pieces = []
    if read.exact:
        pieces.append(Piece("exact", sources.union(read.exact, f"{by}, {_EXACT}", series)))
    if read.raw:
        attempts = sources.union(read.raw, f"{by}, {_OF_ATTEMPT}", series)
        ranked = f"SELECT bucket, series_id, {last.ended}{_RANKED} FROM ({attempts}) GROUP BY 1, 2"
        pieces.append(Piece("raw", ranked))
    if isinstance(asked, Trend):
        blocks, read = sealed.whole_buckets(read, asked, reading.width_s)
        pieces += [_finished(number, block, by, series) for number, block in enumerate(blocks)]
    counts = []
    if read.parts:
        counts.append(sources.union(read.parts, f"{by}, {last.cells}{_COUNTS}", series))
        edge = None if isinstance(asked, Trend) else sealed.until(asked, held.days)
        pieces += sealed.blobs(read.parts, by, series, edge)
    if read.binned:
        attempts = sources.union(read.binned, f"{by}, {_OF_ATTEMPT}", series)
        counts.append(f"SELECT bucket, series_id, {last.attempts}{_COUNTED} FROM ({attempts}) GROUP BY 1, 2")
        pieces.append(Piece("bins", f"SELECT bucket, series_id, {_BINS} FROM ({attempts}) GROUP BY ALL"))
    if isinstance(asked, EndpointSummary) and not asked.merged:
        pieces.append(within.piece(read, series))
    if counts:
        union = "\nUNION ALL ".join(counts)
        sums = f"SELECT bucket, series_id, {last.sums}{_SUMS} FROM ({union}) GROUP BY 1, 2"
        pieces.append(Piece("counts", sums))
    return pieces


def _finished(number: int, block: Sequence[Source], by: str, series: str) -> Piece:
    """The rows of a block of whole buckets of sealed time, which are merged once."""
    cells = sources.union(block, f"{by}, {_COUNTS}, histogram", series)
    return Piece(
        f"{rows.FINISHED}{number}",
        f"SELECT bucket, series_id, {_SUMS}, list(histogram) AS histograms FROM ({cells}) GROUP BY 1, 2",
        stands=True,
        until=max(each.end for each in block),
        made=rows.finished,
    )


_EXACT = "attempts, n_ok, timeouts, max_us, p50_us, p95_us, p99_us, above, {tag}::INTEGER AS tags"

_OF_ATTEMPT = "ts, outcome, status, total_us, deadline_us"

_RANKED = f"""
    count(*) AS attempts, count(*) FILTER (outcome = 'ok') AS n_ok,
    count(*) FILTER (outcome = 'timeout') AS timeouts,
    max(total_us) FILTER (outcome = 'ok') AS max_us, quantile_disc({RANK}, [0.50, 0.95, 0.99]) AS ranks
"""

_COUNTS = """
    attempts, n_ok, timeouts, min_us, max_us, {tag}::INTEGER AS tags
"""

_COUNTED = """
    count(*) AS attempts, count(*) FILTER (outcome = 'ok') AS n_ok,
    count(*) FILTER (outcome = 'timeout') AS timeouts,
    min(total_us) FILTER (outcome = 'ok') AS min_us, max(total_us) FILTER (outcome = 'ok') AS max_us,
    1::INTEGER AS tags
"""

_SUMS = """
    sum(attempts)::BIGINT AS attempts, sum(n_ok)::BIGINT AS n_ok, sum(timeouts)::BIGINT AS timeouts,
    min(min_us) AS min_us, max(max_us) AS max_us, bit_or(tags) AS tags
"""


@dataclass(frozen=True)
class _Last:
    """SQL of when and how the last attempt ended: of ranked attempts, cells, other attempts and sums."""

    ended: str = ""
    cells: str = ""
    attempts: str = ""
    sums: str = ""


_NO_LAST = _Last()
_LAST = _Last(
    ended="max(ts) AS last_at, arg_max(outcome, ts)::VARCHAR AS last_outcome, "
    "arg_max_null(status, ts) AS last_status,",
    cells="last_at, last_outcome, last_status,",
    attempts="max(ts) AS last_at, arg_max(outcome, ts) AS last_outcome, "
    "arg_max_null(status, ts) AS last_status,",
    sums="max(last_at) AS last_at, arg_max(last_outcome, last_at)::VARCHAR AS last_outcome, "
    "arg_max_null(last_status, last_at) AS last_status,",
)

_BINS = f"""
    CASE outcome WHEN 'ok' THEN {SQL_BUCKET.format("total_us")} END AS bin,
    CASE outcome WHEN 'timeout' THEN deadline_us END AS deadline_us, count(*) AS n
"""


def _join_trend(asked: PercentileTrend, tables: Tables, reading: Reading) -> pa.Table:
    found = rows.in_order(rows.all_rows(tables), tables, merged=asked.merged)
    found["tags"] = _marked(found, reading)
    names = rows.names(found, tables, merged=asked.merged)
    bucket_ms = found["bucket"].astype(np.int64) * (reading.width_s * 1000)
    return pa.table(
        {
            "bucket_at": pa.array(bucket_ms, pa.timestamp("ms")),
            "bucket_s": pa.array(np.full(len(bucket_ms), reading.width_s, np.int64)),
            **names,
            **rows.measures(found),
        }
    )


def _join_summary(asked: EndpointSummary, tables: Tables, reading: Reading) -> pa.Table:
    found = rows.all_rows(tables, rows.LAST)
    if reading.left_out:
        found["tags"] = found["tags"].astype(np.int64) | joining.LEFT_OUT
    names = rows.names(found, tables, merged=asked.merged)
    measures = rows.measures(found)
    skipped = dict(
        zip(*(tables["skipped"][name].to_pylist() for name in ("series_id", "skipped")), strict=True)
    )
    numbers = found["series_id"].astype(np.int64).tolist()
    outcome, status = found["last_outcome"].tolist(), found["last_status"]
    measures_n = measures["n"].to_pylist()
    columns = {
        **names,
        **{name: measures.pop(name) for name in ("attempts", "n", "timeouts", "errors")},
        "skipped": pa.array([skipped.get(number, 0) for number in numbers], pa.int64()),
        **measures,
        "error_ratio": pa.array(rows.ratio(found)),
        **within.columns(tables, numbers, measures_n),
        "last_at": pa.array(found["last_at"].astype("datetime64[ms]")),
        "last_outcome": pa.array(outcome, pa.string()),
        "last_status": pa.array(status.astype(np.float64), mask=rows.is_none(status)).cast(pa.uint16()),
    }
    table = pa.table(columns)
    by = [
        ("p95_above", "descending"),
        ("p95_ms", "descending"),
        ("target", "ascending"),
        ("endpoint", "ascending"),
    ]
    sortable = table.set_column(0, "target", table["target"].cast(pa.string())).set_column(
        1, "endpoint", table["endpoint"].cast(pa.string())
    )
    return table.take(pc.sort_indices(sortable, by))


def _marked(found: rows.Columns, reading: Reading) -> Any:
    """The tags of the rows, with those of which a part was left out."""
    tags = found["tags"].astype(np.int64)
    numbers = [int(joining.hour_of(start, reading.width_s)) for start, _ in reading.left_out]
    return np.where(np.isin(found["bucket"], numbers), tags | joining.LEFT_OUT, tags) if numbers else tags
