"""A route whose refusals are in the audit log, those of its token and its body too."""

from __future__ import annotations

import re
from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import HTTPException, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute

from warehouse import wire
from warehouse.errors import RefusedError
from warehouse.refusals import Refusals, Refused
from warehouse.run_model import RUN_ID
from warehouse.tokens import Keyring, Token

Handler = Callable[[Request], Coroutine[Any, Any, Response]]

ACTIONS = {"request": "launch"}
"""What a route's function is called in the log, where that is another word."""


def audited_route(refusals: Refusals, keyring: Keyring) -> type[APIRoute]:
    """The class of routes that note what they refuse, unless whoever raised the refusal noted it."""

    class AuditedRoute(APIRoute):
        def get_route_handler(self) -> Handler:
            handle = super().get_route_handler()

            async def noting(request: Request) -> Response:
                try:
                    return await handle(request)
                except (RefusedError, RequestValidationError, HTTPException) as error:
                    if not getattr(error, "is_audited", False):
                        refusals.note(_refused(request, self.name, keyring, error))
                    raise

            return noting

    return AuditedRoute


def _refused(request: Request, name: str, keyring: Keyring, error: Exception) -> Refused:
    """What the log tells. Nothing of it is the sender's choice but the run's id and the token's owner."""
    token = _token_of(request, keyring)
    if token is not None:
        who = f"token {token.name}"
    else:
        where = request.client.host if request.client else "nowhere"
        given = "an unknown token" if "authorization" in request.headers else "no token"
        who = f"{given} from {where}"
    run_id = str(request.path_params.get("run_id", ""))
    return Refused(
        who=who,
        via=token.name if token else "",
        action=ACTIONS.get(name, name),
        subject=run_id if re.match(RUN_ID, run_id) else "",
        text=_why(error),
    )


def _token_of(request: Request, keyring: Keyring) -> Token | None:
    kind, _, value = request.headers.get("authorization", "").partition(" ")
    return keyring.find(value) if kind.lower() == "bearer" else None


def _why(error: Exception) -> str:
    """Why it was refused, without what was sent."""
    if isinstance(error, RequestValidationError):
        fault = error.errors()[0]
        known = [str(part) for part in fault["loc"][1:] if fault["type"] != "extra_forbidden"]
        return ": ".join(filter(None, (".".join(known), wire.in_words(fault))))
    if isinstance(error, RefusedError):
        return error.message
    return "the body could not be read"
