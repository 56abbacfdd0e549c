"""Exports that run or ran lately: how far each has come, and how to end one whose reader went away."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from warehouse.errors import InvalidInputError
from warehouse.model import now

REMEMBERED = 64


@dataclass
class Export:
    """One answer on its way out. `rows` have left the database; `total` is None where nobody counted."""

    export_id: str = field(default_factory=lambda: secrets.token_urlsafe(16))
    owner: str = ""
    question: str = ""
    started_at: datetime = field(default_factory=now)
    total: int | None = None
    rows: int = 0
    state: Literal["running", "done", "broken"] = "running"
    unwanted: bool = False
    _interrupt: Callable[[], None] | None = None

    @contextmanager
    def reading(self) -> Iterator[None]:
        """While it is read; at the end it is broken unless it was called done."""
        try:
            yield
        finally:
            if self.state == "running":
                self.state = "broken"

    @contextmanager
    def interrupted_by(self, interrupt: Callable[[], None]) -> Iterator[None]:
        """While `interrupt` ends what runs for it."""
        self._interrupt = interrupt
        try:
            yield
        finally:
            self._interrupt = None

    def interrupt(self) -> None:
        """Nobody wants the rest. An interrupt is lost while nothing runs, so say it again until it ended."""
        self.unwanted = True
        if self._interrupt is not None:
            self._interrupt()


class Exports:
    """The exports this process knows of, the newest REMEMBERED of them."""

    def __init__(self) -> None:
        self._known: dict[str, Export] = {}
        self._lock = threading.Lock()

    def begin(self, export_id: str | None, owner: str, question: str) -> Export:
        """Note an export. Raises InvalidInputError when its id was used before."""
        export = Export(owner=owner, question=question)
        export.export_id = export_id or export.export_id
        with self._lock:
            if export.export_id in self._known:
                raise InvalidInputError(
                    "another export has this id", field="X-Export-Id", hint="Make a new one.", status=409
                )
            for old in list(self._known)[: max(0, len(self._known) - REMEMBERED + 1)]:
                del self._known[old]
            self._known[export.export_id] = export
        return export

    def find(self, export_id: str, owner: str) -> Export | None:
        """An export of this owner by its id."""
        export = self._known.get(export_id)
        return export if export is not None and export.owner == owner else None
