"""The switch's endpoints: only from this machine, and not from a web page of another site."""

from __future__ import annotations

import ipaddress
from typing import Any

from fastapi import HTTPException, Request

from demo.faults import EVERY_ENDPOINT, ActiveFault, FaultOn
from demo.service import Service, Serving

QUERYLESS = ("GET /metrics", "GET /api/v1/auth/dev-token", "POST /api/v1/auth/dev-token")


def only_from_here(request: Request) -> None:
    """Refuse what does not come from this machine. Other sites' pages were refused at the door already."""
    client = request.client.host if request.client else ""
    if not client or not ipaddress.ip_address(client).is_loopback:
        raise HTTPException(403, "the switch answers this machine only")


def require_json(request: Request) -> None:
    """Refuse a body that a plain HTML form could have sent."""
    content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if content_type != "application/json":
        raise HTTPException(415, "the switch expects Content-Type: application/json")


async def list_faults(service: Serving) -> dict[str, Any]:
    """What is switched on, and what can be."""
    return {
        "faults": [_described(active) for active in service.board.active()],
        "endpoints": sorted(service.endpoints),
    }


async def set_fault(service: Serving, wanted: FaultOn) -> dict[str, Any]:
    """Switch a fault on, in place of the endpoint's present one."""
    _require_known(service, wanted.endpoint)
    if wanted.slow_query_ms and wanted.endpoint in QUERYLESS:
        raise HTTPException(422, f"{wanted.endpoint} asks the database nothing that could be slow")
    return _described(service.board.switch_on(wanted.endpoint, wanted))


async def clear_faults(service: Serving, endpoint: str | None = None) -> dict[str, int]:
    """Switch an endpoint's fault off, or every one."""
    if endpoint is not None:
        _require_known(service, endpoint)
    return {"cleared": service.board.clear(endpoint)}


def _require_known(service: Service, endpoint: str) -> None:
    if endpoint != EVERY_ENDPOINT and endpoint not in service.endpoints:
        known = ", ".join(sorted(service.endpoints))
        raise HTTPException(422, f"there is no endpoint {endpoint!r}; expected * or one of: {known}")


def _described(active: ActiveFault) -> dict[str, Any]:
    return {
        "endpoint": active.endpoint,
        "fault": active.fault.model_dump(exclude={"endpoint"}),
        "remaining_s": round(active.remaining_s, 1),
    }
