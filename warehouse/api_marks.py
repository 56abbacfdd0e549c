"""Routes by which people and pipelines mark deploys."""

import secrets
from collections.abc import Callable
from typing import Annotated

from fastapi import APIRouter, Depends, Path

from warehouse import marks
from warehouse.access import Asker
from warehouse.acting import audited
from warehouse.api_askers import RequestId, asking
from warehouse.audited import audited_route
from warehouse.declared import refusals
from warehouse.marks import MarkAnswer, MarkRequest
from warehouse.service import Warehouse
from warehouse.tokens import Token

MarkId = Annotated[str, Path(max_length=64, pattern=r"^[^\x00-\x1f\x7f]+$")]


def mark_routes(warehouse: Warehouse, may_act: Callable[..., Token]) -> APIRouter:
    """`/marks`: add one, remove one. Either is in the audit log."""
    router = APIRouter(
        responses=refusals(400, 401, 403, 422, 503),
        route_class=audited_route(warehouse.refusals, warehouse.keyring),
    )

    acts = Annotated[Asker, Depends(asking(may_act))]

    @router.post("/marks", status_code=201)
    def mark(asked: MarkRequest, asks: acts, x_request_id: RequestId = None) -> MarkAnswer:
        """Mark a deploy. The same X-Request-Id again changes nothing."""
        request_id = f"{asks.token.name}:{x_request_id or secrets.token_urlsafe(16)}"
        targets = {target.name for target in warehouse.settings.target}
        subject = f"{asked.version} to {asked.target or 'all targets'}"
        return audited(
            warehouse,
            asks,
            "mark",
            subject,
            lambda held: marks.add(held, asked, targets, asks.name, request_id),
            told=lambda answer: f"{subject} is {answer.mark_id}",
        )

    @router.delete("/marks/{mark_id}", responses=refusals(404))
    def unmark(mark_id: MarkId, asks: acts) -> MarkAnswer:
        """Remove a mark."""
        return audited(warehouse, asks, "unmark", mark_id, lambda held: marks.remove(held, mark_id))

    return router
