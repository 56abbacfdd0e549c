"""The route that proves the warehouse's file sound."""

from collections.abc import Callable, Iterator
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Response

from warehouse.api_steps import streamed
from warehouse.declared import JSON_LINES, refusals
from warehouse.place import Place
from warehouse.service import Warehouse
from warehouse.tokens import Token
from warehouse.verify import Step, verify

STEPS: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "A line for each step: the file's blocks, each table, the end",
        "content": {JSON_LINES: {"schema": {"type": "string", "format": "binary"}}},
    }
}


def verify_routes(warehouse: Warehouse, may_read: Callable[..., Token]) -> APIRouter:
    """`/verify`, one at a time and outside the places of questions and exports."""
    router = APIRouter()
    place = Place("it is verified already")

    @router.get("/verify", response_class=Response, responses=STEPS | refusals(400, 401, 403, 409, 503))
    def verified(_: Annotated[Token, Depends(may_read)]) -> Response:
        """Read every block of the file from the disk and every row; what is damaged is named."""
        return streamed(place, _steps(warehouse))

    return router


def _steps(warehouse: Warehouse) -> Iterator[Step]:
    with warehouse.store.lend() as lease:
        yield from verify(lease, warehouse.store.path, alone=False)
