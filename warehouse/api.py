"""The HTTP API: ingest, questions and exports, behind tokens and a Host check."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Annotated
from urllib.parse import unquote

from anyio import to_thread
from fastapi import APIRouter, Depends, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from starlette.exceptions import HTTPException

from warehouse import VERSION, checks, wire
from warehouse.api_agents import agent_routes
from warehouse.api_backup import backup_routes
from warehouse.api_baselines import baseline_routes
from warehouse.api_compact import compact_routes
from warehouse.api_exports import export_routes
from warehouse.api_marks import mark_routes
from warehouse.api_questions import question_routes
from warehouse.api_rebuild import rebuild_routes
from warehouse.api_regressions import regression_routes
from warehouse.api_runs import run_routes
from warehouse.api_verify import verify_routes
from warehouse.bodies import read_body
from warehouse.declared import Health, batch_body, defined_refusals, refusals
from warehouse.doors import Doors
from warehouse.errors import InvalidInputError, NotAllowedError, PerfhouseError, RefusedError, StoppedError
from warehouse.health import health
from warehouse.model import Receipt, now
from warehouse.service import Warehouse
from warehouse.tokens import Scope, Token

RETRY_AFTER_S = "1"
STOPPED_RETRY_AFTER_S = "5"


def create_app(warehouse: Warehouse) -> FastAPI:
    """The API over an open warehouse; closing the app closes the warehouse."""

    @asynccontextmanager
    async def life(_: FastAPI) -> AsyncIterator[None]:
        warehouse.start()
        yield
        await to_thread.run_sync(warehouse.close)

    app = FastAPI(
        title="Perfhouse warehouse",
        version=VERSION,
        openapi_url="/api/v1/openapi.json",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        lifespan=life,
    )
    app.add_middleware(Doors, allowed_hosts=warehouse.settings.warehouse.allowed_hosts)
    app.add_exception_handler(PerfhouseError, _show_error)
    app.add_exception_handler(RequestValidationError, _show_invalid)
    app.add_exception_handler(HTTPException, _show_refusal)
    app.include_router(_health_route(warehouse))
    app.include_router(_ingest_route(warehouse), prefix="/api/v1")
    may_read, may_act = _may(warehouse, Scope.READ), _may(warehouse, Scope.ACT)
    app.include_router(question_routes(warehouse, may_read), prefix="/api/v1")
    app.include_router(export_routes(warehouse, may_read), prefix="/api/v1")
    app.include_router(backup_routes(warehouse, may_read, may_act), prefix="/api/v1")
    app.include_router(verify_routes(warehouse, may_read), prefix="/api/v1")
    app.include_router(compact_routes(warehouse, may_act), prefix="/api/v1")
    app.include_router(rebuild_routes(warehouse, may_act), prefix="/api/v1")
    may_launch, may_load = _may(warehouse, Scope.ACT, Scope.LOAD), _may(warehouse, Scope.LOAD)
    app.include_router(run_routes(warehouse, may_launch, may_act), prefix="/api/v1")
    app.include_router(mark_routes(warehouse, may_act), prefix="/api/v1")
    app.include_router(baseline_routes(warehouse, may_act), prefix="/api/v1")
    app.include_router(regression_routes(warehouse, may_act), prefix="/api/v1")
    app.include_router(agent_routes(warehouse, may_load), prefix="/api/v1")
    return app


def _may(warehouse: Warehouse, *scopes: Scope) -> Callable[..., Token]:
    """A dependency: the request's token, if it has one of the scopes."""
    bearer = HTTPBearer(auto_error=False)

    def check(given: Annotated[HTTPAuthorizationCredentials | None, Depends(bearer)]) -> Token:
        if given is None:
            raise NotAllowedError("a bearer token is needed", "Send Authorization: Bearer ...", status=401)
        return warehouse.keyring.check(given.credentials, *scopes)

    return check


def _health_route(warehouse: Warehouse) -> APIRouter:
    router = APIRouter()

    @router.get("/healthz", responses=defined_refusals(400, 403))
    def healthz() -> Health:
        """Whether the warehouse is up, since when, and whether it stores. Needs no token."""
        return health(warehouse)

    return router


def _ingest_route(warehouse: Warehouse) -> APIRouter:
    router = APIRouter()
    most_bytes = warehouse.settings.warehouse.max_body_mb * 1_000_000

    @router.post("/ingest", openapi_extra=batch_body(), responses=refusals(400, 401, 403, 413, 415, 422, 503))
    async def ingest(
        request: Request, token: Annotated[Token, Depends(_may(warehouse, Scope.INGEST))]
    ) -> Receipt:
        """Store a batch whole, once, or not at all; answered after the commit."""
        body = await read_body(request, most_bytes)
        incoming = await to_thread.run_sync(_unpack, request, body, token)
        warehouse.store.heard[incoming.source] = now().replace(tzinfo=None)
        return await asyncio.wrap_future(warehouse.writer.ingest(incoming))

    return router


def _unpack(request: Request, body: bytes, token: Token) -> checks.Incoming:
    media = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    source: str | None
    if media == wire.ARROW:
        source = unquote(request.headers.get("x-source", "")) or None
        batch_id, tables = wire.unpack_arrow(request.headers.get("x-batch-id", ""), body)
    elif media == "application/json":
        batch_id, source, tables = wire.unpack_json(body)
    else:
        raise InvalidInputError(
            f"expected application/json or {wire.ARROW}, given {media or 'nothing'}",
            field="Content-Type",
            status=415,
        )
    source = source or (token.sources[0] if token.sources else None)
    if source is None or source not in token.sources:
        raise NotAllowedError(
            f"the token {token.name} may not send for this source",
            f"It may send for: {', '.join(token.sources) or 'none'}.",
            status=403,
        )
    return checks.check(batch_id, source, tables, now())


async def _show_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, PerfhouseError)
    status = error.status if isinstance(error, RefusedError) else 503
    field = error.field if isinstance(error, RefusedError) else ""
    wait_s = STOPPED_RETRY_AFTER_S if isinstance(error, StoppedError) else RETRY_AFTER_S
    headers = {"retry-after": wait_s} if status == 503 else {}
    return JSONResponse(
        {"error": {"title": error.title, "message": error.message, "hint": error.hint, "field": field}},
        status_code=status,
        headers=headers,
    )


async def _show_invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    fault = error.errors()[0]
    field = ".".join(str(part) for part in fault["loc"][1:]) or "parameters"
    return await _show_error(request, InvalidInputError(wire.in_words(fault), field=field))


async def _show_refusal(request: Request, error: Exception) -> Response:
    """What the framework refuses by itself, in our words: no such path or method, a body that is no text."""
    assert isinstance(error, HTTPException)
    if error.status_code == 400:
        return await _show_error(request, InvalidInputError("expected JSON in UTF-8", field="body"))
    answer = await _show_error(request, RefusedError(str(error.detail), status=error.status_code))
    answer.headers.update(error.headers or {})
    return answer
