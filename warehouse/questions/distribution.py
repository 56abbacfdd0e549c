"""Questions about how attempts ended, where their time went and how it is spread, joined from all tiers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Annotated

import numpy as np
import pyarrow as pa
from pydantic import Field

from warehouse.cells import packed_of
from warehouse.histogram import estimate, merged_parts
from warehouse.questions import joining, sealed, sources, stages
from warehouse.questions.asking import Piece, Staged, Tables, stored
from warehouse.questions.joining import EVER, Holdings, Reading
from warehouse.questions.stages import EndpointTrend

HEATMAP_BUCKETS = 120
BANDS_PER_DOUBLING = 2


class Heatmap(EndpointTrend):
    """The chosen endpoints over time, in fewer buckets."""

    buckets: Annotated[int, Field(ge=1, le=300)] = HEATMAP_BUCKETS


def errors_by_class(asked: EndpointTrend) -> Staged:
    """Attempts over time by how they ended (`ok` among them)."""

    def then(tables: Tables, reading: Reading) -> Sequence[Piece]:
        read, series, bucket = _read(asked, tables, reading, _counting(tables))
        ended = f"{bucket}, outcome::VARCHAR AS outcome"
        rows = [
            sources.union(read.parts, f"{bucket}, 'ok' AS outcome, n_ok::BIGINT AS attempts", series),
            sources.union(read.parts, f"{ended}, attempts::BIGINT AS attempts", series, "outcome"),
            sources.union(read.raw, f"{ended}, 1::BIGINT AS attempts", series),
        ]
        return (
            _one(
                f"""
            SELECT {_edges(reading)}, outcome, sum(attempts)::BIGINT AS attempts
            FROM ({_together(rows)}) GROUP BY bucket, outcome HAVING sum(attempts) > 0
            ORDER BY bucket, outcome
            """
            )
            if any(rows)
            else _one(_none(reading, "'' AS outcome, 0::BIGINT AS attempts"))
        )

    return _staged(asked, then, _counting)


def phase_breakdown(asked: EndpointTrend) -> Staged:
    """Mean time of each phase over ok attempts (ms): means add up to the total, percentiles do not.

    A phase that an attempt skipped (a kept-alive connection has no connect) counts as no time.
    The DNS look-up comes before the total and is not part of it.
    """

    def then(tables: Tables, reading: Reading) -> Sequence[Piece]:
        read, series, bucket = _read(asked, tables, reading, _of_hours(tables))
        sums = "sum_us, coalesce(connect_us, 0) AS connect_us, coalesce(tls_us, 0) AS tls_us, "
        sums += "coalesce(first_byte_us, 0) AS first_byte_us"
        single = sums.replace("sum_us", "total_us AS sum_us", 1)
        rows = [
            sources.union(read.parts, f"{bucket}, n_ok::BIGINT AS n, dns_n, dns_us, {sums}", series),
            sources.union(
                read.raw,
                f"{bucket}, 1::BIGINT AS n, (dns_us IS NOT NULL)::INTEGER AS dns_n, dns_us, {single}",
                f"outcome = 'ok' AND {series}",
            ),
        ]
        means = ", ".join(
            f"sum({name}_us) / sum(n) / 1000 AS {name}_ms" for name in ("connect", "tls", "first_byte")
        )
        return (
            _one(
                f"""
            SELECT {_edges(reading)}, sum(n)::BIGINT AS n,
                sum(dns_us) / nullif(sum(dns_n), 0) / 1000 AS dns_ms, {means},
                (sum(sum_us) - sum(connect_us) - sum(tls_us) - sum(first_byte_us))::DOUBLE / sum(n) / 1000
                    AS download_ms,
                sum(sum_us) / sum(n) / 1000 AS total_ms
            FROM ({_together(rows)}) GROUP BY bucket HAVING sum(n) > 0 ORDER BY bucket
            """
            )
            if any(rows)
            else _one(_none(reading, _NO_PHASES))
        )

    return _staged(asked, then, _of_hours)


_NO_PHASES = "0::BIGINT AS n, " + ", ".join(
    f"NULL::DOUBLE AS {name}_ms" for name in ("dns", "connect", "tls", "first_byte", "download", "total")
)


def latency_heatmap(asked: Heatmap) -> Staged:
    """Attempts over time by band of latency, two bands to a doubling.

    A timeout lies in a band of its own that starts at its deadline and has no end.
    """

    def then(tables: Tables, reading: Reading) -> Sequence[Piece]:
        read, series, bucket = _read(asked, tables, reading, stages.held(tables))
        pieces: list[Piece] = []
        if read.parts:
            edge = sealed.until(asked, stages.held(tables).days)
            pieces += sealed.blobs(read.parts, bucket, series, edge)
        if read.raw:
            rows = sources.union(read.raw, f"{bucket}, outcome, total_us, deadline_us", series)
            pieces.append(
                Piece(
                    "raw",
                    f"""
                    SELECT bucket, CASE outcome WHEN 'ok'
                            THEN floor(log2(greatest(total_us, 1)) * {BANDS_PER_DOUBLING})::BIGINT ELSE -1
                        END AS band,
                        CASE outcome WHEN 'timeout' THEN deadline_us ELSE 0 END::BIGINT AS deadline_us,
                        count(*) AS attempts
                    FROM ({rows}) WHERE outcome IN ('ok', 'timeout') GROUP BY ALL
                    """,
                )
            )
        return pieces

    reading = stages.once(lambda tables: _reading(asked, tables, stages.held(tables)))
    return Staged(
        first=stages.first(asked),
        then=lambda tables: then(tables, reading(tables)),
        join=lambda tables: _bands(tables, reading(tables)),
    )


def _bands(tables: Tables, reading: Reading) -> pa.Table:
    """Attempts by bucket and band; those of a histogram in the band of what its buckets stand for."""
    found = [np.zeros((0, 4), np.int64)]
    if "raw" in tables:
        names = ("bucket", "band", "deadline_us", "attempts")
        found.append(np.stack([tables["raw"][name].to_numpy() for name in names], axis=1).astype(np.int64))
    for blobs in sealed.told(tables):
        buckets, group = np.unique(blobs["bucket"].to_numpy(), return_inverse=True)
        for first, merged in merged_parts(packed_of(blobs["histogram"]), group, len(buckets)):
            ok, late = merged.entries()
            band = np.floor(np.log2(np.maximum(estimate(ok.key), 1)) * BANDS_PER_DOUBLING).astype(np.int64)
            zero, none = np.zeros_like(band), np.full(len(late.key), -1)
            found.append(np.stack([buckets[ok.owner + first], band, zero, ok.count], axis=1))
            found.append(np.stack([buckets[late.owner + first], none, late.key, late.count], axis=1))
    keys, place = np.unique(np.concatenate(found)[:, :3], axis=0, return_inverse=True)
    counts = np.bincount(place.ravel(), np.concatenate(found)[:, 3], minlength=len(keys)).astype(np.int64)
    bucket, band, deadline = keys[:, 0], keys[:, 1], keys[:, 2]
    is_late = band < 0
    low = np.where(is_late, deadline, 2.0 ** (band / BANDS_PER_DOUBLING)) / 1000
    high = 2.0 ** ((band + 1) / BANDS_PER_DOUBLING) / 1000
    order = np.lexsort((high, low, bucket))
    return pa.table(
        {
            "bucket_at": pa.array(bucket * (reading.width_s * 1000), pa.timestamp("ms")),
            "bucket_s": pa.array(np.full(len(bucket), reading.width_s, np.int64)),
            "low_ms": pa.array(low),
            "high_ms": pa.array(high, mask=is_late),
            "attempts": pa.array(counts),
        }
    ).take(pa.array(order))


def _counting(tables: Tables) -> Holdings:
    """What is held for counting: cells of 5 minutes count without a histogram."""
    return replace(stages.held(tables), fine_from=EVER)


def _of_hours(tables: Tables) -> Holdings:
    """What is held for phases: cells of 5 minutes know none."""
    return replace(stages.held(tables), fine_from=None)


def _staged(
    asked: EndpointTrend,
    then: Callable[[Tables, Reading], Sequence[Piece]],
    held: Callable[[Tables], Holdings],
) -> Staged:
    reading = stages.once(lambda tables: _reading(asked, tables, held(tables)))
    return Staged(
        first=stages.first(asked),
        then=lambda tables: then(tables, reading(tables)),
        join=lambda tables: tables["answer"],
    )


def _reading(asked: EndpointTrend, tables: Tables, held: Holdings) -> Reading:
    start, end = stored(asked.start), stored(asked.end)
    width_s = joining.usable_width(asked.bucket_s, start, held, merged=True)
    buckets = joining.buckets_of(start, end, width_s)
    return joining.plan(buckets, width_s, held, merged=True, small=stages.is_small(tables))


def _read(
    asked: EndpointTrend, tables: Tables, reading: Reading, held: Holdings
) -> tuple[sources.Sources, str, str]:
    """What is read, all single attempts as `raw`; the condition on series; the column of the bucket."""
    read = sources.sources_of(reading, held)
    read = replace(read, raw=(*read.raw, *read.binned), binned=())
    bucket = f"epoch_ms(ts) // {reading.width_s * 1000} AS bucket"
    return read, stages.series_of(asked, tables), bucket


def _edges(reading: Reading) -> str:
    """SQL of a bucket's start and width."""
    width_ms = reading.width_s * 1000
    return f"make_timestamp_ms(bucket * {width_ms}) AS bucket_at, {reading.width_s}::BIGINT AS bucket_s"


def _together(selects: Sequence[str]) -> str:
    return "\nUNION ALL ".join(select for select in selects if select)


def _none(reading: Reading, columns: str) -> str:
    """An answer without rows."""
    return f"SELECT {_edges(reading)}, {columns} FROM (SELECT 0::BIGINT AS bucket) WHERE FALSE"


def _one(sql: str) -> Sequence[Piece]:
    return (Piece("answer", sql),)
