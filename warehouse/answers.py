"""Keeps answers about sealed time until anything changes that they are made of."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from warehouse import tiers
from warehouse.export import Format, render
from warehouse.questions.asking import Statement, stored
from warehouse.tiers import ATTEMPT

if TYPE_CHECKING:
    from warehouse.reader import Reader
    from warehouse.store import Store

OF_ATTEMPTS = ("percentile_trend", "errors_by_class", "phase_breakdown", "latency_heatmap")
"""Questions that read nothing but attempts, their cells, and what tells which of them."""

MOST_BYTES = 32_000_000
"""So many bytes of answers are kept."""

LARGEST = MOST_BYTES // 4
"""Larger ones are not."""

HEADER = "x-perfhouse-kept"
"""The header of an answer that was given before: nothing that it is made of has changed since."""


@dataclass(frozen=True)
class Answer:
    """An answer's bytes, and whether they were kept from an earlier one."""

    body: bytes
    was_kept: bool = False


class Answers:
    """Answers as they are sent. Used by any thread.

    One is kept where its window ended before `sealing_until`: a row of that time moves the stand when it
    comes, as does everything but the batches of newer rows. Kept answers are those of the present stand.
    """

    def __init__(self, store: Store, reader: Reader) -> None:
        self._store, self._reader = store, reader
        self._lock = threading.Lock()
        self._kept: OrderedDict[Hashable, bytes] = OrderedDict()
        self._stand = -1
        self._bytes = 0
        self._settled: tuple[int, datetime | None] = (-1, None)

    def give(self, name: str, question: Callable[[Any], Statement], asked: Any, form: Format) -> Answer:
        """The answer to a question with its parameters in a form. Raises as Reader.answer does."""
        if name not in OF_ATTEMPTS:
            return Answer(self._made(name, question, asked, form))
        stand = self._store.stand.number
        key = (name, asked, form)
        known = self._find(key, stand)
        if known is not None:
            return Answer(known, was_kept=True)
        body = self._made(name, question, asked, form)
        settled = self._settled_until(stand)
        if settled is not None and stored(asked.end) <= settled and self._store.stand.number == stand:
            self._keep(key, stand, body)
        return Answer(body)

    def _made(self, name: str, question: Callable[[Any], Statement], asked: Any, form: Format) -> bytes:
        return render(name, self._reader.answer(question(asked), asked.first), form)

    def _settled_until(self, stand: int) -> datetime | None:
        """Until when rows that come would move the stand (UTC, naive)."""
        known = self._settled
        if known[0] == stand:
            return known[1]
        with self._store.lend() as lease, lease.busy() as connection:
            until = tiers.read(connection, ATTEMPT).sealing_until
        if self._store.stand.number == stand:
            self._settled = (stand, until)
        return until

    def _find(self, key: Hashable, stand: int) -> bytes | None:
        with self._lock:
            if self._stand != stand:
                return None
            body = self._kept.get(key)
            if body is not None:
                self._kept.move_to_end(key)
            return body

    def _keep(self, key: Hashable, stand: int, body: bytes) -> None:
        """Keep it in place of those asked for longest ago; all of an earlier stand go."""
        with self._lock:
            if self._stand < stand:
                self._kept.clear()
                self._stand, self._bytes = stand, 0
            if self._stand > stand or key in self._kept or len(body) > LARGEST:
                return
            self._kept[key] = body
            self._bytes += len(body)
            while self._bytes > MOST_BYTES:
                self._bytes -= len(self._kept.popitem(last=False)[1])
