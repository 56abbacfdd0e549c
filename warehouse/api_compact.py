"""The route that gives freed room back to the disk."""

from collections.abc import Callable
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Response

from warehouse.api_steps import streamed
from warehouse.declared import JSON_LINES, refusals
from warehouse.place import Place
from warehouse.service import Warehouse
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
    place = Place("it is compacted already")

    @router.post("/compact", response_class=Response, responses=STEPS | refusals(400, 401, 403, 409, 503))
    def compact(_: Annotated[Token, Depends(may_act)]) -> Response:
        """Copy the warehouse into a new file while it goes on, and put that in the place of this one."""
        return streamed(place, warehouse.compact())

    return router
