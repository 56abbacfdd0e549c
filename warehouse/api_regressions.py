"""Routes by which people acknowledge, resolve and reopen regressions."""

from collections.abc import Callable
from typing import Annotated

from fastapi import APIRouter, Depends, Path

from warehouse import regression_life
from warehouse.access import Asker
from warehouse.acting import audited
from warehouse.api_askers import asking
from warehouse.audited import audited_route
from warehouse.declared import refusals
from warehouse.regression_life import Life, LifeAnswer
from warehouse.service import Warehouse
from warehouse.tokens import Token

RegressionId = Annotated[str, Path(max_length=64, pattern=r"^[^\x00-\x1f\x7f]+$")]


def regression_routes(warehouse: Warehouse, may_act: Callable[..., Token]) -> APIRouter:
    """`/regressions/ID`: what somebody makes of it, which is in the audit log."""
    router = APIRouter(
        responses=refusals(400, 401, 403, 404, 409, 422, 503),
        route_class=audited_route(warehouse.refusals, warehouse.keyring),
    )

    acts = Annotated[Asker, Depends(asking(may_act))]

    @router.post("/regressions/{regression_id}")
    def live(regression_id: RegressionId, asked: Life, asks: acts) -> LifeAnswer:
        """Acknowledge, resolve or reopen a regression, with a few words why."""
        return audited(
            warehouse,
            asks,
            asked.action,
            regression_id,
            lambda held: regression_life.live(held, regression_id, asked, asks.name),
        )

    return router
