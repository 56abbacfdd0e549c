"""Attempts are counted against the limit of their endpoint: exactly, over all tiers, never by guessing."""

import random
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from tests.warehouse.test_rollups import naive, send, some_attempts
from warehouse import objectives, retention, rollups, tiers
from warehouse.errors import ConfigurationError
from warehouse.model import Attempt, Batch, Outcome, Receipt, now
from warehouse.rebuild import rebuild
from warehouse.rollups import Alone
from warehouse.settings import Settings, parse
from warehouse.store import Store

Put = Callable[[Batch], Receipt]
Ask = Callable[..., pa.Table]
Counts = tuple[int, int, int]

DEADLINE_US = 3_000_000


def configured(settings: Settings, **limits_ms: float) -> Settings:
    """A configuration whose endpoints `GET /0` and `GET /1` have these limits (by `e0`, `e1`, `all`)."""
    every = f"objective_ms = {limits_ms['all']}\n" if "all" in limits_ms else ""
    text = f'[[target]]\nname = "shop"\nurl = "http://127.0.0.1:9"\n{every}'
    for number in range(3):
        own = limits_ms.get(f"e{number}")
        text += f'[[target.endpoint]]\npath = "/{number}"\n'
        text += "" if own is None else f"objective_ms = {own}\n"
    return parse(text, settings.path, {})


def expected(attempts: list[Attempt], endpoint: str, limit_us: int, start: datetime, end: datetime) -> Counts:
    """Within, above and unknown of the attempts of a window."""
    within = above = unknown = 0
    for each in attempts:
        if each.endpoint != endpoint or not start <= each.at < end:
            continue
        if each.outcome is Outcome.OK:
            assert each.total_us is not None
            within, above = (within + 1, above) if each.total_us <= limit_us else (within, above + 1)
        elif each.outcome is Outcome.TIMEOUT:
            above, unknown = (above + 1, unknown) if limit_us <= DEADLINE_US else (above, unknown + 1)
    return within, above, unknown


def summary(ask: Ask, start: datetime, end: datetime) -> dict[str, dict[str, Any]]:
    return {row["endpoint"]: row for row in ask("latency_summary", start=start, end=end).to_pylist()}


def counts(row: dict[str, Any]) -> Counts:
    return row["n_within"], row["n_above"], row["n_unknown"]


def test_counts_are_exact_over_all_tiers_and_windows(
    put: Put, ask: Ask, store: Store, settings: Settings
) -> None:
    at = now()
    chance = random.Random(1)
    sent = some_attempts(chance, at - timedelta(days=4), at, 3000)
    # 20 ms; and longer than the deadline, so that timeouts tell nothing
    assert objectives.configure(store.cursor(), configured(settings, e0=20, e1=5000)) == 2
    send(put, sent)
    rollups.keep_up(Alone(store.cursor()), naive(at))
    send(put, late := some_attempts(chance, at - timedelta(days=3), at - timedelta(hours=2), 40))
    sent += late
    tiered = set()
    for _ in range(12):
        start = at - timedelta(hours=chance.uniform(0, 90)) - timedelta(hours=1)
        end = start + timedelta(hours=chance.uniform(1, 60))
        rows = summary(ask, start, end)
        for endpoint, limit_us in (("GET /0", 20_000), ("GET /1", 5_000_000)):
            row = rows[endpoint]
            tiered.add(row["tier"])
            told = expected(sent, endpoint, limit_us, start, end)
            assert counts(row) == told
            assert row["objective_ms"] == limit_us / 1000
            assert row["within_ratio"] == told[0] / (told[0] + told[1])
            assert row["objective_from"] is None
            assert sum(told) == row["n"]
        assert rows["GET /2"]["objective_ms"] is None
        assert rows["GET /2"]["n_within"] is None
    assert any("1h" in tier for tier in tiered)


