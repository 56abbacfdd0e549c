"""Processes uploaded invoices in the background, a few at a time."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import psycopg

from demo import invoices
from demo.cache import InvoiceCache
from demo.database import Database, Session
from demo.metrics import Metrics
from demo.reading import UnreadableError, read_invoice

WORKERS = 8
"""Some 80 files a second in all: three users who upload 50 at once, again and again, send about 25."""

QUEUE_LENGTH = 1000
"""What a few users upload at once waits; more is refused, at 1 MB a file before memory is short."""

RECOGNITION_S = (0.05, 0.15)
RETRY_S = 1.0
_random = random.SystemRandom()


@dataclass(frozen=True)
class Upload:
    """A file that waits, and the invoice it is for."""

    invoice_id: int
    file_name: str
    content: bytes


class Processor:
    """A bounded queue of uploads and the workers that empty it."""

    def __init__(self, database: Database, metrics: Metrics, cache: InvoiceCache) -> None:
        self._database = database
        self._metrics = metrics
        self._cache = cache
        self._queue: asyncio.Queue[Upload] = asyncio.Queue()
        self._places = QUEUE_LENGTH

    def reserve(self) -> bool:
        """Take a place in the queue, to be used by `submit` or given back; False when it is full."""
        if self._places == 0:
            return False
        self._places -= 1
        return True

    def give_back(self) -> None:
        """Return a reserved place unused."""
        self._places += 1

    def submit(self, upload: Upload) -> None:
        """Queue an upload, into a reserved place."""
        self._queue.put_nowait(upload)

    async def run(self) -> None:
        """Work until cancelled."""
        async with asyncio.TaskGroup() as workers:
            for _ in range(WORKERS):
                workers.create_task(self._work())

    async def _work(self) -> None:
        while True:
            upload = await self._queue.get()
            self.give_back()
            started = time.perf_counter()
            outcome = await self._process(upload)
            self._metrics.processing.observe(time.perf_counter() - started)
            self._metrics.processed.labels(outcome).inc()
            self._cache.drop(upload.invoice_id)

    async def _process(self, upload: Upload) -> str:
        """Read one file and store what it says; how it ended."""
        invoice_id = upload.invoice_id
        await self._store(lambda session: invoices.begin_processing(session, invoice_id))
        # Stands for the recognition of text, which takes most of the time in a real service.
        await asyncio.sleep(_random.uniform(*RECOGNITION_S))
        try:
            invoice = await asyncio.to_thread(read_invoice, upload.file_name, upload.content)
            await self._store(lambda session: invoices.finish_processing(session, invoice_id, invoice))
        except UnreadableError as error:
            reason = str(error)
        except psycopg.Error as error:
            reason = f"the database refused it: {error.diag.message_primary}"
        else:
            return "processed"
        await self._store(lambda session: invoices.fail_processing(session, invoice_id, reason))
        return "failed"

    async def _store(self, step: Callable[[Session], Awaitable[None]]) -> None:
        """Take a step in the database, again and again while the database is away."""
        while True:
            try:
                async with self._database.session() as session:
                    await step(session)
                return
            except psycopg.OperationalError:
                await asyncio.sleep(RETRY_S)
