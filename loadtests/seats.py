"""Divides one run among several agents: the first binds Locust's master, the others take seats at it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from warehouse.errors import RefusedError


def host_seat(plan: Mapping[str, Any], bind: str, advertise: str) -> dict[str, Any] | None:
    """The first agent's part: where its master listens, and where others reach it. None for a run alone."""
    if int(plan.get("agents") or 0) < 2:
        return None
    return {"bind": bind, "advertise": advertise}


def guest_seat(offer: Mapping[str, Any]) -> dict[str, Any]:
    """A further agent's part, of a seat as the warehouse offers it.

    Raises RefusedError for an offer that is none.
    """
    try:
        return {
            "master_host": str(offer["master_host"]),
            "master_port": int(offer["master_port"]),
            "first_worker": int(offer["first_worker"]),
        }
    except (KeyError, TypeError, ValueError) as error:
        raise RefusedError(f"the warehouse offered half a seat ({error})") from None


def arguments(seat: Mapping[str, Any] | None) -> Sequence[str]:
    """How the launcher is told of its part."""
    if seat is None:
        return []
    if "master_host" not in seat:
        return ["--bind", seat["bind"]]
    master = f"{seat['master_host']}:{seat['master_port']}"
    return ["--seat", "--master", master, "--first-worker", str(seat["first_worker"])]
