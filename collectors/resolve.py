"""Name look-ups: measured apart from the request, never more than one at a time for a name."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from functools import partial

from collectors.threads import in_thread

Address = tuple[socket.AddressFamily, tuple[str, int] | tuple[str, int, int, int]]


def literal(host: str, port: int) -> Address | None:
    """The address, when `host` is one already."""
    try:
        version = ipaddress.ip_address(host).version
    except ValueError:
        return None
    if version == 4:
        return socket.AF_INET, (host, port)
    address, _, zone = host.partition("%")
    return socket.AF_INET6, (address, port, 0, socket.if_nametoindex(zone) if zone else 0)


def loopback(port: int) -> tuple[Address, Address]:
    """This machine's own address in both families."""
    return (socket.AF_INET6, ("::1", port, 0, 0)), (socket.AF_INET, ("127.0.0.1", port))


class Resolver:
    """Looks names up in threads. A name server that hangs costs one thread per name, no more."""

    def __init__(self) -> None:
        self._running: dict[tuple[str, int], asyncio.Task[list[Address]]] = {}

    async def resolve(self, host: str, port: int) -> list[Address]:
        """The addresses of a name, in the system's order. Raises socket.gaierror."""
        key = (host, port)
        task = self._running.get(key)
        if task is None:
            task = asyncio.ensure_future(in_thread(partial(look_up, host, port), f"look up {host}"))
            self._running[key] = task
            task.add_done_callback(partial(self._forget, key))
        return await asyncio.shield(task)

    def _forget(self, key: tuple[str, int], task: asyncio.Task[list[Address]]) -> None:
        del self._running[key]
        if not task.cancelled():
            # Whoever waited may have gone (its deadline came first): the error was theirs to see.
            task.exception()


def look_up(host: str, port: int) -> list[Address]:
    """The addresses of a name, in the system's order; blocks. Raises socket.gaierror."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except UnicodeError:
        raise socket.gaierror(socket.EAI_NONAME, "the name cannot be looked up") from None
    addresses: list[Address] = [(family, address) for family, _, _, _, address in found]  # type: ignore[misc]  # IP only
    if host.lower() == "localhost":
        # RFC 6761, 6.3: both loopback addresses, although many machines name only one.
        families = {family for family, _ in addresses}
        addresses += [own for own in loopback(port) if own[0] not in families]
    return addresses
