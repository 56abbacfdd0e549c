"""What the API tells Prometheus about itself: histograms and counters with bounded labels."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
)
from prometheus_client.exposition import choose_encoder

REQUEST_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
QUERY_BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)
PROCESSING_BUCKETS = (0.025, 0.05, 0.1, 0.15, 0.25, 0.5, 1, 2.5, 5, 10, 30)
UNMATCHED = "unmatched"
NO_ANSWER = "none"

disable_created_metrics()  # type: ignore[no-untyped-call] # they double the number of series


class Metrics:
    """All metrics of one application, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Histogram(
            "http_request_duration_seconds",
            "From the request's arrival to the end of the answer. Route templates; status none: no answer.",
            ("method", "route", "status"),
            buckets=REQUEST_BUCKETS,
            registry=self.registry,
        )
        self.queries = Histogram(
            "db_query_duration_seconds",
            "One statement, from sending it to its last row; waiting for a connection is not part of it.",
            ("query",),
            buckets=QUERY_BUCKETS,
            registry=self.registry,
        )
        self.processing = Histogram(
            "invoice_processing_duration_seconds",
            "One uploaded invoice, from leaving the queue to processed or failed.",
            registry=self.registry,
            buckets=PROCESSING_BUCKETS,
        )
        self.processed = Counter(
            "invoices_processed", "Uploaded invoices by how they ended.", ("outcome",), registry=self.registry
        )
        self.cache_hits = Counter(
            "cache_hits", "Lookups answered by the cache.", ("cache",), registry=self.registry
        )
        self.cache_misses = Counter(
            "cache_misses", "Lookups the cache could not answer.", ("cache",), registry=self.registry
        )
        self.connections = Gauge(
            "db_connections", "Database connections of the pool.", ("state",), registry=self.registry
        )
        for outcome in ("processed", "failed"):
            self.processed.labels(outcome)
        self.cache_hits.labels("invoice")
        self.cache_misses.labels("invoice")
        ProcessCollector(registry=self.registry)

    @contextmanager
    def time_query(self, query: str) -> Iterator[None]:
        """Time one statement, whether it succeeds or not."""
        started = time.perf_counter()
        try:
            yield
        finally:
            self.queries.labels(query).observe(time.perf_counter() - started)

    def render(self, accept: str) -> tuple[bytes, str]:
        """The exposition and its content type, in the format that the scraper accepts."""
        encode, content_type = choose_encoder(accept)
        return encode(self.registry), content_type
