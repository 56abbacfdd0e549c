"""How many attempts kept the limit of their endpoint (`objective_ms`), joined over the tiers. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from warehouse.objectives import COUNTED, COUNTS, LIMITS
from warehouse.questions import sources
from warehouse.questions.asking import Piece, Tables
from warehouse.questions.sources import Sources

NAME = "within"


def piece(read: Sources, series: str) -> Piece:
    """Counts of each series that has a limit, over the cells that were counted with it, and attempts.

    `from_ts` and `until_ts` is what these span.
    """
    parts = []
    if read.parts:
        names = f"ts, series_id, limit_us, width_s, {', '.join(COUNTS)}"
        cells = sources.union(read.parts, names, series, of="above")
        sums = ", ".join(f"sum({name}) AS {name}" for name in COUNTS)
        parts.append(
            f"SELECT series_id, {sums}, min(ts) AS from_ts, max(ts + to_seconds(width_s)) AS until_ts "
            f"FROM ({cells}) JOIN limits USING (series_id, limit_us) GROUP BY 1"
        )
    if read.raw or read.binned:
        columns = "ts, series_id, outcome, total_us, deadline_us"
        attempts = sources.union((*read.raw, *read.binned), columns, series)
        parts.append(
            f"SELECT series_id, {COUNTED}, min(ts) AS from_ts, max(ts) AS until_ts "
            f"FROM ({attempts}) JOIN limits USING (series_id) GROUP BY 1"
        )
    if not parts:
        parts.append(
            f"SELECT NULL::INTEGER AS series_id, {', '.join(f'0 AS {name}' for name in COUNTS)}, "
            "NULL::TIMESTAMP AS from_ts, NULL::TIMESTAMP AS until_ts"
        )
    sums = ", ".join(f"coalesce(sum({name}), 0)::BIGINT AS {name}" for name in COUNTS)
    union = "\nUNION ALL BY NAME ".join(parts)
    return Piece(
        NAME,
        f"""
        WITH limits AS ({LIMITS}), counted AS ({union})
        SELECT series_id, limit_us, {sums}, min(from_ts)::TIMESTAMP_MS AS from_ts,
            max(until_ts)::TIMESTAMP_MS AS until_ts
        FROM limits LEFT JOIN counted USING (series_id) GROUP BY series_id, limit_us
        """,
    )


def columns(tables: Tables, series: Sequence[int], n: Sequence[int]) -> dict[str, pa.Array]:
    """The columns of an answer whose rows are of these series and stand on `n` attempts each.

    `within_ratio` is of the attempts of which it is known, and empty where there are none: no data is no
    pass. `objective_from` and `objective_until` tell what was counted where that is less than the window.
    """
    known = {row["series_id"]: row for row in tables[NAME].to_pylist()} if NAME in tables else {}
    found: list[dict[str, Any]] = [known.get(each, {}) for each in series]
    sums = [sum(row.get(name, 0) for name in COUNTS) for row in found]
    parted = [bool(row) and total < own for row, total, own in zip(found, sums, n, strict=True)]
    return {
        "objective_ms": pa.array([row["limit_us"] / 1000 if row else None for row in found], pa.float64()),
        **{name: pa.array([row.get(name) for row in found], pa.int64()) for name in COUNTS},
        "within_ratio": pa.array([_ratio(row) for row in found], pa.float64()),
        **{
            f"objective_{edge}": pa.array(
                [row[f"{edge}_ts"] if part else None for row, part in zip(found, parted, strict=True)],
                pa.timestamp("ms"),
            )
            for edge in ("from", "until")
        },
    }


def _ratio(row: dict[str, Any]) -> float | None:
    told = row.get("n_within", 0) + row.get("n_above", 0)
    return row["n_within"] / told if told else None
