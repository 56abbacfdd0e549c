"""Divides one run among several agents: the first binds Locust's master, the others take seats at it."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from typing import Any

from warehouse.errors import RefusedError


def host_seat(plan: Mapping[str, Any], bind: str, advertise: str) -> dict[str, Any] | None:
    """What the first agent's launcher needs to be the master; None for a run on one machine.

    Its own workers are the first; those of each seat follow. Raises OSError when `bind` is no address here.
    """
    if int(plan.get("agents") or 0) < 2:
        return None
    return {"bind": bind, "advertise": advertise, "port": free_port(bind), "first_worker": 1}


def guest_seat(offer: Mapping[str, Any]) -> dict[str, Any]:
    """What the launcher of a further agent needs, of a seat as the warehouse offers it.

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


def free_port(host: str) -> int:
    """A TCP port of an address of ours that nothing listens on now. Raises OSError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])
