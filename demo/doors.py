"""Who is let in: requests to a loopback name, and from no other site's page."""

from __future__ import annotations

from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

LOOPBACK_NAMES = ("localhost", "127.0.0.1", "::1")
OWN_SITES = ("same-origin", "none")
"""What a browser says in Sec-Fetch-Site for a page of this very origin, and for a typed address."""


class Doors:
    """ASGI application around another one. A name that was rebound to 127.0.0.1 shows in Host.

    A link on another page may still be followed: that page sees nothing of the answer.
    """

    def __init__(self, inner: ASGIApp) -> None:
        self._inner = inner

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse the request or pass it on."""
        wrong = (
            None
            if scope["type"] == "lifespan"
            else _wrong_header(Headers(scope=scope), scope.get("method", ""))
        )
        if wrong is None:
            await self._inner(scope, receive, send)
            return
        refusal = JSONResponse({"detail": f"{wrong} is not of this machine's own pages"}, 403)
        await refusal(scope, receive, send)


def _wrong_header(headers: Headers, method: str) -> str | None:
    hosts = headers.getlist("host")
    if len(hosts) != 1 or _name(hosts[0]) not in LOOPBACK_NAMES:
        return "Host"
    if any(origin.partition("://")[2] != hosts[0] for origin in headers.getlist("origin")):
        return "Origin"
    foreign = any(site not in OWN_SITES for site in headers.getlist("sec-fetch-site"))
    followed = (headers.get("sec-fetch-mode"), headers.get("sec-fetch-dest")) == ("navigate", "document")
    return "Sec-Fetch-Site" if foreign and not (method == "GET" and followed) else None


def _name(host: str) -> str | None:
    """The name in a Host header without port and brackets; None when it is none."""
    try:
        parts = urlsplit(f"//{host}")
        return parts.hostname if parts.netloc == host and "@" not in host else None
    except ValueError:
        return None
