"""Who is let in at all: requests to our own names, and from no other site's page."""

from __future__ import annotations

from collections.abc import Collection
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

FOREIGN_PAGE = "the request comes from another site's page"

OWN_SITES = ("same-origin", "none")
"""What a browser says in Sec-Fetch-Site for a page of this very origin, and for a typed address."""


class Doors:
    """Refuses a foreign Host (a name that was rebound to this machine) and another origin's page.

    A link on another page may still be followed: whoever sent the reader here sees nothing of the answer.
    """

    def __init__(self, app: ASGIApp, allowed_hosts: Collection[str]) -> None:
        """`allowed_hosts` are names without port; `*` allows any."""
        self._app = app
        self._allowed = {host.lower() for host in allowed_hosts}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer or pass on; every kind of scope but the lifespan is a request."""
        refusal = None if scope["type"] == "lifespan" else self._refuse(scope)
        await (refusal or self._app)(scope, receive, send)

    def _refuse(self, scope: Scope) -> JSONResponse | None:
        headers = Headers(scope=scope)
        hosts = headers.getlist("host")
        if len(hosts) != 1 or not self._is_ours(hosts[0]):
            return _answer(400, "expected one Host, by a name that is allowed here", "Host")
        if any(_place(origin) != hosts[0].lower() for origin in headers.getlist("origin")):
            return _answer(403, FOREIGN_PAGE, "Origin")
        foreign = any(site not in OWN_SITES for site in headers.getlist("sec-fetch-site"))
        if foreign and not _is_followed_link(scope, headers):
            return _answer(403, FOREIGN_PAGE, "Sec-Fetch-Site")
        return None

    def _is_ours(self, host: str) -> bool:
        name = _name(host)
        return name is not None and ("*" in self._allowed or name in self._allowed)


def _name(host: str) -> str | None:
    """The name in a Host header without port and brackets; None when it is none."""
    try:
        parts = urlsplit(f"//{host}")
        usable = parts.netloc == host and "@" not in host and parts.port != 0
        return parts.hostname if usable else None
    except ValueError:
        return None


def _place(origin: str) -> str | None:
    """Host and port of an Origin header; None for `null` and for what is no origin."""
    try:
        return urlsplit(origin).netloc.lower() or None
    except ValueError:
        return None


def _is_followed_link(scope: Scope, headers: Headers) -> bool:
    wanted = (headers.get("sec-fetch-mode"), headers.get("sec-fetch-dest"))
    return scope.get("method") == "GET" and wanted == ("navigate", "document")


def _answer(status: int, message: str, field: str) -> JSONResponse:
    told = {"title": "Not allowed", "message": message, "hint": "", "field": field}
    return JSONResponse({"error": told}, status)
