"""Questions about regressions: which there were, of what they are made, and what is watched."""

from __future__ import annotations

from warehouse.questions.asking import IN_WINDOW, Asked, Nothing, Statement, Text, Texts, Window, chosen

CHANGE = """
    kind, target, object, metric, unit, direction, before, after, size_ratio, low_ratio, high_ratio,
    low_difference, high_difference, confidence, point_s, points_after, looked_back
"""
"""What a change point tells."""

FOREMOST = """
    list_position(['probe', 'loadtest', 'query', 'database', 'host'], kind),
    abs(ln(greatest(after, 1e-9) / greatest(before, 1e-9))) DESC, target, object, metric
"""
"""SQL to sort the change points of a regression: endpoints first, then by how much they changed."""


class Regressions(Window):
    """Regressions, or improvements, that stood within the window; of these targets, in these states."""

    target: Texts = ()
    state: Texts = ()
    verdict: Texts = ()


class Changes(Window):
    """Change points of the window, of these targets and kinds of series."""

    target: Texts = ()
    kind: Texts = ()


class OneRegression(Asked):
    """One regression, by its id."""

    regression_id: Text


REGRESSIONS = f"""
    WITH ranked AS (
        SELECT *, row_number() OVER (PARTITION BY regression_id ORDER BY {FOREMOST}) AS place
        FROM change_point WHERE role <> 'back'
    ),
    sums AS (
        SELECT regression_id, count(DISTINCT (kind, target, object, metric)) AS series,
            list_sort(list(DISTINCT target)) AS targets
        FROM change_point GROUP BY regression_id
    )
    SELECT regression_id, verdict, state, changed_at, regression.found_at, state_at, state_by, note, series,
        array_to_string(targets, ', ') AS targets, {CHANGE}, query
    FROM regression JOIN sums USING (regression_id) JOIN ranked USING (regression_id)
        LEFT JOIN query_text USING (target, object)
    WHERE place = 1
"""
"""SQL of every regression with its foremost change point."""

QUERY_TEXT = """
    query_text AS (
        SELECT target, concat_ws('/', nullif(database, ''), shape) AS object, any_value(query) AS query
        FROM query_shape GROUP BY ALL
    )
"""


def regressions(asked: Regressions) -> Statement:
    """What stood within the window: changed in it, or was not resolved before it. The newest first.

    `before` and `after` are levels of points of `point_s` seconds, free of the season; of shares of errors
    what was counted. Ratios are relative sizes with the ends of a 95 % interval; of shares of errors it is
    that of the difference, after less before (`low_difference`, `high_difference`).
    """
    return Statement(
        f"""
        SELECT * FROM ({_regressions()})
        WHERE changed_at < $end
            AND (changed_at >= $start OR state IN ('open', 'acknowledged')
                OR (state = 'resolved' AND state_at >= $start))
            AND {chosen("state", "state")} AND {chosen("verdict", "verdict")}
            AND (len($target::VARCHAR[]) = 0 OR regression_id IN (
                SELECT regression_id FROM change_point WHERE list_contains($target::VARCHAR[], target)))
        """,
        asked.values(target=asked.target, state=asked.state, verdict=asked.verdict),
        order="changed_at DESC, regression_id",
    )


def regression(asked: OneRegression) -> Statement:
    """One regression, as `regressions` tells it."""
    return Statement(
        f"SELECT * FROM ({_regressions()}) WHERE regression_id = $regression_id",
        {"regression_id": asked.regression_id},
        order="regression_id",
    )


def _regressions() -> str:
    return REGRESSIONS.replace("WITH ", f"WITH {QUERY_TEXT}, ", 1)


def change_points(asked: Changes) -> Statement:
    """Every change of every watched series in the window. `role`: found, back (to before), or again."""
    return Statement(
        f"""
        WITH {QUERY_TEXT}
        SELECT ts AS "at", regression_id, verdict, state, role, {CHANGE}, change_point.found_at, query
        FROM change_point JOIN regression USING (regression_id) LEFT JOIN query_text USING (target, object)
        WHERE {IN_WINDOW} AND {chosen("target", "target")} AND {chosen("kind", "kind")}
        """,
        asked.values(target=asked.target, kind=asked.kind),
        order='"at", regression_id, kind, target, object, metric',
    )


def regression_series(asked: OneRegression) -> Statement:
    """The change points of one regression, the foremost first."""
    return Statement(
        f"""
        WITH {QUERY_TEXT}
        SELECT row_number() OVER (ORDER BY {FOREMOST}, ts) AS place, ts AS "at", role, {CHANGE}, found_at,
            query
        FROM change_point LEFT JOIN query_text USING (target, object)
        WHERE regression_id = $regression_id
        """,
        {"regression_id": asked.regression_id},
        order="place",
    )


def regression_events(asked: OneRegression) -> Statement:
    """What became of a regression: found, acknowledged, resolved, reopened, by whom and why."""
    return Statement(
        'SELECT ts AS "at", action, who, text FROM regression_event WHERE regression_id = $regression_id',
        {"regression_id": asked.regression_id},
        order='"at"',
    )


def moved_with(asked: OneRegression) -> Statement:
    """What else moved when a regression began, the foremost first: co-movement, not cause.

    `score` is the difference of the medians in standard errors. `share` is the part of the endpoint's own
    difference, `of_ms`: of a phase exactly; of a query if each request makes one call.
    """
    return Statement(
        f"""
        WITH {QUERY_TEXT}
        SELECT kind, target, object, metric, unit, before, after, score, share, of_ms, points_before,
            points_after, query
        FROM co_movement LEFT JOIN query_text USING (target, object)
        WHERE regression_id = $regression_id
        """,
        {"regression_id": asked.regression_id},
        order="coalesce(abs(share), 0) DESC, abs(score) DESC, kind, target, object, metric",
    )


def watching(_: Nothing) -> Statement:
    """What is watched for changes: up to when each target's series were judged, and how many can be."""
    return Statement(
        "SELECT kind, target, until_ts AS until_at, series, ready, points, wanted, point_s FROM judged",
        order="kind, target",
    )
