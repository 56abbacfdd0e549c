"""Questions about the query time that 95 % of the calls stay below, from every source there is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import pyarrow as pa
from pydantic import Field

from warehouse.analysis.query_latency import judge
from warehouse.analysis.query_p95 import SQUARES_ROUNDING
from warehouse.model import LatencyMethod
from warehouse.questions import sealed, stages, sums
from warehouse.questions.asking import IN_WINDOW, Piece, Staged, Tables, Texts, Trend, Window, chosen, stored
from warehouse.questions.joining import EVER, RAW
from warehouse.questions.sources import Source
from warehouse.sum_cells import QUERIES, SQUARES

OBJECTIVE_MS = 100.0
GAP_METRIC = "activity_gap_max_ms"
"""The longest pause between two looks at running queries, told with the statistics of each interval."""

Objective = Annotated[float, Field(gt=0, le=3_600_000)]


class QueryLatencyWindow(Window):
    """The chosen databases; `objective_ms` is what 95 % of the calls should take less than."""

    target: Texts = ()
    objective_ms: Objective = OBJECTIVE_MS


class QueryLatencyTrend(Trend):
    """The chosen databases over time; `objective_ms` is what 95 % of the calls should take less than."""

    target: Texts = ()
    objective_ms: Objective = OBJECTIVE_MS


def query_latency(asked: QueryLatencyWindow) -> Staged:
    """The p95 of query time as an interval, by source; verdict pass, fail, undetermined or no_data.

    The calls are those of shapes that read or write, and of those not known; transaction control, utility
    statements and definitions are left out. `statistics`: bounds from calls, sums, squares, least and
    longest times, which are wider where the single statistics are deleted and cells of hours or days tell
    them. `activity`: from looking at running queries, never later than `gap_ms`. `server_histogram`: the
    server's own buckets. Of the latter two older times tell nothing.
    """
    return _staged(asked, steps=4, targets=True)


def query_latency_trend(asked: QueryLatencyTrend) -> Staged:
    """The p95 of query time as an interval over time, by source, as `query_latency` tells it."""
    return _staged(asked, steps=1, targets=False)


def _staged(asked: QueryLatencyWindow | QueryLatencyTrend, *, steps: int, targets: bool) -> Staged:
    def read(tables: Tables) -> list[Piece]:
        held = stages.held(tables, QUERIES.name)
        reading = sums.reading_of(asked, held, exact=True)
        found = sums.found_in(reading, held, stored(asked.start))
        bucket, width = "NULL::TIMESTAMP_MS", "NULL::BIGINT"
        if isinstance(asked, Trend):
            width_ms = reading.width_s * 1000
            bucket = f"make_timestamp_ms(epoch_ms(ts) // {width_ms} * {width_ms})"
            width = f"{reading.width_s}::BIGINT"
        values = Window.values(asked, target=asked.target)
        values["start"] = max(values["start"], held.raw_from or values["start"])
        since, pieces = sealed.until(asked, held.sealed), []
        old, new = sealed.halves(found, since)
        for name, part in (("old", old), ("new", new)):
            if part:
                sql = _statistics(part, bucket, width, steps=steps)
                chosen_alone = {"target": values["target"]}
                pieces.append(
                    Piece(name, sql, chosen_alone, stands=name == "old", until=since if part is old else None)
                )
        raw = [source for source in found if source.width_s == RAW]
        pieces.append(Piece("others", _others(raw, bucket, width, targets=targets), values))
        return pieces

    return Staged(
        first=stages.tier_pieces(asked, QUERIES.name),
        then=read,
        join=lambda tables: judge(
            pa.concat_tables([tables[name] for name in ("old", "new", "others") if name in tables]),
            asked.objective_ms,
        ),
    )


def _bounds(source: Source) -> str:
    """SQL of what bounds the calls of single statistics or of cells."""
    if source.width_s == RAW:
        told = f"{SQUARES} AS squares_us2, max_us, ceiling_us"
    else:
        told = """
            squares_us2, CASE WHEN max_us >= coalesce(ceiling_us, 0) THEN max_us END AS max_us,
            greatest(max_us, ceiling_us) AS ceiling_us
        """
    rows = sums.rows_of(source, QUERIES, CHOSEN)
    return f"SELECT ts, shape_id, calls, total_us, min_us, {told} FROM ({rows})"


CHOSEN = f"category IN ('read', 'write', 'unknown') AND {chosen('target', 'target')}"
"""SQL for the condition of the shapes whose calls count."""


BOUNDED = f"""
    SELECT target, ts, calls, total_us, mean_us, max_us, squares_us2,
        greatest(coalesce(min_us, 0), coalesce(mean_us - reach_us, 0)) AS low_us,
        least(coalesce(max_us, ceiling_us, total_us), total_us, coalesce(mean_us + reach_us, total_us))
            AS high_us
    FROM (
        SELECT *, total_us / calls AS mean_us,
            sqrt((calls - 1) * (
                greatest(squares_us2 / calls - mean_us * mean_us, 0)
                + {SQUARES_ROUNDING} * squares_us2 / calls
            )) AS reach_us
        FROM stats JOIN query_shape USING (shape_id)
    )
