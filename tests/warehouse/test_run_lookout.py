"""Load tests that come out otherwise than those before are told; more is better where it is of throughput."""

import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from tests.warehouse.watched_worlds import last_point
from warehouse.lookout import Lookout
from warehouse.settings import Settings
from warehouse.store import Store
from warehouse.writer import Writer

Ask = Callable[..., pa.Table]
FIRST = last_point() - timedelta(days=4)


@pytest.fixture
def lookout(store: Store, writer: Writer, settings: Settings) -> Iterator[Lookout]:
    lookout = Lookout(store, writer, settings)
    yield lookout
    lookout.stop()


def add_run(
    store: Store, number: int, *, p95_ms: float = 80.0, rps: float = 200.0, bound: bool = False, n: int = 2000
) -> None:
    """A finished and judged run that ended `number` hours after FIRST."""
    noise = np.exp(0.02 * np.random.default_rng(number).standard_normal(3))
    at = FIRST + timedelta(hours=number)
    summary = {"n": n, "p50_ms": 40 * noise[0], "p95_ms": p95_ms * noise[1], "rps": rps * noise[2]}
    store.cursor().execute(
        """
        INSERT INTO run BY NAME
        SELECT $run_id AS run_id, $number AS run_no, $run_id AS request_id, 'shop' AS target, '' AS url,
            '' AS environment, 'smoke' AS preset, 'read' AS scenario, 'h' AS scenario_hash, '{}' AS plan,
            'finished' AS state, 'pass' AS verdict, '' AS reason, $at AS requested_at, 'ann' AS requested_by,
            'cli' AS via, FALSE AS waits, '' AS note, 'local' AS agent, $at AS started_at, $at AS ended_at,
            $at AS complete_at, $at AS judged_at, FALSE AS is_partial, $bound AS is_generator_bound,
            FALSE AS is_baseline, $summary AS summary
        """,
        {
            "run_id": f"r{at:%Y%m%d%H%M%S}-{number:06x}",
            "number": number,
            "at": at,
            "bound": bound,
            "summary": json.dumps(summary),
        },
    )


def found(ask: Ask) -> list[dict[str, Any]]:
    window = {"start": f"{FIRST - timedelta(days=1)}Z", "end": f"{last_point() + timedelta(days=1)}Z"}
    rows: list[dict[str, Any]] = ask("regressions", **window).to_pylist()
    return rows


def test_slower_runs_with_less_throughput_are_one_regression_told_within_three(
    store: Store, lookout: Lookout, ask: Ask, writer: Writer, settings: Settings
) -> None:
    for number in range(1, 25):
        add_run(store, number)
    lookout.look()
    assert found(ask) == []
    assert [
        (row["kind"], row["series"], row["ready"], row["points"]) for row in ask("watching").to_pylist()
    ] == [("loadtest", 4, 4, 24)]
    for number in range(25, 28):
        add_run(store, number, p95_ms=112.0, rps=140.0)
        lookout.look()
    (told,) = found(ask)
    assert (told["verdict"], told["object"]) == ("regression", "smoke")
    assert told["changed_at"].replace(tzinfo=None) == FIRST + timedelta(hours=25)
    assert told["points_after"] <= 3
    rows = ask("regression_series", regression_id=told["regression_id"]).to_pylist()
    assert {(row["metric"], row["after"] > row["before"]) for row in rows} == {
        ("p95_ms", True),
        ("rps", False),
    }
    again = Lookout(store, writer, settings)
    again.look()
    again.stop()
    assert len(found(ask)) == 1


def test_runs_that_say_nothing_of_the_target_are_left_out(store: Store, lookout: Lookout, ask: Ask) -> None:
    for number in range(1, 25):
        add_run(store, number)
    lookout.look()
    for number in range(25, 32):
        add_run(store, number, p95_ms=500.0, bound=number % 2 == 0, n=2000 if number % 2 == 0 else 10)
        lookout.look()
    assert [row for row in found(ask) if row["metric"] == "p95_ms"] == []
