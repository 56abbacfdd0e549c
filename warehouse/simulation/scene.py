"""What a made-up history is about: endpoints, hosts, a database and its queries, drawn from a seed."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

ENDPOINTS = 50
DEADLINE_US = 3_000_000
DATABASE = "shop"
HOSTS = ("web-1", "web-2", "db-1")

_PATHS = ("", "/{id}", "/{id}/items", "/search", "/recent")
_NOUNS = {
    "shop": ("products", "carts"),
    "billing": ("invoices", "payments"),
    "accounts": ("users", "sessions"),
    "search": ("suggestions", "results"),
    "reports": ("sales", "exports"),
}

_QUERIES = (
    ("read", "SELECT * FROM products WHERE id = $1"),
    ("read", "SELECT * FROM products WHERE category = $1 ORDER BY name LIMIT $2"),
    ("read", "SELECT * FROM carts JOIN cart_lines USING (cart_id) WHERE cart_id = $1"),
    ("read", "SELECT count(*) FROM orders WHERE created_at > $1"),
    ("read", "SELECT * FROM users WHERE email = $1"),
    ("read", "SELECT * FROM invoices WHERE supplier_id = $1 ORDER BY issued_on DESC LIMIT $2"),
    ("read", "SELECT sum(amount_cents) FROM payments WHERE paid_on BETWEEN $1 AND $2"),
    ("read", "SELECT name FROM suggestions WHERE name LIKE $1 LIMIT $2"),
    ("write", "INSERT INTO orders (cart_id, user_id, total_cents) VALUES ($1, $2, $3)"),
    ("write", "UPDATE carts SET changed_at = $1 WHERE cart_id = $2"),
    ("write", "INSERT INTO cart_lines (cart_id, product_id, amount) VALUES ($1, $2, $3)"),
    ("write", "UPDATE products SET stock = stock - $1 WHERE id = $2"),
    ("write", "DELETE FROM sessions WHERE expires_at < $1"),
    ("transaction", "BEGIN"),
    ("transaction", "COMMIT"),
)

Numbers = NDArray[np.float64]
Random = np.random.Generator


@dataclass(frozen=True)
class Endpoint:
    """One endpoint: how long it takes on a quiet night (µs), how that spreads, and how often it fails."""

    target: str
    label: str
    median_us: float
    sigma: float
    sensitivity: float
    error_ratio: float
    size_bytes: int
    is_fresh: bool


@dataclass(frozen=True)
class Query:
    """One query shape: its mean time (µs) on a quiet night and its calls a second at noon."""

    shape: str
    category: str
    text: str
    mean_us: float
    calls_per_s: float
    rows_per_call: float


@dataclass(frozen=True)
class Scene:
    """Everything that is watched."""

    endpoints: tuple[Endpoint, ...]
    queries: tuple[Query, ...]
    hosts: tuple[str, ...] = HOSTS
    database: str = DATABASE

    def column(self, name: str) -> Any:
        """A number of every endpoint, as a column that broadcasts over instants."""
        return np.array([getattr(each, name) for each in self.endpoints], np.float32)[:, None]


def draw(seed: int) -> Scene:
    """The scene of a seed: always the same one."""
    random = np.random.default_rng([seed, 1])
    labels = [
        (target, f"GET /{noun}{path}")
        for target, nouns in _NOUNS.items()
        for noun in nouns
        for path in _PATHS
    ]
    assert len(labels) == ENDPOINTS
    return Scene(
        endpoints=tuple(_endpoint(random, *label) for label in labels),
        queries=tuple(_query(random, *query) for query in _QUERIES),
    )


def _endpoint(random: Random, target: str, label: str) -> Endpoint:
    return Endpoint(
        target=target,
        label=label,
        median_us=float(np.exp(random.uniform(np.log(3_000), np.log(250_000)))),
        sigma=float(random.uniform(0.2, 0.6)),
        sensitivity=float(random.uniform(0.1, 0.8)),
        error_ratio=float(random.uniform(0.0005, 0.004)),
        size_bytes=int(random.integers(200, 40_000)),
        is_fresh=bool(random.random() < 0.3),
    )


def _query(random: Random, category: str, text: str) -> Query:
    return Query(
        shape=hashlib.sha256(text.encode()).hexdigest()[:16],
        category=category,
        text=text,
        mean_us=float(np.exp(random.uniform(np.log(50), np.log(20_000)))),
        calls_per_s=float(np.exp(random.uniform(np.log(0.2), np.log(80)))),
        rows_per_call=float(random.choice([0, 1, 1, 5, 20])),
    )


def business(at_ms: NDArray[np.int64]) -> Numbers:
    """How busy people are, from 0 to 1: most at two in the afternoon (UTC), less at weekends."""
    hours = at_ms % 86_400_000 / 3_600_000
    weekday = (at_ms // 86_400_000 + 3) % 7
    distance = np.abs((hours - 14 + 12) % 24 - 12)
    daily = 0.12 + 0.88 * np.exp(-((distance / 4.5) ** 2))
    return np.asarray(daily * np.where(weekday >= 5, 0.45, 1.0), np.float64)