"""
"""SQL for statistics with bounds for their calls: those told, and Samuelson's inequality where it is tighter.

None of n values lies further from their mean than their deviation times the root of n - 1 (Samuelson 1968).
"""


def _class(value: str, steps: int) -> str:
    return f"TRY_CAST(floor(log2(greatest({value}, 0.001)) * {steps}) AS SMALLINT)"


def _statistics(found: Sequence[Source], bucket: str, width: str, *, steps: int) -> str:
    """SQL for the rows of the statistics that `judge` wants. The words are ours.

    Statistics are summed where their calls are alike: in so many `steps` to a doubling of their mean and of
    their upper bound. Bounds of a sum hold for it as those of its parts did.
    """
    stats = "\nUNION ALL BY NAME ".join(_bounds(each) for each in found)
    return f"""
        WITH stats AS ({stats}), bounded AS ({BOUNDED})
        SELECT target, {bucket} AS bucket_at, {width} AS bucket_s, 'statistics' AS source,
            sum(calls)::BIGINT AS calls, sum(total_us) AS total_us,
            CASE WHEN count(squares_us2) = count(*) THEN sum(squares_us2) END AS squares_us2,
            min(low_us) AS low_us, max(high_us) AS high_us, max(max_us) AS known_us
        FROM bounded
        GROUP BY 1, 2, 3, calls = 1, {_class("mean_us", steps)}, {_class("high_us", steps)},
            {_class("squares_us2 / calls / (greatest(mean_us, 0.001) * greatest(mean_us, 0.001))", 1)}
    """


def _others(raw: Sequence[Source], bucket: str, width: str, *, targets: bool) -> str:
    """SQL for the rows of all other sources; $start is when single rows begin."""
    nothing = [Source(RAW, EVER, EVER)]
    stats = "\nUNION ALL BY NAME ".join(
        f"SELECT ts, shape_id, calls FROM ({sums.rows_of(each, QUERIES, CHOSEN)})" for each in raw or nothing
    )
    known = f"""
        UNION ALL
        SELECT DISTINCT target, {bucket}, {width}, 'target', 0, NULL, NULL, NULL, NULL, NULL
        FROM database_state
        WHERE engine <> 'redis' AND {chosen("target", "target")}
    """
    return f"""
        WITH stats AS ({stats}),
        gaps AS (
            SELECT ts, target, max(value) * 1000 AS gap_us
            FROM sample JOIN series USING (series_id)
            WHERE {IN_WINDOW} AND kind = 'database' AND metric = '{GAP_METRIC}'
                AND {chosen("target", "target")}
            GROUP BY ALL
        ),
        latencies AS (
            SELECT * FROM query_latency WHERE {IN_WINDOW} AND {chosen("target", "target")}
        ),
        looked AS (
            SELECT target, ts, sum(calls)::BIGINT AS calls, any_value(gap_us) AS gap_us
            FROM stats JOIN query_shape USING (shape_id) JOIN gaps USING (target, ts)
            GROUP BY target, ts
        ),
        seen AS (
            SELECT target, ts, sum(calls)::BIGINT AS seen
            FROM latencies WHERE method = '{LatencyMethod.ACTIVITY.value}'
            GROUP BY target, ts
        )
        SELECT target, {bucket} AS bucket_at, {width} AS bucket_s, 'looks' AS source,
            sum(calls)::BIGINT AS calls, NULL::DOUBLE AS total_us, NULL::DOUBLE AS squares_us2,
            NULL::DOUBLE AS low_us, max(gap_us) AS high_us, NULL::DOUBLE AS known_us
        FROM looked
        GROUP BY 1, 2, 3
        UNION ALL
        SELECT target, {bucket}, {width}, 'unseen', sum(greatest(calls - coalesce(seen, 0), 0))::BIGINT,
            NULL, NULL, 0, max(gap_us), NULL
        FROM looked LEFT JOIN seen USING (target, ts)
        GROUP BY 1, 2, 3, {_class("gap_us", 8)}
        UNION ALL
        SELECT target, {bucket}, {width}, method, sum(calls)::BIGINT, NULL, NULL, low_us, high_us, NULL
        FROM latencies LEFT JOIN gaps USING (target, ts)
        WHERE method <> '{LatencyMethod.ACTIVITY.value}' OR gap_us IS NOT NULL
        GROUP BY 1, 2, 3, method, low_us, high_us
        {known if targets else ""}
    """
