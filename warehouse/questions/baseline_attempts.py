"""What is read of probes to hold stretches of time against one another."""

from __future__ import annotations

from collections.abc import Sequence

from warehouse.analysis.stretches import Interval
from warehouse.baseline_rows import EVERY
from warehouse.questions.asking import Piece, chosen


def piece(target: str, endpoints: Sequence[str], intervals: Sequence[Interval]) -> Piece:
    """Single attempts of each stretch (`run`: its place) and endpoint as one list; no endpoint means all."""
    return Piece(
        "requests",
        f"""
        WITH chosen AS (
            SELECT series_id, object AS endpoint FROM series
            WHERE kind = 'probe' AND target = $target AND {chosen("object", "endpoint")}
        ),
        stretch AS (
            SELECT unnest(range(len($starts::TIMESTAMP_MS[]))) AS run,
                unnest($starts::TIMESTAMP_MS[]) AS start_ts, unnest($ends::TIMESTAMP_MS[]) AS until_ts
        ),
        near AS (
            SELECT * FROM {EVERY} WHERE ts >= $first AND ts < $last
                AND series_id IN (SELECT series_id FROM chosen)
        )
        SELECT run, endpoint, list({{
            'at_s': (epoch_ms(ts) - epoch_ms(start_ts)) / 1000, 'outcome': outcome::VARCHAR, 'endpoint': 0,
            'corrected_us': coalesce(if(outcome = 'timeout', deadline_us, total_us), 0)::BIGINT
        }}) AS requests
        FROM near JOIN stretch ON ts >= start_ts AND ts < until_ts JOIN chosen USING (series_id)
        GROUP BY ALL
        """,
        {
            "target": target,
            "endpoint": list(endpoints),
            "starts": [start for start, _ in intervals],
            "ends": [end for _, end in intervals],
            "first": min(start for start, _ in intervals),
            "last": max(end for _, end in intervals),
        },
    )
