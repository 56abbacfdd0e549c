"""What the tables take, how they grow, and when the disk is full."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pytest

from tests.warehouse.filling import fill_attempts
from warehouse.footprint import Footprint, Table, measure
from warehouse.model import now
from warehouse.settings import Settings
from warehouse.store import Store

AT = datetime(2026, 11, 24, tzinfo=UTC).replace(tzinfo=None)
ROWS = 700_000


def table(size: int, rows: int, rows_per_day: float, age_days: float, *, is_aged: bool = True) -> Table:
    return Table(size, rows, rows_per_day, AT - timedelta(days=age_days), is_aged=is_aged)


@pytest.mark.parametrize(
    ("tables", "free", "days"),
    [
        ([table(1000, 100, 10, 5)], 1000, 10),
        ([table(1000, 100, 10, 5)], 2499, 24.99),
        ([table(1000, 100, 10, 5)], 2501, None),
        ([table(1000, 100, 10, 40)], 1, None),
        ([table(1000, 100, 10, 40, is_aged=False)], 1000, 10),
        ([table(1000, 100, 10, 20), table(1000, 100, 10, 5, is_aged=False)], 3000, 20),
        ([table(0, 0, 0, 0)], 10, None),
        ([table(1000, 100, 10, 5)], 0, 0),
    ],
)
def test_the_day_the_disk_fills(tables: list[Table], free: int, days: float | None) -> None:
    """A table that is deleted by age stops growing when its oldest row is 30 days old."""
    footprint = Footprint(AT, {str(number): each for number, each in enumerate(tables)})
    found = footprint.fills_at(free, 30)
    assert (
        (found - AT) / timedelta(days=1) == pytest.approx(days)
        if days is not None and found
        else (found is None and days is None)
    )


def test_room_and_growth_of_each_table_are_told(settings: Settings) -> None:
    fill_attempts(settings, ROWS)
    store = Store(settings)
    found = measure(store.cursor(), now().replace(tzinfo=None))
    attempts = found.tables["attempt"]
    assert attempts.rows == ROWS
    assert attempts.rows_per_day == pytest.approx(ROWS / 7, rel=0.02)
    assert (
        0.5 * settings.database_file.stat().st_size < attempts.bytes < settings.database_file.stat().st_size
    )
    assert attempts.bytes_per_day == pytest.approx(attempts.bytes / 7, rel=0.02)
    store.close()


def test_storage_tells_it_once_it_was_measured(ask: Callable[..., pa.Table], store: Store) -> None:
    before = ask("storage").to_pylist()
    assert all(row["measured_at"] is None and row["bytes"] is None for row in before)
    store.footprint = Footprint(AT, {"attempt": table(1 << 62, 100, 50, 2)})
    rows = {row["table_name"]: row for row in ask("storage").to_pylist()}
    assert len(rows) == len(before)
    assert rows["attempt"]["bytes"] == 1 << 62
    assert rows["attempt"]["rows_per_day"] == 50
    assert rows["sample"]["bytes"] is None
    assert {row["fills_at"] is None for row in rows.values()} == {False}
