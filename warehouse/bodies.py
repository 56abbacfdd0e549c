"""Bodies of requests, read up to a bound, and of answers, sent in pieces."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastapi import Request, Response

from warehouse.errors import InvalidInputError

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

PIECE = 256_000
"""So many bytes of an answer are sent at once."""


async def read_body(request: Request, most_bytes: int) -> bytes:
    """The whole body. Raises InvalidInputError as soon as it passes the bound."""
    parts = []
    length = 0
    async for part in request.stream():
        length += len(part)
        if length > most_bytes:
            raise InvalidInputError(
                f"expected at most {most_bytes} bytes",
                field="body",
                hint="Send smaller batches, or raise warehouse.max_body_mb.",
                status=413,
            )
        parts.append(part)
    return b"".join(parts)


class InPieces(Response):
    """A response whose body is sent piece by piece: in one it would be copied twice on its way out."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - as ASGI has it
        """Send it, waiting between pieces for whoever reads."""
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        body = memoryview(self.body)
        for start in range(0, max(1, len(body)), PIECE):
            end = start + PIECE
            await send({"type": "http.response.body", "body": body[start:end], "more_body": end < len(body)})
