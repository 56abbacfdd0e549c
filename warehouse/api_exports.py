"""Routes that stream answers of any length, and tell how far each has come."""

import asyncio
import logging
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Annotated, Any

import anyio
from anyio import to_thread
from fastapi import APIRouter, Depends, Header, Request, Response
from pydantic import BaseModel
from starlette.types import Receive, Send
from starlette.types import Scope as AsgiScope

from warehouse.api_questions import FORMAT, Question, form_of, query_of
from warehouse.declared import JSON_LINES, answer, refusals
from warehouse.errors import PerfhouseError, RefusedError
from warehouse.export import MEDIA_TYPES, render_blocks
from warehouse.exports import Export
from warehouse.questions import QUESTIONS
from warehouse.service import Warehouse
from warehouse.simulated import HEADER
from warehouse.tokens import Token

INTERRUPT_EVERY_S = 0.05
STALLED_S = 300.0
"""An export that nobody reads for so long is broken off: it holds one of few places."""

log = logging.getLogger(__name__)


class ExportState(BaseModel):
    """How far an export has come; `total_rows` is null where nobody counted."""

    id: str
    question: str
    state: str
    rows: int
    total_rows: int | None
    started_at: datetime


def export_routes(warehouse: Warehouse, may_read: Callable[..., Token]) -> APIRouter:
    """`/export` for each question, and `/exports/ID`."""
    router = APIRouter(responses=refusals(400, 401, 403))

    @router.get("/exports/{export_id}", responses=refusals(404, 422))
    def state(export_id: str, token: Annotated[Token, Depends(may_read)]) -> ExportState:
        """How far an export of this token has come. The last few are remembered."""
        export = warehouse.exports.find(export_id, token.name)
        if export is None:
            raise RefusedError("no export of yours has this id", "It may have ended long ago.", status=404)
        return ExportState(
            id=export.export_id,
            question=export.question,
            state=export.state,
            rows=export.rows,
            total_rows=export.total,
            started_at=export.started_at,
        )

    for name, question in QUESTIONS.items():
        router.add_api_route(
            f"/export/{name}",
            _exporter(warehouse, name, question, may_read),
            summary=f"{name}, streamed",
            responses=answer(streamed=True) | refusals(406, 409, 413, 422, 429, 503, 504),
            response_class=Response,
        )
    return router


def _exporter(
    warehouse: Warehouse, name: str, question: Question, may_read: Callable[..., Token]
) -> Callable[..., Any]:
    async def export(
        request: Request,
        token: Annotated[Token, Depends(may_read)],
        asked: Any,
        x_export_id: Annotated[str | None, Header(pattern="^[A-Za-z0-9_-]{16,64}$")] = None,
    ) -> Response:
        form = form_of(request, asked.form, "csv")
        statement = question(asked)
        running = warehouse.exports.begin(x_export_id, token.name, name)
        blocks = render_blocks(warehouse.reader.stream(statement, running), form)
        first = await _first(request, blocks, running)
        ending = "jsonl" if form == "json" else form
        headers = {
            "content-type": JSON_LINES if form == "json" else MEDIA_TYPES[form],
            "content-disposition": f'attachment; filename="{name}.{ending}"',
            "x-export-id": running.export_id,
        }
        if warehouse.store.simulated:
            headers[HEADER] = "true"
        if running.total is not None:
            headers["x-total-rows"] = str(running.total)
        return _Streamed(first, blocks, running, headers)

    export.__annotations__["asked"] = query_of(question, form=FORMAT)
    return export


async def _first(request: Request, blocks: Iterator[bytes], running: Export) -> bytes:
    """The first bytes; when the reader goes away before, what runs is interrupted."""
    watching = asyncio.create_task(_watch(request.receive, running))
    try:
        return await to_thread.run_sync(next, blocks, b"")
    finally:
        watching.cancel()


async def _watch(receive: Receive, running: Export) -> None:
    """Interrupt what runs, again and again, from when the reader went away."""
    while (await receive())["type"] != "http.disconnect":
        pass
    while True:
        running.interrupt()
        await asyncio.sleep(INTERRUPT_EVERY_S)


class _Streamed(Response):
    """Sends blocks as fast as they are read. A stream that fails ends without the mark of its end.

    The reader then knows that what it got is not whole.
    """

    def __init__(
        self, first: bytes, blocks: Iterator[bytes], running: Export, headers: dict[str, str]
    ) -> None:
        super().__init__(headers=headers)
        del self.headers["content-length"]
        self._first = first
        self._blocks = blocks
        self._running = running

    async def __call__(self, scope: AsgiScope, receive: Receive, send: Send) -> None:
        del scope
        watching = asyncio.create_task(_watch(receive, self._running))
        try:
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            await self._send_all(send)
        except PerfhouseError as error:
            log.warning("the export of %s broke off: %s", self._running.question, error)
        finally:
            watching.cancel()
            with anyio.CancelScope(shield=True):
                await to_thread.run_sync(self._blocks.close)  # type: ignore[attr-defined]

    async def _send_all(self, send: Send) -> None:
        block: bytes | None = self._first
        while block is not None and not self._running.unwanted:
            with anyio.move_on_after(STALLED_S) as patience:
                await send({"type": "http.response.body", "body": block, "more_body": True})
            if patience.cancelled_caught:
                log.warning("nobody read the export of %s for %d s", self._running.question, STALLED_S)
                return
            block = await to_thread.run_sync(next, self._blocks, None)
        if block is None:
            await send({"type": "http.response.body", "body": b"", "more_body": False})
