"""Questions about percentiles of probed latency, over time and of a window, joined from all tiers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Annotated, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field

from warehouse.cells import DAY
from warehouse.questions import attempt_pieces, joining, rows, sealed, sources, stages, within
from warehouse.questions.asking import Piece, Staged, Tables, stored
from warehouse.questions.joining import Reading
from warehouse.questions.stages import Endpoints, EndpointTrend

MAX_TREND_BUCKETS = 1000

SHORT = 5000
"""Answers of so many rows are copied into one piece, which costs less than reading several."""


class EndpointSummary(Endpoints):
    """`merged` pools the attempts of all chosen endpoints before any percentile is taken."""

    merged: bool = False


class PercentileTrend(EndpointTrend):
    """`merged` pools the attempts of all chosen endpoints before any percentile is taken."""

    buckets: Annotated[int, Field(ge=1, le=MAX_TREND_BUCKETS)] = 300
    merged: bool = False


def percentile_trend(asked: PercentileTrend) -> Staged:
    """p50, p95 and p99 of probed latency over time, per endpoint or pooled (ms, nearest rank).

    `tier` tells what was read and `error_bound` how far a percentile may be off: 0 where single attempts or
    the percentiles of a sealed cell were, 0.01 where histograms were merged. Where the attempts of so narrow
    buckets are deleted, the buckets are wider, as `bucket_s` says.
    """
    parted = stages.once(lambda tables: _parted(asked, tables))
    return Staged(
        first=stages.first(asked),
        then=lambda tables: _then_trend(asked, tables, parted(tables)),
        join=lambda tables: _join_trend(asked, tables, parted(tables)),
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
        then=lambda tables: _then_summary(asked, tables, reading(tables)),
        join=lambda tables: _join_summary(asked, tables, reading(tables)),
    )


@dataclass(frozen=True)
class _Parted:
    """How a trend is read: in blocks of sealed time, and the rest of the window."""

    blocks: Sequence[sealed.Block]
    rest: Reading


def _parted(asked: PercentileTrend, tables: Tables) -> _Parted:
    held, small = stages.held(tables), stages.is_small(tables)
    window = (stored(asked.start), stored(asked.end))
    width_s = joining.usable_width(asked.bucket_s, window[0], held, merged=asked.merged)
    is_exact = not asked.merged and width_s in joining.CELL_WIDTHS
    blocks: list[sealed.Block] = []
    if is_exact or not small:
        chosen = frozenset(tables["chosen"]["series_id"].to_pylist())
        blocks += sealed.blocks_of(window, width_s, held, chosen, merged=not is_exact)
    edges = [joining.start_of(number, width_s) for each in blocks for number in (each.first, each.last)]
    edges = [window[0], *edges, window[1]]
    gaps = zip(edges[::2], edges[1::2], strict=True)
    buckets = chain.from_iterable(joining.buckets_of(*gap, width_s) for gap in gaps)
    return _Parted(blocks, joining.plan(buckets, width_s, held, merged=asked.merged, small=small))


def _summary_reading(asked: EndpointSummary, tables: Tables) -> Reading:
    window = (stored(asked.start), stored(asked.end))
    return joining.plan([window], DAY, stages.held(tables), merged=True, small=stages.is_small(tables))


def _then_trend(asked: PercentileTrend, tables: Tables, parted: _Parted) -> list[Piece]:
    """The statements that read the blocks, and the rest."""
    series, width_s = stages.series_of(asked, tables), parted.rest.width_s
    by = attempt_pieces.of_buckets(width_s, merged=asked.merged)
    read = sources.sources_of(parted.rest, stages.held(tables))
    return [
        *(attempt_pieces.block(each.read, width_s, series, merged=asked.merged) for each in parted.blocks),
        *attempt_pieces.of_trend(read, by, series),
    ]


def _then_summary(asked: EndpointSummary, tables: Tables, reading: Reading) -> list[Piece]:
    """The statements that read what the plan says."""
    series, held = stages.series_of(asked, tables), stages.held(tables)
    read = sources.sources_of(reading, held)
    by = attempt_pieces.of_window(merged=asked.merged)
    pieces = attempt_pieces.of_summary(read, by, series, sealed.until(asked, held.days))
    return pieces if asked.merged else [*pieces, within.piece(read, series)]


def _join_trend(asked: PercentileTrend, tables: Tables, parted: _Parted) -> pa.Table:
    """The blocks, cut to the window, and before, between and after them the rest, by bucket and names."""
    rest = parted.rest
    found = rows.in_order(rows.all_rows(tables), tables, merged=asked.merged)
    found["tags"] = _marked(found, rest)
    names = rows.names(found, tables, merged=asked.merged)
    own = rows.answered(found, names, rest.width_s)
    joined, done = [], 0
    for block in parted.blocks:
        until = int(np.searchsorted(found["bucket"], block.first))
        joined += [
            own.slice(done, until - done),
            _cut(tables[attempt_pieces.name_of(block.read)], block, rest.width_s),
        ]
        done = until
    filled = [part for part in (*joined, own.slice(done)) if part.num_rows]
    answer = pa.concat_tables(filled or [own]).unify_dictionaries()
    return answer.combine_chunks() if answer.num_rows <= SHORT else answer


def _cut(made: pa.Table, block: sealed.Block, width_s: int) -> pa.Table:
    """What a block made of those of its buckets that the window holds."""
    edges = [np.datetime64(joining.start_of(number, width_s), "ms") for number in (block.first, block.last)]
    first, last = np.searchsorted(made["bucket_at"].to_numpy(), edges)
    return made.slice(first, last - first)


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
