"""Questions about database servers: how each part of their watch does, their numbers, who waits for whom."""

from __future__ import annotations

from warehouse.questions.asking import (
    IN_WINDOW,
    Nothing,
    Staged,
    Statement,
    Texts,
    Trend,
    Window,
    chosen,
)
from warehouse.questions.sums import summed
from warehouse.sum_cells import SAMPLES

SILENT_S = 180
"""Seconds after which a part that said nothing is silent; collectors repeat its state every minute."""


class DatabaseTrend(Trend):
    """The chosen numbers of the chosen databases over time; none named means all."""

    target: Texts = ()
    metric: Texts = ()
    object: Texts = ()


class DatabaseWindow(Window):
    """The chosen databases over a window; none named means all."""

    target: Texts = ()


class DatabaseNumbers(DatabaseWindow):
    """The chosen numbers of the chosen databases."""

    metric: Texts = ()


def databases(_: Nothing) -> Statement:
    """Every database server that was ever watched, and when its watch last said anything."""
    return Statement(
        """
        SELECT target, arg_max(engine, ts) AS engine, min(ts) AS first_seen_at, max(ts) AS newest_at
        FROM database_state
        GROUP BY target
        """,
        order="target",
    )


def database_states(asked: DatabaseWindow) -> Statement:
    """How each part of a database's watch does at the window's end, and since when: the start plays no part.

    `is_silent`: its collector has not repeated the state for so long that it may no longer be true.
    """
    return Statement(
        f"""
        WITH told AS (
            SELECT * FROM database_state WHERE ts < $end AND {chosen("target", "target")}
        ),
        newest AS (
            SELECT target, part, arg_max(engine, ts) AS engine, arg_max(state, ts) AS state,
                max(ts) AS last_at, arg_max(text, ts) AS text
            FROM told
            GROUP BY target, part
        ),
        differed AS (
            SELECT newest.target, newest.part, max(ts) FILTER (told.state <> newest.state) AS differed_at
            FROM told JOIN newest USING (target, part)
            GROUP BY newest.target, newest.part
        )
        SELECT * FROM (
            SELECT target, newest.engine AS engine, part, newest.state AS state,
                min(ts) FILTER (differed_at IS NULL OR ts > differed_at) AS since_at, last_at,
                newest.text AS text, last_at < $end - INTERVAL {SILENT_S} SECOND AS is_silent
            FROM told JOIN newest USING (target, part) JOIN differed USING (target, part)
            GROUP BY ALL
        )
        """,
        {name: value for name, value in asked.values(target=asked.target).items() if name != "start"},
        order="state = 'ok', target, part",
    )


def database_trend(asked: DatabaseTrend) -> Staged:
    """Mean and maximum of each number over time, per object. Nothing is added up over objects."""
    return summed(
        asked,
        SAMPLES,
        {"target": list(asked.target), "metric": list(asked.metric), "object": list(asked.object)},
        which=f"kind = 'database' AND {chosen('target', 'target')} AND {chosen('metric', 'metric')} "
        f"AND {chosen('object', 'object')}",
        told="SELECT bucket_at, bucket_s, target, object, metric, unit, n::BIGINT AS n, "
        "failures::BIGINT AS failures, sum / nullif(n, 0) AS mean, max, sum, tags "
        "FROM summed JOIN series USING (series_id)",
        order="bucket_at, target, metric, object",
    )


def database_now(asked: DatabaseNumbers) -> Staged:
    """The newest sample of each number and object within the window."""
    return summed(
        asked,
        SAMPLES,
        {"target": list(asked.target), "metric": list(asked.metric)},
        which=f"kind = 'database' AND {chosen('target', 'target')} AND {chosen('metric', 'metric')}",
        told='SELECT target, object, metric, unit, direction, last_at AS "at", last_value AS value, '
        "last_outcome AS outcome, tags FROM summed JOIN series USING (series_id)",
        order="target, metric, object",
    )


TEXTS = """
    SELECT target, database, shape, any_value(query) AS query
    FROM query_shape
    GROUP BY ALL
"""
"""The text of each shape, for rows that tell only its digest."""


def lock_waits(asked: DatabaseWindow) -> Statement:
    """Sessions that waited for another, as they were seen, with what both ran where it is known."""
    return Statement(
        f"""
        WITH texts AS ({TEXTS})
        SELECT ts AS "at", lock_wait.target, lock_wait.database, waiter_pid, waiter_user, waiter_application,
            waiter_shape, waits.query AS waiter_query, waited_us / 1000 AS waited_ms, lock, mode, relation,
            blocker_pid, blocker_user, blocker_application, blocker_state, blocker_shape,
            blocks.query AS blocker_query, blocker_transaction_us / 1000 AS blocker_transaction_ms
        FROM lock_wait
        LEFT JOIN texts AS waits
            ON waits.target = lock_wait.target AND waits.database = lock_wait.database
            AND waits.shape = waiter_shape
        LEFT JOIN texts AS blocks
            ON blocks.target = lock_wait.target AND blocks.database = lock_wait.database
            AND blocks.shape = blocker_shape
        WHERE {IN_WINDOW} AND {chosen("lock_wait.target", "target")}
        """,
        asked.values(target=asked.target),
        order='"at", target, waiter_pid, blocker_pid',
        raw=True,
    )


def blockers(asked: DatabaseWindow) -> Statement:
    """Sessions that others waited for. A root waited for nobody when it was last seen blocking."""
    return Statement(
        f"""
        WITH seen AS (
            SELECT * FROM lock_wait WHERE {IN_WINDOW} AND {chosen("target", "target")}
        ),
        held AS (
            SELECT target, database, blocker_pid, blocker_user, blocker_application,
                arg_max(blocker_state, ts) AS blocker_state, arg_max_null(blocker_shape, ts) AS shape,
                count(*) AS waits_seen, count(DISTINCT waiter_pid) AS victims,
                max(waited_us) / 1000 AS longest_waited_ms,
                max(blocker_transaction_us) / 1000 AS longest_transaction_ms,
                min(ts) AS first_seen_at, max(ts) AS last_seen_at
            FROM seen
            GROUP BY ALL
        ),
        texts AS ({TEXTS})
        SELECT held.* EXCLUDE (shape), texts.query AS blocker_query,
            NOT EXISTS (
                FROM seen
                WHERE seen.target = held.target AND seen.waiter_pid = held.blocker_pid
                    AND seen.ts = held.last_seen_at
            ) AS is_root
        FROM held LEFT JOIN texts USING (target, database, shape)
        """,
        asked.values(target=asked.target),
        order="last_seen_at DESC, longest_waited_ms DESC NULLS LAST, target, blocker_pid",
    )
