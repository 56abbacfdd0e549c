"""The route that proves the warehouse's file sound."""

import threading
from collections.abc import Callable, Generator
from contextlib import ExitStack
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Depends, Response

from warehouse.declared import JSON_LINES, refusals
from warehouse.errors import RefusedError
from warehouse.service import Warehouse
from warehouse.streamed import Streamed
from warehouse.tokens import Token
from warehouse.verify import verify

STEPS: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "A line for each step: the file's blocks, each table, the end",
        "content": {JSON_LINES: {"schema": {"type": "string", "format": "binary"}}},
    }
}


def verify_routes(warehouse: Warehouse, may_read: Callable[..., Token]) -> APIRouter:
    """`/verify`, one at a time and outside the places of questions and exports."""
    router = APIRouter()
    place = threading.BoundedSemaphore(1)

    @router.get("/verify", response_class=Response, responses=STEPS | refusals(400, 401, 403, 409, 503))
    def verified(_: Annotated[Token, Depends(may_read)]) -> Response:
        """Read every block of the file from the disk and every row; what is damaged is named."""
        if not place.acquire(blocking=False):
            raise RefusedError("it is verified already", "Try again when that has ended.", status=409)
        steps = _steps(warehouse, place)
        return Streamed(next(steps), steps, media_type=JSON_LINES)

    return router


def _steps(warehouse: Warehouse, place: threading.BoundedSemaphore) -> Generator[bytes]:
    """The steps as lines; the place is free again at their end."""
    with ExitStack() as ending:
        ending.callback(place.release)
        lease = ending.enter_context(warehouse.store.lend())
        for step in verify(lease, warehouse.store.path, alone=False):
            yield orjson.dumps(step, option=orjson.OPT_APPEND_NEWLINE)
