"""Bodies of requests, read up to a bound."""

from __future__ import annotations

from fastapi import Request

from warehouse.errors import InvalidInputError


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
