"""Routes by which people and programs request load tests, stop them, and keep their history in order."""

import secrets
from collections.abc import Callable
from typing import Annotated

from duckdb import DuckDBPyConnection
from fastapi import APIRouter, Depends, Path

from warehouse import runs
from warehouse.access import Asker
from warehouse.acting import audited
from warehouse.api_askers import RequestId, asking
from warehouse.audited import audited_route
from warehouse.declared import refusals
from warehouse.plan import make_plan
from warehouse.run_model import RUN_ID, Note, Pin, RunAnswer, RunRequest
from warehouse.service import Warehouse
from warehouse.tokens import Token

RunId = Annotated[str, Path(pattern=RUN_ID)]


def run_routes(
    warehouse: Warehouse, may_launch: Callable[..., Token], may_act: Callable[..., Token]
) -> APIRouter:
    """`/runs`: request, cancel, pin, note, delete. Every one of them is in the audit log."""
    router = APIRouter(
        responses=refusals(400, 401, 403, 422, 503),
        route_class=audited_route(warehouse.refusals, warehouse.keyring),
    )

    acts = Annotated[Asker, Depends(asking(may_act))]

    @router.post("/runs", status_code=201, responses=refusals(409))
    def request(
        asked: RunRequest, asks: Annotated[Asker, Depends(asking(may_launch))], x_request_id: RequestId = None
    ) -> RunAnswer:
        """Request a load test. The same X-Request-Id again changes nothing."""
        request_id = f"{asks.token.name}:{x_request_id or secrets.token_urlsafe(16)}"

        def work(connection: DuckDBPyConnection) -> RunAnswer:
            plan = make_plan(warehouse.settings, asked.target, asked.preset, asked.scenario)
            runs.refuse_unconfirmed(plan, asked.confirm, asked.via)
            return runs.request(connection, plan, asked, asks.name, request_id)

        subject = f"{asked.preset} at {asked.target}"
        return audited(
            warehouse,
            asks,
            "launch",
            subject,
            work,
            via=asked.via,
            launches=True,
            told=lambda answer: f"{subject} is {answer.run_id}",
        )

    @router.post("/runs/{run_id}/cancel", responses=refusals(404, 409))
    def cancel(run_id: RunId, asks: acts) -> RunAnswer:
        """Stop a run gracefully; what it measured is kept."""
        return audited(warehouse, asks, "cancel", run_id, lambda held: runs.cancel(held, run_id, asks.name))

    @router.post("/runs/{run_id}/baseline", responses=refusals(404))
    def pin(run_id: RunId, asked: Pin, asks: acts) -> RunAnswer:
        """Keep a run for ever, its requests included, or no longer."""
        action = "pin" if asked.pinned else "unpin"
        return audited(
            warehouse, asks, action, run_id, lambda held: runs.pin(held, run_id, pinned=asked.pinned)
        )

    @router.post("/runs/{run_id}/note", responses=refusals(404))
    def note(run_id: RunId, asked: Note, asks: acts) -> RunAnswer:
        """Replace the note on a run."""
        return audited(warehouse, asks, "note", run_id, lambda held: runs.annotate(held, run_id, asked.text))

    @router.delete("/runs/{run_id}", responses=refusals(404, 409))
    def delete(run_id: RunId, asks: acts) -> RunAnswer:
        """Delete a run that has ended and is no baseline, with all it measured."""
        return audited(warehouse, asks, "delete", run_id, lambda held: runs.delete(held, run_id))

    return router
