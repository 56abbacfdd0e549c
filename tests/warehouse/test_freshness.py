"""The newest row of each series is found, whether it is a second or a month old."""

from collections.abc import Callable
from datetime import timedelta

import pyarrow as pa

from tests.warehouse.records import attempt, sample
from warehouse.model import Batch, Receipt, now


def test_recent_and_old_series_alike(put: Callable[[Batch], Receipt], ask: Callable[..., pa.Table]) -> None:
    at = now()
    old, older = at - timedelta(days=3), at - timedelta(days=30)
    put(
        Batch(
            batch_id="freshness-1",
            attempts=(
                attempt(older, endpoint="gone"),
                attempt(older, endpoint="here"),
                attempt(at, endpoint="here"),
            ),
            samples=(
                sample(old),
                sample(older),
                sample(at, kind="collector", target="local", object="daemon"),
            ),
        )
    )
    assert ask("freshness").to_pylist() == [
        {"source": "local", "kind": "collector", "newest_at": at},
        {"source": "local", "kind": "host", "newest_at": old},
        {"source": "local", "kind": "probe", "newest_at": at},
    ]
    assert {row["endpoint"]: row["newest_at"] for row in ask("endpoints").to_pylist()} == {
        "gone": older,
        "here": at,
    }
    assert [(row["host"], row["newest_at"]) for row in ask("hosts").to_pylist()] == [("box", old)]


def test_an_empty_warehouse_has_nothing_fresh(ask: Callable[..., pa.Table]) -> None:
    for question in ("freshness", "endpoints", "hosts"):
        assert ask(question).num_rows == 0
