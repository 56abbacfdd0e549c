"""Answers that are made while they are sent."""

import logging
from collections.abc import Generator
from itertools import chain
from typing import Any

import anyio
from anyio import to_thread
from fastapi.responses import StreamingResponse
from starlette.types import Message, Receive, Scope, Send

STALLED_S = 300.0
"""An answer that nobody reads for so long is broken off: it holds the only place."""

log = logging.getLogger(__name__)


class Streamed(StreamingResponse):
    """Gives the place back whichever way it ends: read whole, broken off, stalled, or never begun."""

    def __init__(self, first: bytes, blocks: Generator[bytes], **options: Any) -> None:
        super().__init__(chain((first,), blocks), **options)
        self._blocks = blocks

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_on(message: Message) -> None:
            with anyio.fail_after(STALLED_S):
                await send(message)

        try:
            await super().__call__(scope, receive, send_on)
        except TimeoutError:
            log.warning("nobody read %s for %d s", scope["path"], STALLED_S)
        finally:
            with anyio.CancelScope(shield=True):
                await to_thread.run_sync(self._blocks.close)
