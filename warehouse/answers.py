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

Body = bytes | memoryview
"""An answer as it is sent."""

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

    body: Body
    was_kept: bool = False


@dataclass(frozen=True)
class _Kept:
    """An answer about a window that ended at `end` (UTC, naive), made while the stand had that number."""

    number: int
    end: datetime
    body: Body


class Answers:
    """Answers as they are sent. Used by any thread.

    One is kept where its window ended before `sealing_until`: a row of that time moves the stand when it
    comes, as does everything but the batches of newer rows. It is given while what lies before its window's
    end stands as it did.
    """

    def __init__(self, store: Store, reader: Reader) -> None:
        self._store, self._reader = store, reader
        self._lock = threading.Lock()
        self._kept: OrderedDict[Hashable, _Kept] = OrderedDict()
        self._bytes = 0
        self._settled: tuple[int, datetime | None] = (-1, None)

    def give(self, name: str, question: Callable[[Any], Statement], asked: Any, form: Format) -> Answer:
        """The answer to a question with its parameters in a form. Raises as Reader.answer does."""
        if name not in OF_ATTEMPTS:
            return Answer(self._made(name, question, asked, form))
        stand = self._store.stand.number
        key = (name, asked, form)
        known = self._find(key)
        if known is not None:
            return Answer(known, was_kept=True)
        body = self._made(name, question, asked, form)
        settled = self._settled_until(stand)
        if settled is not None and stored(asked.end) <= settled and self._store.stand.number == stand:
            self._keep(key, _Kept(stand, stored(asked.end), body))
        return Answer(body)

    def _made(self, name: str, question: Callable[[Any], Statement], asked: Any, form: Format) -> Body:
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

    def _find(self, key: Hashable) -> Body | None:
        with self._lock:
            kept = self._kept.get(key)
            if kept is None:
                return None
            if not self._stands(kept):
                self._drop(key)
                return None
            self._kept.move_to_end(key)
            return kept.body

    def _stands(self, kept: _Kept) -> bool:
        return self._store.stand.unchanged_until(kept.number) >= kept.end

    def _drop(self, key: Hashable) -> None:
        self._bytes -= len(self._kept.pop(key).body)

    def _keep(self, key: Hashable, fresh: _Kept) -> None:
        """Keep it in place of those that stand no more, and of those asked for longest ago."""
        with self._lock:
            for each in [each for each, kept in self._kept.items() if not self._stands(kept)]:
                self._drop(each)
            if key in self._kept or len(fresh.body) > LARGEST:
                return
            self._kept[key] = fresh
            self._bytes += len(fresh.body)
            while self._bytes > MOST_BYTES:
                self._drop(next(iter(self._kept)))
