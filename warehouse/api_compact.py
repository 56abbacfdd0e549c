"""The route that gives freed room back to the disk."""

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
        "description": "A line for each step: rows copied, catching up, the end; or `error` with why not",
        "content": {JSON_LINES: {"schema": {"type": "string", "format": "binary"}}},
    }
}


def compact_routes(warehouse: Warehouse, may_act: Callable[..., Token]) -> APIRouter:
    """`/compact`, one at a time."""
    router = APIRouter()
    place = threading.BoundedSemaphore(1)

    @router.post("/compact", response_class=Response, responses=STEPS | refusals(400, 401, 403, 409, 503))
    def compact(_: Annotated[Token, Depends(may_act)]) -> Response:
        """Copy the warehouse into a new file while it goes on, and put that in the place of this one."""
        if not place.acquire(blocking=False):
            raise RefusedError("it is compacted already", "Try again when that has ended.", status=409)
        steps = lines(warehouse.compact(), place)
        return Streamed(next(steps), steps, media_type=JSON_LINES)

    return router
