"""Over a year the state of an endpoint is what its attempts say, whichever hours of them are read."""

import random
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pyarrow as pa

from tests.warehouse.records import attempt
from tests.warehouse.test_rollups import naive, send
from warehouse import retention, rollups
from warehouse.model import Attempt, Batch, Outcome, Receipt, now
from warehouse.rollups import Alone
from warehouse.store import Store

Put = Callable[[Batch], Receipt]
Ask = Callable[..., pa.Table]

KEPT = ("state", "since_at", "last_at", "last_outcome", "last_status", "recent_attempts", "recent_errors")


def some(
    chance: random.Random, endpoint: str, start: datetime, end: datetime, every_s: float
) -> list[Attempt]:
    """Attempts of one endpoint that fails now and then for a while."""
    made, at, failing = [], start, False
    while at < end:
        if chance.random() < 0.05:
            failing = not failing
        ok = not failing and chance.random() > 0.03
        fields: dict[str, Any] = {"endpoint": endpoint, "status": chance.choice([200, 204, None])}
        made.append(attempt(at, ms=5 if ok else None, **fields))
        at += timedelta(milliseconds=round(every_s * chance.uniform(500, 1500)))
    return made


def expected(attempts: list[Attempt], endpoint: str, start: datetime, end: datetime) -> dict[str, Any] | None:
    """The state by every attempt of the window."""
    own = sorted((a for a in attempts if a.endpoint == endpoint and start <= a.at < end), key=lambda a: a.at)
    if not own:
        return None
    oks = [place for place, each in enumerate(own) if each.outcome is Outcome.OK]
    after = own[oks[-1] + 1 :] if oks else own
    recent = own[-20:]
    errors = sum(each.outcome is not Outcome.OK for each in recent)
    pause = (own[-1].at - own[0].at) / max(len(own) - 1, 1)
    state = "ok" if len(recent) < 5 or errors * 5 < len(recent) else "flaky"
    if after:
        state = "failing"
    if own[-1].at < end - max(3 * pause, timedelta(seconds=120)):
        state = "gone"
    known = [each.status for each in own]
    return {
        "state": state,
        "since_at": after[0].at if after else None,
        "last_at": own[-1].at,
        "last_outcome": own[-1].outcome.value,
        "last_status": known[-1],
        "recent_attempts": len(recent),
        "recent_errors": errors,
    }


def states(ask: Ask, start: datetime, end: datetime) -> dict[str, dict[str, Any]]:
    return {row["endpoint"]: row for row in ask("endpoint_states", start=start, end=end).to_pylist()}


def whole(at: datetime) -> datetime:
    """Attempts are kept in milliseconds."""
    return at.replace(microsecond=at.microsecond // 1000 * 1000)


def test_long_windows_tell_what_every_attempt_says(put: Put, ask: Ask, store: Store) -> None:
    at = whole(now())
    chance = random.Random(11)
    sent: list[Attempt] = []
    for number, every_s in enumerate((300, 900, 2500, 9000, 20_000, 900)):
        # the last one is no longer probed, and one is new
        start = at - timedelta(days=6 if number != 4 else 1)
        end = at if number != 5 else at - timedelta(days=2)
        sent += some(chance, f"GET /{number}", start, end, every_s)
    send(put, sent)
    rollups.keep_up(Alone(store.cursor()), naive(at))
    send(put, late := some(chance, "GET /1", at - timedelta(days=2), at - timedelta(days=1), 9000))
    sent += late
    seen = set()
    for round_ in range(30):
        end = at if round_ % 3 == 0 else at - timedelta(hours=chance.uniform(0, 60))
        start = end - timedelta(days=chance.uniform(1.01, 7))
        if round_ % 2 and round_ > 4:
            rollups.keep_up(Alone(store.cursor()), naive(at))
        told = states(ask, whole(start), whole(end))
        for number in range(6):
            want = expected(sent, f"GET /{number}", whole(start), whole(end))
            if want is None:
                assert f"GET /{number}" not in told
                continue
            row = told[f"GET /{number}"]
            seen.add(row["state"])
            assert row["tier"] == "raw"
            assert {name: row[name] for name in KEPT} == want, (round_, number, start, end)
    assert seen == {"ok", "failing", "flaky", "gone"}


def test_endpoints_whose_attempts_are_deleted_are_known(put: Put, ask: Ask, store: Store) -> None:
    at = whole(now())
    chance = random.Random(12)
    old = at - timedelta(days=60)
    failing = [attempt(old + timedelta(hours=each), ms=5, endpoint="GET /old") for each in range(30)]
    failing += [
        attempt(old + timedelta(hours=each), ms=None, endpoint="GET /old", status=503)
        for each in range(30, 50)
    ]
    send(put, failing)
    send(put, some(chance, "GET /new", at - timedelta(days=3), at, 900))
    connection = store.cursor()
    rollups.keep_up(Alone(connection), naive(at))
    retention.expire(connection, naive(at), 30)
    told = states(ask, at - timedelta(days=365), at)
    assert set(told) == {"GET /old", "GET /new"}
    row = told["GET /old"]
    assert (row["state"], row["tier"], row["last_outcome"]) == ("gone", "1h", "timeout")
    assert row["last_at"] == failing[-1].at
    then = states(ask, at - timedelta(days=365), failing[-1].at + timedelta(hours=1))["GET /old"]
    assert (then["state"], then["tier"]) == ("failing", "1h")
    assert then["since_at"] == failing[30].at.replace(minute=0, second=0, microsecond=0)
    assert (then["recent_attempts"], then["recent_errors"]) == (20, 20)
    retention.expire(connection, naive(at), 30, cell_days=40)
    row = states(ask, at - timedelta(days=365), at)["GET /old"]
    assert (row["state"], row["tier"]) == ("gone", "1d")
    assert row["last_at"] == failing[-1].at
