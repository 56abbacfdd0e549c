"""The running application's parts, and how a request reaches them."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

import psycopg
from fastapi import Depends, Request

from demo import invoices
from demo.cache import InvoiceCache
from demo.database import Database
from demo.faults import FaultBoard
from demo.metrics import Metrics
from demo.processing import Processor
from demo.tokens import DevTokens

KEPT_INVOICES = 5_000
TRIM_SHARE = 100


class Service:
    """Everything one application holds. At most `keep` invoices are kept beyond the seeded ones."""

    def __init__(self, url: str, keep: int = KEPT_INVOICES) -> None:
        self.metrics = Metrics()
        self.board = FaultBoard()
        self.tokens = DevTokens()
        self.database = Database(url, self.metrics)
        self.cache = InvoiceCache(self.metrics)
        self.processor = Processor(self.database, self.metrics, self.cache)
        self.endpoints: frozenset[str] = frozenset()
        self._keep = keep
        self._step = max(1, keep // TRIM_SHARE)
        self._trim_due = asyncio.Event()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Connect, work in the background, and close in the end."""
        await self.database.open()
        self._trim_due.set()
        tasks = [asyncio.create_task(self.processor.run()), asyncio.create_task(self._trim())]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self.database.close()

    def note_added(self, invoice_id: int) -> None:
        """Every so many new invoices the oldest ones are due to go."""
        if invoice_id % self._step == 0:
            self._trim_due.set()

    async def _trim(self) -> None:
        # `keep` holds between two rounds too: each leaves room for the invoices until the next.
        keep = max(0, self._keep - self._step)
        while True:
            await self._trim_due.wait()
            self._trim_due.clear()
            try:
                async with self.database.session() as session:
                    newest = await invoices.newest_id(session)
                    await invoices.trim(session, newest_id=newest, keep=keep)
            except psycopg.Error as error:
                print(f"old invoices were not trimmed, next time: {error}", file=sys.stderr)


def service_of(request: Request) -> Service:
    """The service that answers a request."""
    service = request.app.state.service
    assert isinstance(service, Service)
    return service


Serving = Annotated[Service, Depends(service_of)]
