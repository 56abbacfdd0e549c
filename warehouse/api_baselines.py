"""Routes by which people and pipelines pin baselines."""

import secrets
from collections.abc import Callable
from typing import Annotated

from fastapi import APIRouter, Depends, Path

from warehouse import baselines
from warehouse.access import Asker
from warehouse.acting import audited
from warehouse.api_askers import RequestId, asking
from warehouse.audited import audited_route
from warehouse.baselines import BaselineAnswer, BaselineRequest
from warehouse.declared import refusals
from warehouse.service import Warehouse
from warehouse.tokens import Token

BaselineId = Annotated[str, Path(max_length=64, pattern=r"^[^\x00-\x1f\x7f]+$")]


def baseline_routes(warehouse: Warehouse, may_act: Callable[..., Token]) -> APIRouter:
    """`/baselines`: pin one, make one the active of its target, remove one. All are in the audit log."""
    router = APIRouter(
        responses=refusals(400, 401, 403, 422, 503),
        route_class=audited_route(warehouse.refusals, warehouse.keyring),
    )

    acts = Annotated[Asker, Depends(asking(may_act))]

    @router.post("/baselines", status_code=201, responses=refusals(404, 409))
    def pin_baseline(asked: BaselineRequest, asks: acts, x_request_id: RequestId = None) -> BaselineAnswer:
        """Pin a period or load tests. The same X-Request-Id again changes nothing."""
        request_id = f"{asks.token.name}:{x_request_id or secrets.token_urlsafe(16)}"
        subject = f"{asked.name} of {asked.target}"
        return audited(
            warehouse,
            asks,
            "pin_baseline",
            subject,
            lambda held: baselines.pin(held, asked, asks.name, request_id),
            told=lambda answer: f"{subject} is {answer.baseline_id}",
        )

    @router.post("/baselines/{baseline_id}/activate", responses=refusals(404))
    def activate_baseline(baseline_id: BaselineId, asks: acts) -> BaselineAnswer:
        """Compare with this one of its target's from now on."""
        return audited(
            warehouse,
            asks,
            "activate_baseline",
            baseline_id,
            lambda held: baselines.activate(held, baseline_id),
        )

    @router.delete("/baselines/{baseline_id}", responses=refusals(404))
    def remove_baseline(baseline_id: BaselineId, asks: acts) -> BaselineAnswer:
        """Remove a baseline: what only it kept ages from now on."""
        return audited(
            warehouse, asks, "remove_baseline", baseline_id, lambda held: baselines.remove(held, baseline_id)
        )

    return router
