"""Keeps a load generator from connecting anywhere but to its target: an audit hook, which nothing undoes.

Python raises an audit event for every connection, look-up of a name and new process, whichever library
asks for it and however it came by the socket, so that there is no way around this from Python.
"""

from __future__ import annotations

import ipaddress
import sys
from collections.abc import Collection

CONNECTING = ("socket.connect", "socket.sendto", "socket.sendmsg")
LOOKING_UP = ("socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr", "socket.getnameinfo")
STARTING = (
    "subprocess.Popen",
    "os.system",
    "os.posix_spawn",
    "os.exec",
    "os.fork",
    "os.forkpty",
    "pty.spawn",
)


class GuardedError(ConnectionRefusedError):
    """The load generator was about to reach something that is not its target."""


class Guard:
    """The hook of one process. Addresses are (IP address, port)."""

    def __init__(self, allowed: Collection[tuple[str, int]]) -> None:
        self._allowed = {(_plain(host), port) for host, port in allowed}
        self.refused = 0
        self.may_start = False
        """Whether new processes may be started."""

    def install(self) -> None:
        """Watch over this process from now on, for as long as it lives."""
        sys.addaudithook(self._hear)

    def _hear(self, event: str, arguments: tuple[object, ...]) -> None:
        if event in CONNECTING:
            address = arguments[1] if len(arguments) > 1 else None
            if not (event == "socket.sendmsg" and address is None) and not self._is_allowed(address):
                self._refuse(f"a connection to {_told(address)} was refused: it is not the target")
        elif event in LOOKING_UP:
            if not _is_numeric(arguments[0]):
                self._refuse("a look-up of a name was refused: the target's addresses are known")
        elif event in STARTING and not self.may_start:
            self._refuse("a new process was refused")

    def _is_allowed(self, address: object) -> bool:
        match address:
            case (str() as host, int() as port, *_):
                return (_plain(host), port) in self._allowed
        return False

    def _refuse(self, why: str) -> None:
        self.refused += 1
        raise GuardedError(why)


def _plain(host: str) -> str:
    """An address in one spelling; one that is none stays as it is, and equals nothing that is allowed."""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return f"name {host}"
    mapped = getattr(address, "ipv4_mapped", None)
    return str(mapped or address)


def _is_numeric(host: object) -> bool:
    if host is None:
        return True
    text = host.decode("latin-1") if isinstance(host, bytes) else str(host)
    if text.startswith("("):
        return True
    return not _plain(text).startswith("name ")


def _told(address: object) -> str:
    match address:
        case (str() as host, int() as port, *_):
            return f"{host}:{port}"
    return "another kind of address"
