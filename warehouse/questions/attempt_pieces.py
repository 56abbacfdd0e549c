"""The statements that read attempts and their cells for percentiles. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from functools import partial

import pyarrow as pa

from warehouse.cells import RANK
from warehouse.histogram import SQL_BUCKET
from warehouse.questions import few, rows, sealed, sources
from warehouse.questions.asking import Piece
from warehouse.questions.sources import Source, Sources

BLOCK = "block_"
"""The pieces that tell rows of an answer that are done."""

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


def of_buckets(width_s: int, *, merged: bool) -> str:
    """SQL of what tells rows of a trend apart."""
    return f"epoch_ms(ts) // {width_s * 1000} AS bucket, {_series(merged=merged)}"


def of_window(*, merged: bool) -> str:
    """SQL of what tells rows of a whole window apart."""
    return f"0::BIGINT AS bucket, {_series(merged=merged)}"


def _series(*, merged: bool) -> str:
    return f"{'0::BIGINT' if merged else 'series_id'} AS series_id"


def of_trend(read: Sources, by: str, series: str) -> list[Piece]:
    """What reads these sources, for rows told apart by the columns `by`."""
    return _pieces(read, by, series, _NO_LAST, None)


def of_summary(read: Sources, by: str, series: str, edge: datetime | None) -> list[Piece]:
    """The same with the last attempt of each row; days are sealed until `edge`, if any are."""
    return _pieces(read, by, series, _LAST, edge)


def _pieces(read: Sources, by: str, series: str, last: _Last, edge: datetime | None) -> list[Piece]:
    pieces = []
    if read.exact:
        pieces.append(Piece("exact", sources.union(read.exact, f"{by}, {_EXACT}", series)))
    if read.raw:
        attempts = sources.union(read.raw, f"{by}, {_OF_ATTEMPT}", series)
        ranked = f"SELECT bucket, series_id, {last.ended}{_RANKED} FROM ({attempts}) GROUP BY 1, 2"
        brief = few.brief(read.raw, by, series) if last is _NO_LAST else None
        pieces.append(Piece("raw", ranked, brief=brief))
    counts = []
    if read.parts:
        counts.append(sources.union(read.parts, f"{by}, {last.cells}{_COUNTS}", series))
        pieces += sealed.blobs(read.parts, by, series, edge)
    if read.binned:
        attempts = sources.union(read.binned, f"{by}, {_OF_ATTEMPT}", series)
        counts.append(f"SELECT bucket, series_id, {last.attempts}{_COUNTED} FROM ({attempts}) GROUP BY 1, 2")
        pieces.append(Piece("bins", f"SELECT bucket, series_id, {_BINS} FROM ({attempts}) GROUP BY ALL"))
    if counts:
        union = "\nUNION ALL ".join(counts)
        sums = f"SELECT bucket, series_id, {last.sums}{_SUMS} FROM ({union}) GROUP BY 1, 2"
        pieces.append(Piece("counts", sums))
    return pieces


def block(read: Source, width_s: int, series: str, *, merged: bool) -> Piece:
    """The rows of a trend that whole buckets of sealed time make, by bucket and names; made once."""
    by = of_buckets(width_s, merged=merged)
    is_exact = not merged and width_s == read.width_s
    found = sources.union([read], f"{by}, {_EXACT if is_exact else f'{_COUNTS}, histogram'}", series)
    if not is_exact:
        made = f"bucket, series_id, {_SUMS}, list(histogram) AS histograms"
        found = f"SELECT {made} FROM ({found}) GROUP BY 1, 2"
    named = f"SELECT f.*, target, object AS endpoint FROM ({found}) AS f JOIN series USING (series_id)"
    return Piece(
        name_of(read),
        f"{found} ORDER BY bucket" if merged else f"{named} ORDER BY bucket, target, endpoint",
        stands=True,
        until=read.end,
        made=partial(_finished, width_s=width_s, is_exact=is_exact),
    )


def name_of(read: Source) -> str:
    """The name of the piece that reads a block."""
    return f"{BLOCK}{read.start:%Y-%m-%dT%H:%M}"


def _finished(found: pa.Table, *, width_s: int, is_exact: bool) -> pa.Table:
    """The rows of a block as they are answered."""
    done = rows.exact(found) if is_exact else rows.finished(found)
    if "target" in found.column_names:
        names = {name: rows.with_dictionary(found[name]) for name in ("target", "endpoint")}
    else:
        names = rows.no_names(found.num_rows)
    return rows.answered(done, names, width_s)
