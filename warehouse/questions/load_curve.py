"""The question of how a target bears load: throughput and latency over users, of all runs of a scenario."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from warehouse.analysis.load_curve import knee
from warehouse.questions import run_tiers
from warehouse.questions.asking import Asked, Statement, Text, Texts, chosen
from warehouse.questions.run_parts import COUNTS, LOAD, PERCENTILES, RANKS, elapsed_s
from warehouse.questions.run_tiers import CELL_COUNTS, CELLS, PLATEAUS, TIER

SHORTEST_S = 3.0
"""A plateau of which a run saw less tells nothing."""


class LoadCurve(Asked):
    """The runs of a scenario, of the chosen targets or of all."""

    scenario: Text
    target: Texts = ()


def load_curve(asked: LoadCurve) -> Statement:
    """Each plateau of each ended run of a scenario as it was last: users, throughput, latency, errors.

    Only runs that asked the same as the newest one, per target. `knee_users` is where throughput stops
    growing, by the universal scalability law over the plateaus of runs that were not generator-bound;
    empty, with `knee_why`, where none was seen. `rate_per_s` is the arrival rate where that was planned:
    of such runs users are no load, and no knee is looked for. Runs whose single requests are deleted are told
    from their cells, as `tier` says.
    """
    return Statement(
        f"""
        WITH ended AS (
            SELECT run.run_no, run_id, target, scenario_hash, preset, {run_tiers.DELETED} AS by_cells,
                coalesce(is_generator_bound, FALSE) AS bound,
                CASE WHEN by_cells THEN run_tier.began_at ELSE started_at END AS began_at,
                run.ended_at, requested_at,
                CASE json_extract_string(plan, '$.arrivals')
                    WHEN 'users' THEN NULL ELSE json_extract(plan, '$.rate_per_s')::DOUBLE
                END AS rate_per_s
            FROM {run_tiers.FROM_RUNS}
            WHERE scenario = $scenario AND state IN ('finished', 'failed', 'cancelled')
                AND started_at IS NOT NULL AND run.ended_at IS NOT NULL AND {chosen("target", "target")}
        ),
        newest AS (
            SELECT target, arg_max(scenario_hash, run_no) AS scenario_hash FROM ended GROUP BY target
        ),
        same AS (SELECT ended.* FROM ended JOIN newest USING (target, scenario_hash)),
        levels AS (
            SELECT same.*, from_s, least(to_s, {elapsed_s("ended_at")}) AS to_s, users, plateau
            FROM ({PLATEAUS}) JOIN same USING (run_no)
        ),
        placed AS (
            SELECT run_no, from_s, outcome, {RANKS}
            FROM load_request JOIN levels USING (run_no)
            WHERE NOT by_cells AND {LOAD} AND {elapsed_s()} >= from_s AND {elapsed_s()} < to_s
        ),
        counted AS (
            SELECT run_no, from_s, {COUNTS} FROM placed GROUP BY ALL
            UNION ALL BY NAME
            SELECT run_no, from_s, {CELL_COUNTS} FROM run_cell JOIN levels USING (run_no, plateau)
            WHERE by_cells AND {LOAD} AND NOT is_late GROUP BY run_no, from_s
        )
        SELECT target, run_id, preset, requested_at, from_s, to_s, users, rate_per_s,
            requests / (to_s - from_s) AS rps, requests, n, {PERCENTILES},
            failures / requests AS error_ratio, bound AS is_generator_bound, {TIER},
            {", ".join(CELLS)}
        FROM levels JOIN counted USING (run_no, from_s)
        WHERE to_s - from_s >= {SHORTEST_S}
        """,
        {"scenario": asked.scenario, "target": list(asked.target)},
        order="target, users, requested_at, from_s",
        finish=run_tiers.merged({"p50_ms": 50, "p95_ms": 95, "p99_ms": 99}, _with_knees),
    )


def _with_knees(table: pa.Table) -> pa.Table:
    """The rows with the knee of each one's target."""
    targets = np.array(table["target"].to_pylist(), dtype=str)
    users, rps = (table[name].to_numpy().astype(np.float64) for name in ("users", "rps"))
    usable = np.array([rate is None for rate in table["rate_per_s"].to_pylist()], dtype=bool)
    usable &= ~np.array(table["is_generator_bound"].to_pylist(), dtype=bool)
    found = {
        name: knee(users[own], rps[own]) for name in set(targets) for own in [(targets == name) & usable]
    }
    knees = [found[name] for name in targets]
    columns = {
        "knee_users": pa.array([each.users for each in knees], pa.float64()),
        "knee_rps": pa.array([each.most_rps for each in knees], pa.float64()),
        "knee_n": pa.array([each.n for each in knees], pa.int64()),
        "knee_why": pa.array([each.why for each in knees], pa.string()),
    }
    for name, column in columns.items():
        table = table.append_column(name, column)
    return table
