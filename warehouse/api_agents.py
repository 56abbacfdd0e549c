"""Routes by which load agents get their work and tell of it."""

import asyncio
from collections.abc import Callable
from typing import Annotated, Any

from anyio import to_thread
from duckdb import DuckDBPyConnection
from fastapi import APIRouter, Depends, Header, Path, Request

from warehouse import audit, run_orders
from warehouse.bodies import read_body
from warehouse.declared import refusals
from warehouse.model import now
from warehouse.run_model import (
    RUN_ID,
    Claim,
    Missed,
    Noted,
    Orders,
    Report,
    RowsReceipt,
    RunAnswer,
    SpoolState,
)
from warehouse.run_rows import (
    events_ack,
    last_pieces,
    piece,
    read_events,
    read_requests,
    requests_ack,
    store_events,
    store_requests,
)
from warehouse.runs import find
from warehouse.service import Warehouse
from warehouse.tokens import Token
from warehouse.transaction import transaction

SPOOL: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
    }
}
"""The declared body of a piece of a spool."""

NOTHING = Orders()
"""There is nothing to do."""

RunId = Annotated[str, Path(pattern=RUN_ID)]
BatchId = Annotated[str, Header(alias="X-Batch-Id", max_length=100)]
Worker = Annotated[int, Header(alias="X-Worker", ge=0, le=65535)]


def agent_routes(warehouse: Warehouse, may_load: Callable[..., Token]) -> APIRouter:
    """`/agent/claim` and `/agent/missed`, `/runs/ID/report`, `/rows` and `/events`."""
    router = APIRouter(dependencies=[Depends(may_load)], responses=refusals(400, 401, 403, 422, 503))
    most_bytes = warehouse.settings.warehouse.max_body_mb * 1_000_000

    @router.post("/agent/claim")
    async def claim(asked: Claim) -> Orders:
        """What there is to do for a load agent: a run to start, runs to cancel, runs to help with."""
        return await _orders(warehouse, asked)

    @router.post("/agent/missed")
    def missed(told: Missed) -> Noted:
        """Note in the audit log that a scheduled run was missed; told again it changes nothing."""

        def work(connection: DuckDBPyConnection) -> bool:
            with transaction(connection):
                return audit.note_missed(connection, told)

        return Noted(is_new=warehouse.writer.submit(work).result())

    @router.post("/runs/{run_id}/report", responses=refusals(404, 409))
    def report(run_id: RunId, told: Report) -> RunAnswer:
        """How a run does. When all it measured is stored it is judged."""

        def work(connection: DuckDBPyConnection) -> RunAnswer:
            with transaction(connection):
                return run_orders.report(connection, run_id, told)

        answer = warehouse.writer.submit(work).result()
        if told.complete:
            warehouse.judge.judge_due()
            judged = warehouse.writer.submit(lambda held: find(held, run_id, "state, verdict")).result()
            answer = RunAnswer(run_id=run_id, **judged)
        return answer

    @router.get("/runs/{run_id}/spool", responses=refusals(404))
    def spool(run_id: RunId) -> SpoolState:
        """The last piece of each file that is stored, for an agent that does not know any more."""
        return warehouse.writer.quietly(lambda held: last_pieces(held, run_id)).result()

    @router.post("/runs/{run_id}/rows", responses=refusals(404, 413), openapi_extra=SPOOL)
    async def rows(request: Request, run_id: RunId, x_batch_id: BatchId, x_worker: Worker) -> RowsReceipt:
        """Store a piece of a spool's requests once: rows of 32 bytes."""
        named = piece(run_id, x_batch_id, x_worker)
        body = await read_body(request, most_bytes)
        table = await to_thread.run_sync(read_requests, body, now())
        stored = await asyncio.wrap_future(
            warehouse.writer.store(
                lambda held: store_requests(held, named, table), requests_ack(named, table)
            )
        )
        return RowsReceipt(batch_id=x_batch_id, stored=stored, rows=table.num_rows)

    @router.post("/runs/{run_id}/events", responses=refusals(404, 413), openapi_extra=SPOOL)
    async def events(request: Request, run_id: RunId, x_batch_id: BatchId, x_worker: Worker) -> RowsReceipt:
        """Store a piece of a spool's events once: lines of JSON. Lines that cannot be read are counted."""
        named = piece(run_id, x_batch_id, x_worker)
        body = await read_body(request, most_bytes)
        lines, skipped = await to_thread.run_sync(read_events, body, now())
        stored = await asyncio.wrap_future(
            warehouse.writer.store(lambda held: store_events(held, named, lines), events_ack(named, lines))
        )
        return RowsReceipt(batch_id=x_batch_id, stored=stored, rows=len(lines), skipped=skipped)

    return router


async def _orders(warehouse: Warehouse, asked: Claim) -> Orders:
    """What a claim is answered: from memory where nothing changed since it was answered with nothing."""
    writer, agents = warehouse.writer, warehouse.agents
    if agents.is_idle(asked, writer.changes):
        return NOTHING

    def work(connection: DuckDBPyConnection) -> Orders:
        with transaction(connection):
            orders = agents.claim(connection, asked)
        if orders == NOTHING:
            agents.note_idle(asked, writer.changes)
        else:
            writer.changes += 1  # on the writer's thread, as every other change
        return orders

    return await asyncio.wrap_future(writer.quietly(work))
