"""A small OpenID Connect provider on this machine: discovery, a page to choose who one is, tokens, keys."""

from __future__ import annotations

import base64
import hashlib
import html
import secrets
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from joserfc import jwt
from joserfc.jwk import RSAKey
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from tests.servers.asgi import serving

CLIENT_ID = "perfhouse"
VALID_S = 300


@dataclass
class Grant:
    """A code that was given out once, and to whom."""

    claims: Mapping[str, Any]
    asked: Mapping[str, str]


@dataclass
class Provider:
    """People by the name on their button, with the claims that are told of them."""

    people: Mapping[str, Mapping[str, Any]]
    redirect_uri: str
    client_secret: str = field(default_factory=secrets.token_urlsafe)
    url: str = ""
    key: RSAKey = field(default_factory=lambda: RSAKey.generate_key(2048, {"kid": "one", "use": "sig"}))
    grants: dict[str, Grant] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)
    """What was asked against the protocol."""

    @property
    def discovery(self) -> str:
        """Where everything else is told."""
        return f"{self.url}/.well-known/openid-configuration"

    async def metadata(self, _: Request) -> Response:
        return JSONResponse(
            {
                "issuer": self.url,
                "authorization_endpoint": f"{self.url}/authorize",
                "token_endpoint": f"{self.url}/token",
                "jwks_uri": f"{self.url}/keys",
                "end_session_endpoint": f"{self.url}/leave",
                "response_types_supported": ["code"],
                "subject_types_supported": ["public"],
                "id_token_signing_alg_values_supported": ["RS256"],
                "code_challenge_methods_supported": ["S256"],
            }
        )

    async def keys(self, _: Request) -> Response:
        return JSONResponse({"keys": [self.key.as_dict(private=False)]})

    async def authorize(self, request: Request) -> Response:
        """A page with a button for each person."""
        asked = dict(request.query_params)
        if asked.get("client_id") != CLIENT_ID or asked.get("redirect_uri") != self.redirect_uri:
            return self._refuse("a foreign client or way back")
        if asked.get("response_type") != "code" or "openid" not in asked.get("scope", "").split():
            return self._refuse("no code or no openid wanted")
        if asked.get("code_challenge_method") != "S256" or not asked.get("nonce"):
            return self._refuse("no proof key or nonce")
        ways = {name: f"/choose?{urlencode({**asked, 'person': name})}" for name in self.people}
        links = "".join(
            f'<p><a href="{html.escape(way)}">{html.escape(name)}</a></p>' for name, way in ways.items()
        )
        icon = '<link rel="icon" href="data:,">'
        return HTMLResponse(f"<!doctype html>{icon}<title>Who are you?</title><h1>Who are you?</h1>{links}")

    async def choose(self, request: Request) -> Response:
        asked = dict(request.query_params)
        code = secrets.token_urlsafe(16)
        self.grants[code] = Grant(self.people[asked["person"]], asked)
        back = urlencode({"code": code, "state": asked["state"]})
        return RedirectResponse(f"{self.redirect_uri}?{back}", 302)

    async def token(self, request: Request) -> Response:
        """An id token for a code, once, to the client that proves it asked for it."""
        form = {name: str(value) for name, value in (await request.form()).items()}
        grant = self.grants.pop(form.get("code", ""), None)
        if grant is None:
            return self._refuse("an unknown code")
        if not self._is_client(request, form):
            return self._refuse("a wrong secret")
        proof = base64.urlsafe_b64encode(hashlib.sha256(form.get("code_verifier", "").encode()).digest())
        if proof.rstrip(b"=").decode() != grant.asked["code_challenge"]:
            return self._refuse("a wrong proof key")
        at = int(time.time())
        told = {"iss": self.url, "aud": CLIENT_ID, "iat": at, "exp": at + VALID_S, **grant.claims}
        told["nonce"] = grant.asked["nonce"]
        signed = jwt.encode({"alg": "RS256", "kid": "one"}, told, self.key)
        return JSONResponse(
            {"id_token": signed, "access_token": secrets.token_urlsafe(), "token_type": "Bearer"}
        )

    async def leave(self, request: Request) -> Response:
        return RedirectResponse(request.query_params["post_logout_redirect_uri"], 302)

    def _is_client(self, request: Request, form: Mapping[str, str]) -> bool:
        given = (form.get("client_id", ""), form.get("client_secret", ""))
        kind, _, value = request.headers.get("authorization", "").partition(" ")
        if kind == "Basic":
            name, _, secret = base64.b64decode(value).decode().partition(":")
            given = (name, secret)
        return given == (CLIENT_ID, self.client_secret)

    def _refuse(self, why: str) -> Response:
        self.wrong.append(why)
        return JSONResponse({"error": "invalid_request", "error_description": why}, 400)


@contextmanager
def running_provider(people: Mapping[str, Mapping[str, Any]], redirect_uri: str) -> Iterator[Provider]:
    """A provider that signs these people in for one dashboard."""
    provider = Provider(people, redirect_uri)
    routes = [
        Route("/.well-known/openid-configuration", provider.metadata),
        Route("/keys", provider.keys),
        Route("/authorize", provider.authorize),
        Route("/choose", provider.choose),
        Route("/token", provider.token, methods=["POST"]),
        Route("/leave", provider.leave),
    ]
    with serving(Starlette(routes=routes)) as url:
        provider.url = url
        yield provider
