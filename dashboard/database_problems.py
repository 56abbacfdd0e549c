"""What is wrong with databases, in words: which part, since when, and what to do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from dashboard import format as fmt
from dashboard.controls import Scene
from dashboard.database_advice import QUIET, WORDS, advice, gravity
from dashboard.database_charts import CONNECTIONS_BAND
from dashboard.lock_tree import Session, trees
from dashboard.problems import since_when

POOL_ADVICE = "Find who holds them, lower the pools' sizes, or raise the server's limit before it refuses."
LOCK_ADVICE = "Below, under Locks, is who waits for whom; end the transaction that holds them up."
MOST_NAMED = 3


@dataclass
class Found:
    """Problems, and what is only worth a warning: lines of Markdown."""

    problems: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def add(self, gravity_: str, text: str) -> None:
        """Keep one more line."""
        (self.problems if gravity_ == "critical" else self.warnings).append(text)


def found(
    scene: Scene,
    states: pl.DataFrame | None,
    now: pl.DataFrame | None = None,
    waits: pl.DataFrame | None = None,
) -> Found:
    """Everything that is wrong with the databases these answers tell of, the gravest first."""
    told = Found()
    for row in [] if states is None else _gravest_first(states):
        if row["state"] not in QUIET and not row["is_silent"]:
            told.add(gravity(row["part"], row["state"]), _of_part(scene, row))
    for row in [] if now is None else now.filter(pl.col("metric") == "connections_used_ratio").to_dicts():
        band = CONNECTIONS_BAND.state(row["value"])
        if band in ("warning", "critical"):
            told.add(band, _of_pool(now, row, band))
    for target, roots in _roots(waits):
        told.add("warning", _of_locks(target, roots))
    return told


def _gravest_first(states: pl.DataFrame) -> list[dict[str, Any]]:
    order = {"critical": 0, "warning": 1}
    rows = states.to_dicts()
    return sorted(
        rows,
        key=lambda row: (order.get(gravity(row["part"], row["state"]), 2), row["target"], row["part"]),
    )


def _of_part(scene: Scene, row: Mapping[str, Any]) -> str:
    """`**main** connection: server down since 14:03:20 (2 min ago): refused. What to do.`"""
    said = f": {fmt.plain(row['text'])}" if row["text"] else ""
    part = "" if row["part"] == "connection" else f" {fmt.plain(row['part'])}"
    words = WORDS.get(row["state"], row["state"])
    what = (
        f"**{fmt.plain(row['target'])}**{part}: {fmt.plain(words)}{since_when(scene, row['since_at'])}{said}"
    )
    return f"{what}. {advice(row['engine'], row['part'], row['state'])}".strip()


def _of_pool(now: pl.DataFrame | None, row: Mapping[str, Any], band: str) -> str:
    limit = CONNECTIONS_BAND.critical if band == "critical" else CONNECTIONS_BAND.warning
    name = fmt.plain(row["target"])
    return (
        f"**{name}**: connections are {band}, {pool_words(now, row['target'])} "
        f"({fmt.ratio(row['value'])}, {band} from {fmt.ratio(limit)}). {POOL_ADVICE}"
    )


def pool_words(now: pl.DataFrame | None, target: str) -> str:
    """`48 of 57 usable`; only what is known."""
    used, usable = (value_of(now, target, metric) for metric in ("connections", "connections_usable"))
    if used is None:
        return fmt.NOTHING
    return f"{fmt.count(used)} of {fmt.count(usable)} usable" if usable is not None else fmt.count(used)


def value_of(now: pl.DataFrame | None, target: str, metric: str, thing: str = "") -> float | None:
    """The newest value of one metric; None where there is none."""
    if now is None:
        return None
    rows = now.filter(
        (pl.col("target") == target) & (pl.col("metric") == metric) & (pl.col("object") == thing)
    )
    value = rows["value"][0] if len(rows) else None
    return None if value is None else float(value)


def _roots(waits: pl.DataFrame | None) -> list[tuple[str, list[Session]]]:
    if waits is None or waits.is_empty():
        return []
    parts = waits.partition_by("target", as_dict=True)
    return [(str(target), trees(own.to_dicts())) for (target,), own in sorted(parts.items())]


def _of_locks(target: str, roots: list[Session]) -> str:
    blocked = sum(root.blocked for root in roots)
    named = [fmt.plain(f"{root.application or root.user} (pid {root.pid})") for root in roots[:MOST_NAMED]]
    more = f" and {len(roots) - MOST_NAMED} more" if len(roots) > MOST_NAMED else ""
    waiting = fmt.plural(blocked, "session waits", "sessions wait")
    return f"**{fmt.plain(target)}**: {waiting} for locks held by {', '.join(named)}{more}. {LOCK_ADVICE}"
