"""The route that computes all cells anew."""

import threading
from collections.abc import Callable
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Response

from warehouse.api_steps import lines
from warehouse.declared import JSON_LINES, refusals
from warehouse.errors import RefusedError
from warehouse.service import Warehouse
from warehouse.streamed import Streamed
from warehouse.tokens import Token

STEPS: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "A line for each day with how many cells differ, the end; or `error` with why",
        "content": {JSON_LINES: {"schema": {"type": "string", "format": "binary"}}},
    }
}


def rebuild_routes(warehouse: Warehouse, may_act: Callable[..., Token]) -> APIRouter:
    """`/rebuild`, one at a time."""
    router = APIRouter()
    place = threading.BoundedSemaphore(1)

    @router.post("/rebuild", response_class=Response, responses=STEPS | refusals(400, 401, 403, 409, 503))
    def rebuild(_: Annotated[Token, Depends(may_act)]) -> Response:
        """Compute every cell anew where its attempts are kept, and tell which differ."""
        if not place.acquire(blocking=False):
            raise RefusedError("it is rebuilt already", "Try again when that has ended.", status=409)
        steps = lines(warehouse.upkeep.rebuild(), place)
        return Streamed(next(steps), steps, media_type=JSON_LINES)

    return router
