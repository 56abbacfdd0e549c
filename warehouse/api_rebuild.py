"""The route that computes all cells anew."""

import logging
import threading
from collections.abc import Callable, Generator
from contextlib import ExitStack
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Depends, Response

from warehouse.declared import JSON_LINES, refusals
from warehouse.errors import PerfhouseError, RefusedError
from warehouse.service import Warehouse
from warehouse.streamed import Streamed
from warehouse.tokens import Token

log = logging.getLogger(__name__)

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
        steps = _steps(warehouse, place)
        return Streamed(next(steps), steps, media_type=JSON_LINES)

    return router


def _steps(warehouse: Warehouse, place: threading.BoundedSemaphore) -> Generator[bytes]:
    """The steps as lines; what goes wrong once they were begun is the last of them."""
    with ExitStack() as ending:
        ending.callback(place.release)
        first = True
        try:
            for step in warehouse.upkeep.rebuild():
                yield orjson.dumps(step, option=orjson.OPT_APPEND_NEWLINE)
                first = False
        except PerfhouseError as error:
            if first:
                raise
            log.warning("not rebuilt: %s", error)
            told = {"part": "error", "message": error.message, "hint": error.hint}
            yield orjson.dumps(told, option=orjson.OPT_APPEND_NEWLINE)
