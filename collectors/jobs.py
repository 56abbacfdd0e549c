"""The jobs that the configuration asks for: a probe per endpoint, the databases, and the host."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from functools import partial
from itertools import chain, count

from collectors.databases import COLLECTORS, DatabaseCollector
from collectors.host import HostCollector
from collectors.names import clean_name
from collectors.places import Flight
from collectors.probe import Prober
from collectors.record import Row
from collectors.schedule import Job
from collectors.threads import in_thread
from warehouse.settings import DatabaseSettings, EndpointSettings, HostSettings, Settings, TargetSettings

log = logging.getLogger(__name__)

CLOSE_S = 0.3


@asynccontextmanager
async def open_jobs(settings: Settings, flight: Flight) -> AsyncIterator[list[Job]]:
    """The jobs; what they keep open is closed at the end."""
    stack = AsyncExitStack()
    jobs = []
    for settings_of_target in settings.target:
        target = _Target(settings_of_target, flight.places(), stack)
        jobs += [target.job(endpoint) for endpoint in settings_of_target.endpoint]
    jobs += [
        _database_job(database, stack) for database in settings.databases if database.engine in COLLECTORS
    ]
    if settings.host is not None:
        jobs.append(_host_job(settings.host))
    try:
        yield distinct(jobs)
    finally:
        try:
            await asyncio.wait_for(stack.aclose(), CLOSE_S)
        except TimeoutError:
            log.warning("connections did not close within %s s", CLOSE_S)


def distinct(jobs: Sequence[Job]) -> list[Job]:
    """The jobs with names of their own: `a b` + `c` and `a` + `b c` would read the same."""
    taken: set[str] = set()
    named = []
    for job in jobs:
        numbered = chain([job.name], (clean_name(f"{number} {job.name}") for number in count(2)))
        name = next(name for name in numbered if name not in taken)
        taken.add(name)
        named.append(replace(job, name=name))
    return named


class _Target:
    """Opens its prober with the first attempt: what a target lacks is the failure of its jobs alone."""

    def __init__(self, settings: TargetSettings, places: asyncio.Semaphore, stack: AsyncExitStack) -> None:
        self._settings = settings
        self._places = places
        self._stack = stack
        self._opening = asyncio.Lock()
        self._prober: Prober | None = None

    def job(self, endpoint: EndpointSettings) -> Job:
        """The job that probes one endpoint."""
        return Job(
            clean_name(f"probe {self._settings.name} {endpoint.label}"),
            endpoint.interval_s or self._settings.interval_s,
            partial(self._probe, endpoint),
        )

    async def _probe(self, endpoint: EndpointSettings) -> Sequence[Row]:
        async with self._opening:
            if self._prober is None:
                prober = Prober(self._settings, max_in_flight=self._places)
                self._prober = await self._stack.enter_async_context(prober)
        attempt = await self._prober.attempt(endpoint)
        return [attempt, *self._prober.take_versions()]


def _host_job(settings: HostSettings) -> Job:
    collector = HostCollector(settings)

    async def collect() -> Sequence[Row]:
        return await in_thread(collector.collect, "host")

    return Job(clean_name(f"host {settings.name}"), settings.interval_s, collect)


def _database_job(settings: DatabaseSettings, stack: AsyncExitStack) -> Job:
    collector: DatabaseCollector = COLLECTORS[settings.engine](settings)
    stack.callback(collector.close)

    async def collect() -> Sequence[Row]:
        return await in_thread(collector.collect, "database")

    return Job(clean_name(f"database {settings.name}"), settings.interval_s, collect)
