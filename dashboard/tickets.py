"""One-time tickets for downloads, and how far each download has come. Shared by pages and the route."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from warehouse.client import Client
from warehouse.errors import PerfhouseError

GOOD_FOR_S = 60.0
REMEMBERED_S = 3600.0
REMEMBERED = 500

State = Literal["waiting", "running", "done", "failed", "stopped"]


@dataclass
class Download:
    """An answer on its way to one browser. `total` is None where nobody counted the rows."""

    question: str
    parameters: Mapping[str, Any]
    form: str
    title: str
    filename: str
    client: Client
    ticket: str = field(default_factory=lambda: secrets.token_urlsafe(32))
    export_id: str = field(default_factory=lambda: secrets.token_urlsafe(16))
    made_at: float = field(default_factory=time.monotonic)
    used: bool = False
    state: State = "waiting"
    rows: int = 0
    total: int | None = None
    sent: int = 0
    error: PerfhouseError | None = None

    @property
    def is_expired(self) -> bool:
        """Whether nobody used the ticket in time."""
        return not self.used and time.monotonic() - self.made_at > GOOD_FOR_S

    @property
    def is_active(self) -> bool:
        """Whether it may still come to its end."""
        return self.state == "running" or (self.state == "waiting" and not self.is_expired)

    def stop(self) -> None:
        """Have it broken off; the route looks at this all the time."""
        if self.is_active:
            self.used, self.state = True, "stopped"


class Tickets:
    """The downloads of this process by their tickets. Tickets are random, short-lived and used once."""

    def __init__(self) -> None:
        self._known: dict[str, Download] = {}
        self._lock = threading.Lock()

    def issue(self, download: Download) -> Download:
        """Make its ticket valid; forget those that ended long ago."""
        with self._lock:
            for ticket in list(self._forgettable()):
                del self._known[ticket]
            self._known[download.ticket] = download
        return download

    def redeem(self, ticket: str) -> Download | None:
        """The download, once; None where the ticket was never made.

        Raises ExpiredError when the ticket was used, stopped, or is too old.
        """
        with self._lock:
            download = self._known.get(ticket)
            if download is None:
                return None
            if download.used or download.is_expired:
                raise ExpiredError
            download.used, download.state = True, "running"
            return download

    def stop_all(self) -> None:
        """Break off everything: the process ends."""
        for download in list(self._known.values()):
            download.stop()

    def _forgettable(self) -> Iterable[str]:
        oldest = time.monotonic() - REMEMBERED_S
        ended = [ticket for ticket, download in self._known.items() if not download.is_active]
        surplus = max(0, len(self._known) - REMEMBERED + 1)
        return [
            ticket
            for place, ticket in enumerate(ended)
            if place < surplus or self._known[ticket].made_at < oldest
        ]


class ExpiredError(Exception):
    """The ticket was good once."""


TICKETS = Tickets()
"""Those of this process."""