def test_where_attempts_are_deleted_older_cells_keep_the_limit_they_were_counted_with(
    put: Put, ask: Ask, store: Store, settings: Settings
) -> None:
    at = now()
    chance = random.Random(2)
    connection = store.cursor()
    objectives.configure(connection, configured(settings, all=20))
    sent = some_attempts(chance, at - timedelta(days=5), at - timedelta(hours=1), 1200)
    send(put, sent)
    rollups.keep_up(Alone(connection), naive(at))
    retention.expire(connection, naive(at), 2)
    since = tiers.read(connection, "attempt").raw_from
    assert since is not None
    start, end = at - timedelta(days=6), at
    row = summary(ask, start, end)["GET /0"]
    assert counts(row) == expected(sent, "GET /0", 20_000, start, end), "all were counted with it"
    assert row["objective_from"] is None
    assert objectives.configure(connection, configured(settings, all=30)) == 3
    rollups.keep_up(Alone(connection), naive(at))
    row = summary(ask, start, end)["GET /0"]
    again = since.replace(tzinfo=at.tzinfo)
    whole_days = again if again.hour == 0 else again.replace(hour=0) + timedelta(days=1)
    least, most = (expected(sent, "GET /0", 30_000, each, end) for each in (whole_days, again))
    assert sum(least) <= sum(counts(row)) <= sum(most)
    assert sum(counts(row)) < row["n"]
    assert again <= row["objective_from"] < row["objective_until"]
    assert list(rebuild(Alone(connection), naive(at)))[-1]["differences"] == 0


def test_late_rows_of_deleted_hours_are_counted_with_the_same_limit_alone(
    put: Put, ask: Ask, store: Store, settings: Settings
) -> None:
    at = now()
    chance = random.Random(3)
    connection = store.cursor()
    objectives.configure(connection, configured(settings, all=20))
    sent = some_attempts(chance, at - timedelta(days=4), at - timedelta(days=3), 600)
    send(put, sent + some_attempts(chance, at - timedelta(hours=3), at - timedelta(hours=2), 30))
    rollups.keep_up(Alone(connection), naive(at))
    retention.expire(connection, naive(at), 2)
    late = some_attempts(chance, at - timedelta(days=4), at - timedelta(days=3), 60)
    send(put, late)
    rollups.keep_up(Alone(connection), naive(at))
    start, end = at - timedelta(days=5), at - timedelta(days=2)
    for endpoint in ("GET /0", "GET /1", "GET /2"):
        row = summary(ask, start, end)[endpoint]
        assert counts(row) == expected([*sent, *late], endpoint, 20_000, start, end)


def test_no_data_is_no_pass(put: Put, ask: Ask, store: Store, settings: Settings) -> None:
    at = now()
    objectives.configure(store.cursor(), configured(settings, all=5000))
    fields: dict[str, Any] = {"target": "shop", "endpoint": "GET /0", "at": at, "deadline_us": DEADLINE_US}
    send(put, [Attempt(**fields, outcome=Outcome.TIMEOUT, total_us=None)])
    row = summary(ask, at - timedelta(hours=1), at + timedelta(minutes=1))["GET /0"]
    assert counts(row) == (0, 0, 1)
    assert row["within_ratio"] is None


def test_an_endpoints_limit_comes_before_its_targets(settings: Settings) -> None:
    told = objectives.limits_of(configured(settings, all=200, e1=50.5))
    assert told == {("shop", "GET /0"): 200_000, ("shop", "GET /1"): 50_500, ("shop", "GET /2"): 200_000}


def test_a_limit_that_is_none_is_refused_by_its_key(tmp_path: Path) -> None:
    text = '[[target]]\nname = "a"\nurl = "http://127.0.0.1:9"\nobjective_ms = 0\n'
    text += '[[target.endpoint]]\npath = "/"\n'
    with pytest.raises(ConfigurationError, match=r"target\[1\]\.objective_ms"):
        parse(text, tmp_path / "perfhouse.toml", {})
