"""A small in-process cache of single invoices, counted in hits and misses."""

from __future__ import annotations

import time
from collections import OrderedDict
from typing import Any

from demo.metrics import Metrics

CAPACITY = 1000
FRESH_S = 10.0


class InvoiceCache:
    """The most recently used invoices, each for at most 10 s."""

    def __init__(self, metrics: Metrics) -> None:
        self._hits = metrics.cache_hits.labels("invoice")
        self._misses = metrics.cache_misses.labels("invoice")
        self._entries: OrderedDict[int, tuple[float, dict[str, Any]]] = OrderedDict()

    def get(self, invoice_id: int) -> dict[str, Any] | None:
        """The invoice, or None when it is not here or no longer fresh."""
        entry = self._entries.get(invoice_id)
        if entry is None or entry[0] <= time.monotonic():
            self._misses.inc()
            return None
        self._hits.inc()
        self._entries.move_to_end(invoice_id)
        return entry[1]

    def put(self, invoice_id: int, invoice: dict[str, Any]) -> None:
        """Keep an invoice, and drop the one unused for longest when there are too many."""
        self._entries[invoice_id] = (time.monotonic() + FRESH_S, invoice)
        self._entries.move_to_end(invoice_id)
        if len(self._entries) > CAPACITY:
            self._entries.popitem(last=False)

    def drop(self, invoice_id: int) -> None:
        """Forget an invoice that has changed."""
        self._entries.pop(invoice_id, None)
