"""Stands before the application: times every request, and applies the faults that are switched on."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Sequence

from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse
from starlette.routing import BaseRoute, Match, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from demo import connections
from demo.database import slow_query_s
from demo.faults import ActiveFault, FaultBoard
from demo.metrics import NO_ANSWER, UNMATCHED, Metrics

CONTROL_PREFIX = "/demo/faults"
MAX_BODY_BYTES = 1_100_000
TOO_LARGE = f"expected a body of at most {MAX_BODY_BYTES} bytes"
LONGEST_HANG_S = 60.0

_random = random.SystemRandom()


class Traffic:
    """ASGI application around another one."""

    def __init__(
        self, inner: ASGIApp, routes: Sequence[BaseRoute], metrics: Metrics, board: FaultBoard
    ) -> None:
        self._inner = inner
        self._routes = [route for route in routes if isinstance(route, Route)]
        self._metrics = metrics
        self._board = board

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._inner(scope, receive, send)
            return
        started = time.perf_counter()
        status = NO_ANSWER

        async def noting_send(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = str(message["status"])
            await send(message)

        method, route = self._match(scope)
        try:
            await self._serve(f"{method} {route}", scope, receive, noting_send)
        finally:
            self._metrics.requests.labels(method, route, status).observe(time.perf_counter() - started)

    def _match(self, scope: Scope) -> tuple[str, str]:
        """Method and route template; what no route takes shares one label."""
        for route in self._routes:
            match, _ = route.matches(scope)
            if match is Match.FULL:
                return scope["method"], route.path_format
        return UNMATCHED, UNMATCHED

    async def _serve(self, endpoint: str, scope: Scope, receive: Receive, send: Send) -> None:
        active = None if scope["path"].startswith(CONTROL_PREFIX) else self._board.find(endpoint)
        if active is None:
            await self._answer(scope, receive, send)
            return
        fault = active.fault
        delay_ms = fault.delay_ms + _random.uniform(-fault.jitter_ms, fault.jitter_ms)
        await asyncio.sleep(max(0.0, delay_ms) / 1000)
        if _random.random() < fault.error_ratio:
            await _fail(active, scope, receive, send)
            return
        token = slow_query_s.set(fault.slow_query_ms / 1000)
        try:
            await self._answer(scope, receive, send)
        finally:
            slow_query_s.reset(token)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        length = dict(scope["headers"]).get(b"content-length", b"0")
        if int(length) > MAX_BODY_BYTES:
            refusal = JSONResponse({"detail": TOO_LARGE}, 413, {"Connection": "close"})
            await refusal(scope, receive, send)
            return
        await self._inner(scope, _bounded(receive), send)


def _bounded(receive: Receive) -> Receive:
    """`receive`, which refuses a body that turns out larger than it may be."""
    seen = 0

    async def bounded_receive() -> Message:
        nonlocal seen
        message = await receive()
        seen += len(message.get("body", b""))
        if seen > MAX_BODY_BYTES:
            raise HTTPException(413, TOO_LARGE, {"Connection": "close"})
        return message

    return bounded_receive


async def _fail(active: ActiveFault, scope: Scope, receive: Receive, send: Send) -> None:
    """Fail a request as the fault says. A hanging one is reset at the fault's end."""
    if active.fault.error == "status":
        await JSONResponse({"detail": "a fault is switched on"}, 500)(scope, receive, send)
        return
    if active.fault.error == "hang":
        try:
            async with asyncio.timeout(min(active.remaining_s, LONGEST_HANG_S)):
                await _disconnected(receive)
            return
        except TimeoutError:
            pass
    connections.reset(tuple(scope["client"]))
    await _disconnected(receive)


async def _disconnected(receive: Receive) -> None:
    """Wait until the client has gone."""
    while (await receive())["type"] != "http.disconnect":
        pass
