"""The IP addresses a target's name stands for, those that take connections first."""

from __future__ import annotations

import socket
from urllib.parse import urlsplit

from warehouse.errors import PerfhouseError

TRY_S = 1.0
PORTS = {"http": 80, "https": 443}


class UnreachableError(PerfhouseError):
    """The target's name stands for no address."""

    title = "The target cannot be found"


def resolve(url: str) -> tuple[tuple[str, int], ...]:
    """All addresses of the URL's host, with its port. Raises UnreachableError."""
    parts = urlsplit(url)
    port = parts.port or PORTS[parts.scheme]
    try:
        found = socket.getaddrinfo(parts.hostname, port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise UnreachableError(f"{parts.hostname} cannot be resolved: {error.strerror}") from None
    hosts = list(dict.fromkeys(str(entry[4][0]) for entry in found))
    if len(hosts) > 1:
        hosts.sort(key=lambda host: not _accepts(host, port))
    return tuple((host, port) for host in hosts)


def _accepts(host: str, port: int) -> bool:
    try:
        with socket.create_connection((host, port), timeout=TRY_S):
            return True
    except OSError:
        return False
