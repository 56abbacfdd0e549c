"""Puts the application together: routes, errors, traffic; and serves it on 127.0.0.1."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import psycopg
import uvicorn
from fastapi import Depends, FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.types import ASGIApp

from demo import api, control
from demo.connections import TrackedProtocol
from demo.doors import Doors
from demo.service import KEPT_INVOICES, Service
from demo.traffic import CONTROL_PREFIX, Traffic

GRACE_S = 1

OPEN = ()
API = (Depends(api.require_good_token),)
CONTROL = (Depends(control.only_from_here),)
CONTROL_JSON = (*CONTROL, Depends(control.require_json))

Route = tuple[str, str, Callable[..., Any], Sequence[Any], int]
ROUTES: tuple[Route, ...] = (
    ("GET", "/health", api.get_health, OPEN, 200),
    ("GET", "/metrics", api.get_metrics, OPEN, 200),
    ("GET", "/api/v1/auth/dev-token", api.give_dev_token, OPEN, 200),
    ("POST", "/api/v1/auth/dev-token", api.give_dev_token, OPEN, 200),
    ("GET", "/api/v1/invoices/", api.get_invoices, API, 200),
    ("POST", "/api/v1/invoices/", api.post_invoice, API, 201),
    ("POST", "/api/v1/invoices/upload", api.upload_invoice, API, 202),
    ("GET", "/api/v1/invoices/{id:int}", api.get_invoice, API, 200),
    ("GET", "/api/v1/invoices/{id:int}/processing", api.get_processing, API, 200),
    ("GET", CONTROL_PREFIX, control.list_faults, CONTROL, 200),
    ("POST", CONTROL_PREFIX, control.set_fault, CONTROL_JSON, 200),
    ("DELETE", CONTROL_PREFIX, control.clear_faults, CONTROL_JSON, 200),
)


def create_app(url: str, keep: int = KEPT_INVOICES) -> ASGIApp:
    """The application for the prepared database at `url`; keeps at most `keep` invoices past the seed."""
    service = Service(url, keep)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with service.running():
            yield

    app = FastAPI(
        title="Invoice API", lifespan=lifespan, docs_url=None, redoc_url=None, redirect_slashes=False
    )
    app.state.service = service
    for method, path, answer, dependencies, status in ROUTES:
        app.add_api_route(
            path,
            answer,
            methods=[method],
            dependencies=list(dependencies),
            status_code=status,
            response_model=None,
        )
    app.add_exception_handler(RequestValidationError, api.answer_invalid)
    app.add_exception_handler(psycopg.OperationalError, api.answer_database_away)
    service.endpoints = frozenset(
        f"{method} {path.replace(':int}', '}')}"
        for method, path, *_ in ROUTES
        if not path.startswith(CONTROL_PREFIX)
    )
    return Doors(Traffic(app, app.routes, service.metrics, service.board))


def create_server(app: ASGIApp, on_ready: Callable[[], None]) -> uvicorn.Server:
    """A server that calls `on_ready` once it accepts connections, and stops within a second."""
    config = uvicorn.Config(
        app,
        http=TrackedProtocol,
        ws="none",
        lifespan="on",
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=GRACE_S,
    )
    return _AnnouncingServer(config, on_ready)


class _AnnouncingServer(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, on_ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_ready = on_ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._on_ready()
