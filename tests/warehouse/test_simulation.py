"""Made-up histories: the same for a seed, of the shape that was asked for, with changes as labelled."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from warehouse.backup import hash_of, tables_of
from warehouse.settings import Settings, load
from warehouse.simulation.build import History, Wanted
from warehouse.simulation.changes import Change
from warehouse.simulation.scene import ENDPOINTS, business
from warehouse.store import Store

END = datetime(2026, 11, 20, 12, tzinfo=UTC)
DAYS = 10
ATTEMPTS = 40_000
OWN = {"made_at", "requested_at"}
"""What says when it was made, and is another each time."""


def made(folder: Path, seed: int = 1, *, phases: bool = True) -> Store:
    folder.mkdir()
    file = folder / "perfhouse.toml"
    file.write_text('data_dir = "data"\n', encoding="utf-8")
    store = Store(load(file, {}))
    asked = Wanted(seed, END - timedelta(days=DAYS), END, ATTEMPTS, phases)
    History(store.cursor(), asked).write(lambda _: None)
    return store


def hashes(store: Store) -> dict[str, int]:
    connection = store.cursor()
    return {
        name: hash_of(connection, name, {c: t for c, t in columns.items() if c not in OWN})
        for name, columns in tables_of(connection).items()
        if name != "migration"
    }


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return made(tmp_path_factory.mktemp("history") / "one")


def rows(store: Store, sql: str, *values: object) -> list[tuple[object, ...]]:
    return store.cursor().execute(sql, list(values)).fetchall()


def test_a_seed_makes_the_same_history_again_and_another_makes_another(
    history: Store, tmp_path: Path
) -> None:
    same, other = made(tmp_path / "same"), made(tmp_path / "other", seed=2)
    assert hashes(same) == hashes(history)
    assert hashes(other)["attempt"] != hashes(history)["attempt"]
    same.close()
    other.close()


def test_attempts_are_as_many_as_asked_but_for_outages_and_lie_in_the_window(history: Store) -> None:
    ((count, series, first, last),) = rows(
        history, "SELECT count(*), count(DISTINCT series_id), min(ts), max(ts) FROM attempt"
    )
    ((missed,),) = rows(history, "SELECT sum(missed) FROM gap")
    assert series == ENDPOINTS
    assert ATTEMPTS - count == pytest.approx(missed, abs=2 * ENDPOINTS)  # type: ignore[operator]
    assert missed > 0  # type: ignore[operator]
    start = (END - timedelta(days=DAYS)).replace(tzinfo=None)
    assert start <= first < start + timedelta(hours=1)  # type: ignore[operator]
    assert END.replace(tzinfo=None) - timedelta(hours=1) < last < END.replace(tzinfo=None)  # type: ignore[operator]


def test_every_class_of_errors_and_every_phase_is_there(history: Store) -> None:
    outcomes = {name for (name,) in rows(history, "SELECT DISTINCT outcome FROM attempt")}
    assert {"ok", "timeout", "bad_status", "reset", "refused", "dns", "tls"} <= outcomes
    ((wrong,),) = rows(
        history,
        "SELECT count(*) FROM attempt WHERE total_us < coalesce(connect_us, 0) + coalesce(tls_us, 0) "
        "+ coalesce(first_byte_us, 0) OR (outcome = 'ok') <> (status IS NOT DISTINCT FROM 200) "
        "OR (outcome IN ('ok', 'bad_status')) <> (total_us IS NOT NULL)",
    )
    assert wrong == 0


def test_without_phases_an_attempt_is_what_it_must_be(tmp_path: Path) -> None:
    plain = made(tmp_path / "plain", phases=False)
    ((attempts, answered, phases),) = rows(
        plain,
        "SELECT count(*), count(total_us), count(dns_us) + count(first_byte_us) + count(bytes) FROM attempt",
    )
    assert attempts > 0.9 * ATTEMPTS  # type: ignore[operator]
    assert answered > 0.9 * attempts  # type: ignore[operator]
    assert phases == 0
    plain.close()


def test_a_labelled_change_is_in_the_numbers(history: Store) -> None:
    """The median logarithm after it less that before it is what the label says, seasons aside."""
    labelled = rows(
        history,
        "SELECT * FROM simulated_change WHERE kind = 'latency' AND ts < ?",
        (END - timedelta(days=2)).replace(tzinfo=None),
    )
    assert labelled
    for ts, until, _, target, name, factor, _ in labelled:
        found = rows(
            history,
            """
            SELECT total_us, ts >= ? AND ts < coalesce(?, TIMESTAMP '2200-01-01'), epoch_ms(ts)
            FROM attempt JOIN series USING (series_id)
            WHERE target = ? AND object = ? AND outcome = 'ok'
            """,
            *(ts, until, target, name),
        )
        us, holds, at_ms = (np.array(column) for column in zip(*found, strict=True))
        quiet = business(at_ms.astype(np.int64)) < 0.3
        others = [row for row in labelled if row[3:5] == (target, name)]
        if len(others) > 1 or not 20 < (holds & quiet).sum() < quiet.sum() - 20:
            continue
        ratio = np.median(us[holds & quiet]) / np.median(us[~holds & quiet])
        assert ratio == pytest.approx(factor, rel=0.25)


def test_days_and_weekends_have_their_seasons() -> None:
    monday = int(datetime(2026, 11, 16, tzinfo=UTC).timestamp() * 1000)
    hour = 3_600_000
    noon, night, sunday = business(np.array([monday + 14 * hour, monday + 2 * hour, monday - 10 * hour]))
    assert noon == pytest.approx(1, abs=0.01)
    assert night < 0.2
    assert sunday == pytest.approx(0.45, abs=0.01)


def test_a_change_holds_to_its_end_or_to_the_last() -> None:
    change = Change(100, 200, "latency", "a", "b", 2.0, "")
    assert [change.holds(*span) for span in ((0, 100), (0, 101), (199, 300), (200, 300))] == [0, 1, 1, 0]
    assert Change(100, None, "latency", "a", "b", 2.0, "").holds(10_000, 10_001)


def test_hosts_queries_and_load_tests_are_there(history: Store) -> None:
    counts = dict(
        rows(
            history,
            "SELECT 'sample', count(*) FROM sample UNION ALL SELECT 'query_stat', count(*) FROM query_stat "
            "UNION ALL SELECT 'run', count(*) FROM run UNION ALL SELECT 'load_request', count(*) "
            "FROM load_request UNION ALL SELECT 'database_state', count(*) FROM database_state",
        )
    )
    assert all(counts.values())
    assert counts["run"] == 2


def test_what_is_asked_and_counted_knows_that_it_is_simulated(history: Store, settings: Settings) -> None:
    fresh = Store(settings)
    assert not fresh.simulated
    fresh.close()
    history.reopen()
    assert history.simulated
    history.reopen_for_reading()
    assert history.simulated
    history.reopen()


def test_nothing_changed_where_nothing_was_simulated(ask: Callable[..., pa.Table]) -> None:
    assert ask("simulated_changes").num_rows == 0
