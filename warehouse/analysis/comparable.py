"""Whether two load tests can be compared: ended, of the same scenario, with a steady phase in common."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from warehouse.analysis.phases import Plateau, common_levels, ended_at
from warehouse.analysis.requests import Requests

ENDED = ("finished", "failed", "cancelled")


@dataclass(frozen=True)
class Side:
    """One of two runs. `plan` is its plan as JSON tells it, `labels` names the load's endpoints."""

    run_id: str
    state: str
    scenario_hash: str
    plan: Mapping[str, Any]
    plateaus: Sequence[Plateau]
    length_s: float
    requests: Requests
    labels: Mapping[int, str]

    @cached_property
    def steady(self) -> list[Plateau]:
        """Its plateaus as far as it came."""
        return ended_at(self.plateaus, self.length_s)


def why_not(a: Side, b: Side) -> str:
    """Why two runs cannot be compared; empty where they can."""
    if a.run_id == b.run_id:
        return f"{a.run_id} is compared with itself"
    for side in (a, b):
        if side.state not in ENDED:
            return f"{side.run_id} has not ended: it is {side.state}"
    if a.scenario_hash != b.scenario_hash:
        parts = "; ".join(differing(a.plan, b.plan)) or "what is asked"
        return f"their scenarios differ: {parts}"
    if a.plan.get("rate_per_s") != b.plan.get("rate_per_s"):
        rates = " and ".join(f"{side.plan.get('rate_per_s') or 0:g}/s" for side in (a, b))
        return f"their arrival rates differ: {rates}"
    if not common_levels(a.steady, b.steady):
        held = " and ".join(_held(side) for side in (a, b))
        return f"they have no steady phase in common: {held}"
    return ""


def differing(a: Mapping[str, Any], b: Mapping[str, Any]) -> list[str]:
    """Which parts of two plans' scenarios differ, in words."""
    words = {"order": "order", "think_s": "think time", "pacing_s": "pacing", "arrivals": "arrivals"}
    told = [
        f"{word} is {_short(a.get(name))} and {_short(b.get(name))}"
        for name, word in words.items()
        if _canonical(a.get(name)) != _canonical(b.get(name))
    ]
    own, other = ({request["label"]: request for request in plan.get("requests", ())} for plan in (a, b))
    told += [f"only one asks {label}" for label in sorted(own.keys() ^ other.keys())]
    for label in own.keys() & other.keys():
        parts = [
            part
            for part in sorted((own[label].keys() | other[label].keys()) - {"endpoint"})
            if own[label].get(part) != other[label].get(part)
        ]
        if parts:
            told.append(f"{', '.join(parts)} of {label}")
    if not told and list(own) != list(other):
        told.append("the order of the requests")
    if _token(a) != _token(b):
        told.append("the token request")
    return told


def _token(plan: Mapping[str, Any]) -> Any:
    token = plan.get("token")
    return None if token is None else {**token, "request": {**token.get("request", {}), "endpoint": 0}}


def _canonical(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _short(value: Any) -> str:
    return "none" if value is None else str(value)


def _held(side: Side) -> str:
    levels = ", ".join(f"{each.users} users for {each.to_s - each.from_s:.0f} s" for each in side.steady)
    return f"{side.run_id} held {levels}" if levels else f"{side.run_id} held none"
