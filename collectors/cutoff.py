"""Ends blocking work on a socket at a deadline, however slowly the other side drips."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress


class Cutoff:
    """Whether the deadline came first."""

    def __init__(self) -> None:
        self.passed = False


@contextmanager
def cut_off(after_s: float, find: Callable[[], socket.socket | None]) -> Iterator[Cutoff]:
    """Shut the socket that `find` names after `after_s`: whoever reads from it gets an error.

    Timeouts of clients count for each read anew; a server that sends a byte now and then holds them up
    for as long as it likes.
    """
    cutoff = Cutoff()

    def shut() -> None:
        cutoff.passed = True
        found = find()
        if found is not None:
            with suppress(OSError):  # it is closed already
                found.shutdown(socket.SHUT_RDWR)

    timer = threading.Timer(after_s, shut)
    timer.daemon = True
    timer.start()
    try:
        yield cutoff
    finally:
        timer.cancel()
