"""What comparisons with baselines answer, and the rules that they are asked by."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import pyarrow as pa
from pydantic import Field

from warehouse.analysis.baseline import Finding, Rules, Verdict
from warehouse.errors import InvalidInputError
from warehouse.questions.asking import Asked

BASELINE_ID = r"^(b[0-9]{14}-[0-9a-f]{6})?$"

COLUMNS = (
    *((name, pa.string()) for name in ("target", "baseline_id", "name", "endpoint", "measure", "unit")),
    *((name, pa.string()) for name in ("verdict", "why")),
    *((name, pa.float64()) for name in ("baseline", "now")),
    ("now_above", pa.bool_()),
    *((name, pa.float64()) for name in ("size", "low", "high", "detectable", "p_value")),
    *((name, pa.int64()) for name in ("n", "n_baseline", "runs")),
    *((name, pa.string()) for name in ("how", "tier", "source")),
    ("error_bound", pa.float64()),
)
"""Columns of a finding."""


class Ruled(Asked):
    """Changes count from `minimum` (a share) and `floor_ms` on; ones of `effect` must not be missed."""

    minimum: Annotated[float, Field(gt=0, le=10)] = Rules().minimum
    floor_ms: Annotated[float, Field(ge=0, le=60_000)] = Rules().floor_ms
    effect: Annotated[float, Field(gt=0, le=10)] = Rules().effect

    @property
    def rules(self) -> Rules:
        return Rules(minimum=self.minimum, floor_ms=self.floor_ms, effect=self.effect)


def no_baseline(target: str, baseline_id: str) -> InvalidInputError:
    """That the target has none: none of this name, or no active one."""
    return InvalidInputError(
        f"{target} has no baseline {baseline_id}".rstrip(),
        field="target",
        hint="Pin one: `perfhouse baseline pin`.",
    )


def common(target: str, pinned: Mapping[str, Any], how: str) -> dict[str, Any]:
    """What all findings of one comparison have in common."""
    return {
        "target": target,
        "baseline_id": pinned["baseline_id"],
        "name": pinned["name"],
        "how": how,
        "tier": "raw",
        "source": "probe" if pinned["kind"] == "period" else "load test",
        "error_bound": 0.0,
    }


def row(found: Finding) -> dict[str, Any]:
    """A finding as a row, without what all of its comparison have in common."""
    return {
        "endpoint": found.endpoint,
        "measure": found.measure,
        "unit": found.unit,
        "verdict": found.verdict.value,
        "why": found.why,
        "baseline": found.baseline,
        "now": found.now,
        "now_above": found.now_is_above,
        "size": found.size,
        "low": found.low,
        "high": found.high,
        "detectable": found.detectable,
        "p_value": found.p,
        "n": found.n_now,
        "n_baseline": found.n_baseline,
        "runs": found.runs,
    }


def unknown(why: str) -> dict[str, Any]:
    """What a comparison that cannot be made has in place of findings."""
    return {
        **dict.fromkeys(("endpoint", "measure", "unit"), ""),
        **dict.fromkeys(("baseline", "now", "size", "low", "high", "detectable", "p_value")),
        "verdict": Verdict.NOT_ENOUGH_DATA.value,
        "why": why,
        "now_above": False,
        **dict.fromkeys(("n", "n_baseline", "runs"), 0),
    }
