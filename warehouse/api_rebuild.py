"""The route that computes all cells anew."""

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
        "description": "A line for each day with how many cells differ, the end; or `error` with why",
        "content": {JSON_LINES: {"schema": {"type": "string", "format": "binary"}}},
    }
}


def rebuild_routes(warehouse: Warehouse, may_act: Callable[..., Token]) -> APIRouter:
    """`/rebuild`, one at a time."""
    router = APIRouter()
    place = Place("it is rebuilt already")

    @router.post("/rebuild", response_class=Response, responses=STEPS | refusals(400, 401, 403, 409, 503))
    def rebuild(_: Annotated[Token, Depends(may_act)]) -> Response:
        """Compute every cell anew where its attempts are kept, and tell which differ."""
        return streamed(place, warehouse.rebuild())

    return router
