"""Makes probe attempts for tests, in a loop of their own."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from collectors.lag import LagTicker
from collectors.probe import Probe, tls_context
from collectors.resolve import Resolver
from warehouse.model import Attempt
from warehouse.settings import TargetSettings

T = TypeVar("T")

DEADLINE_S = 5.0


def with_probe(url: str, work: Callable[[Probe], Awaitable[T]], target: dict[str, Any], **endpoint: Any) -> T:
    """Run `work` with the probe of one endpoint, then close it."""
    settings = TargetSettings.model_validate(
        {"name": "shop", "url": url, "deadline_s": DEADLINE_S, **target, "endpoint": [endpoint]}
    )

    async def main() -> T:
        context = tls_context(settings)
        probe = Probe(settings, settings.endpoint[0], context, Resolver(), LagTicker())
        try:
            async with asyncio.timeout(30):
                return await work(probe)
        finally:
            await probe.aclose()

    return asyncio.run(main())


def attempt(url: str, path: str = "/ok", target: dict[str, Any] | None = None, **endpoint: Any) -> Attempt:
    """One attempt."""
    return with_probe(url, lambda probe: probe.attempt(), target or {}, path=path, **endpoint)


def attempts(
    url: str,
    count: int,
    path: str = "/ok",
    target: dict[str, Any] | None = None,
    pause_s: float = 0,
    **endpoint: Any,
) -> list[Attempt]:
    """Several attempts of one probe, one after the other."""

    async def work(probe: Probe) -> list[Attempt]:
        made = []
        for _ in range(count):
            made.append(await probe.attempt())
            await asyncio.sleep(pause_s)
        return made

    return with_probe(url, work, target or {}, path=path, **endpoint)
