"""Answers that are made while they are sent."""

from collections.abc import Generator
from itertools import chain
from typing import Any

import anyio
from anyio import to_thread
from fastapi.responses import StreamingResponse
from starlette.types import Receive, Scope, Send


class Streamed(StreamingResponse):
    """Gives the place back whichever way it ends: read whole, broken off, or never begun."""

    def __init__(self, first: bytes, blocks: Generator[bytes], **options: Any) -> None:
        super().__init__(chain((first,), blocks), **options)
        self._blocks = blocks

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            with anyio.CancelScope(shield=True):
                await to_thread.run_sync(self._blocks.close)
