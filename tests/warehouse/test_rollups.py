"""Cells equal what the single attempts say, whatever comes late, is killed or is deleted meanwhile."""

import math
import random
import signal
import subprocess
import sys
from collections import defaultdict
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from tests.warehouse.records import attempt
from warehouse import retention, rollups, tiers
from warehouse.model import Attempt, Batch, Outcome, Receipt, now
from warehouse.rollups import Alone
from warehouse.settings import Settings
from warehouse.stand import EVER
from warehouse.store import Store

Put = Callable[[Batch], Receipt]

WIDTHS = {300: "attempt_cell_5m", 3600: "attempt_cell_1h", 86_400: "attempt_cell_1d"}
OTHERS = (Outcome.REFUSED, Outcome.BAD_STATUS, Outcome.DNS)
_numbers = count()


def naive(instant: datetime) -> datetime:
    return instant.astimezone(UTC).replace(tzinfo=None)


def some_attempts(chance: random.Random, since: datetime, until: datetime, many: int) -> list[Attempt]:
    made = []
    for _ in range(many):
        at = since + chance.random() * (until - since)
        at = at.replace(microsecond=at.microsecond // 1000 * 1000)
        fields: dict[str, Any] = {"endpoint": f"GET /{chance.randrange(3)}", "deadline_us": 3_000_000}
        kind = chance.random()
        if kind < 0.85:
            made.append(attempt(at, ms=round(chance.lognormvariate(3, 1), 3), connect_us=9, **fields))
        elif kind < 0.93:
            made.append(attempt(at, ms=None, **fields))
        else:
            made.append(attempt(at, outcome=chance.choice(OTHERS), total_us=None, **fields))
    return made


def send(put: Put, attempts: Iterable[Attempt]) -> None:
    put(Batch(batch_id=f"rollups-{next(_numbers)}", attempts=tuple(attempts)))


def expected(attempts: Iterable[Attempt], width_s: int) -> dict[tuple[datetime, str], dict[str, Any]]:
    """What the cells of a width must hold, by their start and endpoint."""
    grouped = defaultdict(list)
    for each in attempts:
        start = int(each.at.timestamp()) // width_s * width_s
        grouped[(datetime.fromtimestamp(start, UTC).replace(tzinfo=None), each.endpoint)].append(each)
    cells = {}
    for key, group in grouped.items():
        ok = sorted(each.total_us or 0 for each in group if each.outcome is Outcome.OK)
        late = sum(each.outcome is Outcome.TIMEOUT for each in group)
        ranked = [*((us, False) for us in ok), *[(3_000_000, True)] * late]
        places = [max(math.ceil(p * len(ranked) / 100), 1) - 1 for p in (50, 95, 99)]
        cells[key] = {
            "attempts": len(group),
            "n_ok": len(ok),
            "timeouts": late,
            "sum_us": sum(ok) if ok else None,
            "min_us": ok[0] if ok else None,
            "max_us": ok[-1] if ok else None,
            "percentiles": [ranked[place] for place in places] if ranked else None,
            "others": len(group) - len(ok),
        }
    return cells


def found(store: Store, width_s: int) -> dict[tuple[datetime, str], dict[str, Any]]:
    """What the cells of a width do hold."""
    rows = (
        store.cursor()
        .sql(
            f"""
            SELECT cell.*, object AS endpoint, coalesce(other.attempts, 0) AS others
            FROM {WIDTHS[width_s]} AS cell JOIN series USING (series_id) LEFT JOIN (
                SELECT ts, series_id, sum(attempts) AS attempts FROM attempt_cell_outcome
                WHERE width_s = {width_s} GROUP BY ALL
            ) AS other USING (ts, series_id)
            """
        )
        .to_arrow_table()
        .to_pylist()
    )
    cells = {(row["ts"], row["endpoint"]): row for row in rows}
    assert len(cells) == len(rows), "a cell is there twice"
    return cells


def assert_equal(store: Store, attempts: Iterable[Attempt], until: datetime, *, exact: bool = True) -> None:
    """Every cell up to `until` is what the attempts say; percentiles of days within 1 %."""
    kept = [each for each in attempts if naive(each.at) < until]
    for width_s in WIDTHS:
        wanted = {
            key: cell
            for key, cell in expected(kept, width_s).items()
            if key[0] + timedelta(seconds=width_s) <= until
        }
        cells = found(store, width_s)
        assert cells.keys() == wanted.keys()
        for key, cell in wanted.items():
            row = cells[key]
            for name in ("attempts", "n_ok", "timeouts", "sum_us", "min_us", "max_us", "others"):
                assert row[name] == cell[name], (width_s, key, name)
            if row["above"] & 8:
                assert not exact
                continue
            bound = 0.010_001 if width_s == 86_400 or not exact else 0
            stored = [row["p50_us"], row["p95_us"], row["p99_us"] or row["max_us"]]
            for place, (us, above) in enumerate(cell["percentiles"] or ()):
                assert bool(row["above"] >> place & 1) is above
                assert stored[place] == pytest.approx(us, rel=bound, abs=1 if bound else 0)


def late(store: Store) -> int:
    return int(store.cursor().execute("SELECT count(*) FROM dirty").fetchall()[0][0])


@pytest.mark.parametrize("seed", range(3))
def test_cells_equal_the_single_attempts_however_they_came(put: Put, store: Store, seed: int) -> None:
    chance = random.Random(seed)
    end = now().replace(minute=17, second=3)
    sent: list[Attempt] = []
    for back in (50, 30, 29, 9, 3, 1, 0.2):
        at = end - timedelta(hours=back)
        fresh = some_attempts(chance, at - timedelta(hours=back / 3), at, 300)
        old = some_attempts(chance, end - timedelta(hours=70), at, 20)
        sent += fresh + old
        send(put, fresh)
        rollups.keep_up(Alone(store.cursor()), naive(at))
        send(put, old)
    rollups.keep_up(Alone(store.cursor()), naive(end))
    sealed = tiers.read(store.cursor(), "attempt").sealed_until
    assert sealed is not None
    newest = max(naive(each.at) for each in sent)
    assert newest - sealed < timedelta(minutes=10)
    assert late(store) == 0
    assert_equal(store, sent, sealed)


class Counted(Alone):
    """Counts the steps."""

    writes = 0

    def write(self, work, since=EVER):  # type: ignore[no-untyped-def]
        self.writes += 1
        return super().write(work, since)


@pytest.mark.parametrize("back", [(390, 3), (90, 34, 31, 0.1), (390,)])
def test_times_without_rows_are_sealed_in_one_step(put: Put, store: Store, back: tuple[float, ...]) -> None:
    end = now().replace(hour=12, minute=17, second=3)
    chance = random.Random(8)
    sent: list[Attempt] = []
    for days in back:
        at = end - timedelta(days=days)
        sent += some_attempts(chance, at - timedelta(hours=5), at, 60)
    send(put, sent)
    steps = Counted(store.cursor())
    rollups.keep_up(steps, naive(end))
    assert steps.writes <= 20, "of 390 days"
    old = some_attempts(chance, end - timedelta(days=max(back) - 1), end - timedelta(days=2), 9)
    send(put, old)
    rollups.keep_up(Alone(store.cursor()), naive(end))
    sealed = tiers.read(store.cursor(), "attempt").sealed_until
    days_sealed = tiers.read(store.cursor(), "attempt_1d").sealed_until
    assert sealed is not None
    assert days_sealed == tiers.floor(sealed, 86_400)
    assert late(store) == 0
    assert_equal(store, sent + old, sealed)


def test_a_row_that_comes_while_cells_are_computed_is_not_lost(put: Put, store: Store) -> None:
    end = now() - timedelta(hours=2)
    chance = random.Random(5)
    sent = some_attempts(chance, end - timedelta(hours=3), end, 200)
    send(put, sent)
    between = some_attempts(chance, end - timedelta(hours=3), end, 50)

    class Interrupted(Alone):
        """Rows come before each write but the first, which announces it."""

        writes = 0

        def write(self, work, since=EVER):  # type: ignore[no-untyped-def]
            self.writes += 1
            if self.writes == 2:
                send(put, between)
            return super().write(work, since)

    rollups.keep_up(Interrupted(store.cursor()), naive(now()))
    rollups.keep_up(Alone(store.cursor()), naive(now()))
    sealed = tiers.read(store.cursor(), "attempt").sealed_until
    assert sealed is not None
    assert_equal(store, sent + between, sealed)


KILLED = """
import os, signal, sys
from datetime import UTC, datetime
from pathlib import Path
from warehouse import rollups
from warehouse.rollups import Alone
from warehouse.settings import load
from warehouse.store import Store

class Killed(Alone):
    def write(self, work, *since):
        global left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        done = super().write(work, *since)
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return done

left = int(sys.argv[2])
store = Store(load(Path(sys.argv[1]), {}))
rollups.keep_up(Killed(store.cursor()), datetime.now(UTC).replace(tzinfo=None))
store.close()
"""


def test_a_kill_between_any_two_steps_harms_nothing(put: Put, store: Store, settings: Settings) -> None:
    chance = random.Random(9)
    end = now() - timedelta(minutes=40)
    sent = some_attempts(chance, end - timedelta(hours=134), end - timedelta(hours=30), 400)
    send(put, sent)
    rollups.keep_up(Alone(store.cursor()), naive(now()))
    more = some_attempts(chance, end - timedelta(hours=134), end, 400)
    send(put, more)
    store.close()
    ended = kills = 0
    for step in range(1, 40):
        done = subprocess.run(
            [sys.executable, "-c", KILLED, str(settings.path), str(step)], cwd=Path.cwd(), timeout=120
        )
        kills += done.returncode == -signal.SIGKILL
        if done.returncode == 0:
            ended += 1
            break
    assert ended
    assert kills >= 6
    store.__init__(settings)  # type: ignore[misc]
    sealed = tiers.read(store.cursor(), "attempt").sealed_until
    assert sealed is not None
    assert late(store) == 0
    assert_equal(store, sent + more, sealed)


def test_late_rows_of_deleted_days_are_added_to_their_cells(put: Put, store: Store) -> None:
    chance = random.Random(11)
    at = now()
    sent = some_attempts(chance, at - timedelta(days=34), at - timedelta(days=32), 500)
    send(put, [*sent, attempt(at - timedelta(hours=1))])
    rollups.keep_up(Alone(store.cursor()), naive(at))
    assert retention.expire(store.cursor(), naive(at), 30)["attempt"] == 500
    after = some_attempts(chance, at - timedelta(days=34), at - timedelta(days=31), 60)
    send(put, after)
    rollups.keep_up(Alone(store.cursor()), naive(at))
    assert late(store) == 0
    assert store.cursor().execute("SELECT count(*) FROM attempt").fetchall() == [(1,)]
    sealed = tiers.read(store.cursor(), "attempt").sealed_until
    assert sealed is not None
    assert_equal(
        store, [*sent, *after, attempt(at - timedelta(hours=1), endpoint="GET /")], sealed, exact=False
    )


def test_raw_rows_stay_until_cells_hold_them(put: Put, store: Store) -> None:
    at = now()
    send(put, [attempt(at - timedelta(days=40)), attempt(at)])
    assert retention.expire(store.cursor(), naive(at), 30)["attempt"] == 0
    rollups.keep_up(Alone(store.cursor()), naive(at))
    send(put, [attempt(at - timedelta(days=40), endpoint="GET /late")])
    assert retention.expire(store.cursor(), naive(at), 30)["attempt"] == 0, "one of its hours is dirty"
    rollups.keep_up(Alone(store.cursor()), naive(at))
    assert retention.expire(store.cursor(), naive(at), 30)["attempt"] == 2


def test_cells_a_clock_far_ahead_sealed_are_made_anew(put: Put, store: Store) -> None:
    at = now()
    ahead = naive(at + timedelta(days=40))
    send(put, [attempt(at - timedelta(hours=1))])
    tiers.move(store.cursor(), "attempt", sealing_until=ahead, sealed_until=ahead)
    tiers.move(store.cursor(), "attempt_1d", sealed_until=ahead)
    rollups.keep_up(Alone(store.cursor()), naive(at))
    sealed = tiers.read(store.cursor(), "attempt").sealed_until
    assert sealed is not None
    assert sealed <= naive(at)
