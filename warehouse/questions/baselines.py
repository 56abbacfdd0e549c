"""Questions about the baselines that are pinned, and the levels they stand at."""

from __future__ import annotations

from warehouse.questions.asking import Asked, Statement, Texts, chosen


class Baselines(Asked):
    """Baselines of these targets; none named means all."""

    target: Texts = ()


class BaselineLevels(Asked):
    """Active baselines of these targets; none named means all."""

    target: Texts = ()


def baselines(asked: Baselines) -> Statement:
    """Pinned baselines: a period (start, end) or load tests (run_ids); one of each target is active."""
    return Statement(
        f"""
        WITH members AS (
            SELECT baseline_id, count(*) AS runs, string_agg(run_id, ', ' ORDER BY run_id) AS run_ids
            FROM baseline_run GROUP BY baseline_id
        )
        SELECT baseline_id, target, name, kind, is_active, start_ts AS start, until_ts AS "end",
            coalesce(runs, 0) AS runs, run_ids, text, who, pinned_at
        FROM baseline LEFT JOIN members USING (baseline_id)
        WHERE {chosen("target", "target")}
        """,
        {"target": list(asked.target)},
        order="target, pinned_at DESC, baseline_id",
    )


def baseline_levels(asked: BaselineLevels) -> Statement:
    """The level of the active baseline of each target that is a period: per endpoint and percentile.

    `level_ms` is the percentile of the whole period (nearest rank), `low_ms` to `high_ms` where those of its
    twelve equal parts lie. `above`: the level falls on a timeout, whose deadline it is.
    """
    return Statement(
        f"""
        SELECT target, endpoint, baseline_id, name, percent::INTEGER AS percent, level_us / 1000 AS level_ms,
            low_us / 1000 AS low_ms, high_us / 1000 AS high_ms, is_above AS above, n::BIGINT AS n
        FROM baseline JOIN baseline_level USING (baseline_id)
        WHERE is_active AND {chosen("target", "target")}
        """,
        {"target": list(asked.target)},
        order="target, endpoint, percent",
    )
