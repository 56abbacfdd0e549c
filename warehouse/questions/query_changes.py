"""Questions about queries that want a look: the new, the vanished, and those there is reason to suspect."""

from __future__ import annotations

from datetime import datetime

from pydantic import model_validator

from warehouse.questions.asking import IN_WINDOW, Edge, Staged, Statement, stored
from warehouse.questions.queries import CHOSEN_SHAPES, SHAPES, SUMS, Queries
from warehouse.questions.sums import summed
from warehouse.sum_cells import QUERIES

LEARNING_MIN = 10
"""Minutes after the first statistics of a database in which every shape is new only to us."""

EXPECTED_LOOKS = 5
"""Samples a vanished shape would have been in at its earlier rate: absence from fewer says nothing.

Were they independent, one in 150 shapes (e^-5) that go on as before would be missed that often.
"""


class QueryChanges(Queries):
    """What is different from `since` on (default the window's middle) from what came before it."""

    since: Edge | None = None

    @property
    def moment(self) -> datetime:
        """The instant that parts before from after."""
        return self.since or self.start + (self.end - self.start) / 2

    @model_validator(mode="after")
    def _since_lies_within(self) -> QueryChanges:
        if not self.start < self.moment < self.end:
            raise ValueError("since must lie between start and end")
        return self


OFTEN = 10
"""How many times as often as any other read a query must be called to look like a loop of look-ups."""

OFTEN_CALLS = 1000
"""Calls below which no loop is suspected."""

ONE_ROW = 1.5
"""Rows a call at and below which a query looks up one thing at a time."""

SUSPECTS = f"""
    SELECT 'touches many blocks for each row' AS reason,
        (blocks_hit + blocks_read) / greatest(rows, calls) AS value, 'blocks' AS unit, 1000 AS threshold
    WHERE category = 'read'
    UNION ALL
    SELECT 'uses no index', unindexed / calls, 'of calls', 0.5
    UNION ALL
    SELECT 'spills to disk', temp_blocks / calls, 'blocks a call', 128
    UNION ALL
    SELECT 'misses the cache', blocks_read / calls, 'blocks a call', 1000
    UNION ALL
    SELECT 'one row at a time', calls / next_calls, 'calls for one of any other read', {OFTEN}
    WHERE category = 'read' AND calls >= {OFTEN_CALLS} AND rows / calls <= {ONE_ROW}
"""
"""SQL for why a shape may be worth a look: 1,000 blocks are 8 MB, 128 are 1 MB, at PostgreSQL's 8 kB."""


def query_suspects(asked: Queries) -> Staged:
    """Shapes worth a look, each with its reason and the number that speaks for it, at or above a threshold.

    A shape that touches many blocks for each row it gives back probably reads a table from end to end. One
    that gives a row at a time and is called far more often than any other read of its database is probably
    called in a loop, once for each row of another (N + 1 queries).
    """
    return summed(
        asked,
        QUERIES,
        {"target": list(asked.target), "database": list(asked.database)},
        which=SHAPES,
        told=f"""
            SELECT target, database, shape, category, query, reason, value, unit, threshold, calls, total_ms,
                mean_ms, tags
            FROM (
                SELECT *, lead(calls) OVER (
                    PARTITION BY target, database, category ORDER BY calls DESC
                ) AS next_calls
                FROM (
                    SELECT shape_id, {SUMS}, sum(blocks_hit)::BIGINT AS blocks_hit,
                        sum(temp_blocks)::BIGINT AS temp_blocks, sum(unindexed)::BIGINT AS unindexed,
                        bit_or(tags) AS tags
                    FROM summed GROUP BY shape_id
                ) JOIN query_shape USING (shape_id)
            ), LATERAL ({SUSPECTS})
            WHERE value >= threshold
        """,
        order="total_ms DESC, target, database, shape, reason",
    )


def query_changes(asked: QueryChanges) -> Statement:
    """Shapes that came (`new`) or stayed away (`vanished`) since a moment.

    New: first seen from `since` on, in a database that was watched for a while before. Vanished: in so
    many of the samples before `since` that several of those after it were to be expected to hold it
    (`expected_looks`), and in none of them. Single statistics tell this, so that nothing is known of the time
    before those that are kept.
    """
    return Statement(
        f"""
        WITH chosen AS ({CHOSEN_SHAPES}),
        watched AS (
            SELECT target, database, min(first_seen_at) AS watched_from FROM chosen GROUP BY target, database
        ),
        summed AS (
            SELECT shape_id,
                count(*) FILTER (ts < $since) AS seen_before,
                sum(calls) FILTER (ts < $since)::BIGINT AS calls_before,
                sum(calls) FILTER (ts >= $since)::BIGINT AS calls_since,
                sum(total_us) FILTER (ts < $since) / 1000 AS total_before_ms,
                sum(total_us) FILTER (ts >= $since) / 1000 AS total_since_ms,
                max(ts) AS last_seen_at
            FROM query_stat
            WHERE {IN_WINDOW} AND shape_id IN (SELECT shape_id FROM chosen)
            GROUP BY shape_id
        ),
        covered AS (
            SELECT target, count(*) FILTER (ts < $since) AS looks_before,
                count(*) FILTER (ts >= $since) AS looks_since
            FROM (
                SELECT DISTINCT target, ts FROM query_stat JOIN chosen USING (shape_id) WHERE {IN_WINDOW}
            )
            GROUP BY target
        ),
        judged AS (
            SELECT *, seen_before / nullif(looks_before, 0) * looks_since AS expected_looks,
                CASE
                    WHEN calls_since > 0 AND first_seen_at >= $since
                        AND first_seen_at >= watched_from + INTERVAL {LEARNING_MIN} MINUTE
                        THEN 'new'
                    WHEN calls_since IS NULL AND expected_looks >= {EXPECTED_LOOKS} THEN 'vanished'
                END AS change
            FROM summed JOIN chosen USING (shape_id) JOIN covered USING (target)
            JOIN watched USING (target, database)
        )
        SELECT change, target, database, shape, category, query, first_seen_at, last_seen_at,
            coalesce(calls_since, calls_before) AS calls,
            coalesce(total_since_ms, total_before_ms) AS total_ms, total_ms / calls AS mean_ms,
            CASE change WHEN 'vanished' THEN expected_looks END AS expected_looks
        FROM judged
        WHERE change IS NOT NULL
        """,
        asked.values(target=asked.target, database=asked.database, since=stored(asked.moment)),
        order="change, total_ms DESC, target, database, shape",
    )
