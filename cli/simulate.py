"""Makes a new folder with a simulated history and the configuration that shows it."""

from __future__ import annotations

import shutil
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cli.progress import Progress
from warehouse import retention, sum_tiers
from warehouse.errors import InvalidInputError
from warehouse.judge import Judge
from warehouse.keeper import Keeper
from warehouse.model import now
from warehouse.rollups import Alone, build
from warehouse.settings import CONFIG_NAME, load
from warehouse.simulation.build import History, Wanted
from warehouse.simulation.scene import ENDPOINTS
from warehouse.store import Store
from warehouse.writer import Writer

SECONDS_A_DAY = 86_400
DEFAULT_RATE = 5.0
"""Attempts a second of all endpoints together: each is probed every 10 s."""

LONGEST_DAYS = 3650
MOST_ATTEMPTS = 2_000_000_000

CONFIG = """\
# A simulated history, written by `perfhouse simulate`: nothing in it was measured, and every page says so.
# `perfhouse --config {file} up` shows it.

data_dir = "data"

[warehouse]
port = {port}
deadline_s = 30

[dashboard]
port = {dashboard}

[retention]
raw_days = {raw_days}

[collectors]
name = "simulation"
"""


def wanted(
    days: float, attempts: int | None, rate: float | None, seed: int, end: datetime | None, *, phases: bool
) -> Wanted:
    """What was asked for, checked. Raises InvalidInputError naming the option."""
    if not 0 < days <= LONGEST_DAYS:
        raise InvalidInputError(f"expected days up to {LONGEST_DAYS}, given {days:g}", field="--days")
    if attempts is not None and rate is not None:
        raise InvalidInputError("expected either --attempts or --rate, given both", field="--rate")
    count = attempts if attempts is not None else int((rate or DEFAULT_RATE) * days * SECONDS_A_DAY)
    if not ENDPOINTS <= count <= MOST_ATTEMPTS:
        raise InvalidInputError(
            f"expected {ENDPOINTS} to {MOST_ATTEMPTS:,} attempts in all, given {count:,}",
            field="--attempts" if attempts is not None else "--rate",
        )
    until = (end or now()).replace(second=0, microsecond=0)
    return Wanted(seed, until - timedelta(days=days), until, count, phases)


def instant_of(text: str | None) -> datetime | None:
    """An instant that was typed. Raises InvalidInputError."""
    if text is None:
        return None
    try:
        given = datetime.fromisoformat(text)
    except ValueError:
        given = None
    if given is None or given.tzinfo is None:
        raise InvalidInputError(
            f"expected an instant with an offset (2026-11-23T12:00:00Z), given {text}", field="--end"
        )
    return given.astimezone(UTC)


def simulate(folder: Path, asked: Wanted, *, port: int, dashboard: int) -> str:
    """Write the history; returns what was made, in words. What does not come to its end is deleted.

    Raises InvalidInputError where the folder holds anything, and the errors of Store.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InvalidInputError(
            f"{folder} exists already and holds something", field="folder", hint="Name a new folder."
        )
    is_new = not folder.exists()
    try:
        return _fill(folder, asked, port=port, dashboard=dashboard)
    except BaseException:
        shutil.rmtree(folder / "data", ignore_errors=True)
        (folder / CONFIG_NAME).unlink(missing_ok=True)
        if is_new and folder.exists():
            folder.rmdir()
        raise


def _fill(folder: Path, asked: Wanted, *, port: int, dashboard: int) -> str:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = folder / CONFIG_NAME
        days = (now() - asked.start).days + 30
        text = CONFIG.format(file=file, port=port, dashboard=dashboard, raw_days=min(days, LONGEST_DAYS))
        file.write_text(text, encoding="utf-8")
    except OSError as error:
        raise InvalidInputError(f"cannot write {folder}: {error.strerror}", field="folder") from None
    settings = load(file, {})
    store = Store(settings)
    try:
        with Progress(sys.stderr, asked.per_endpoint * ENDPOINTS) as progress:
            cursor = store.cursor()
            attempts = History(cursor, asked).write(progress.rows_done)
            kept = settings.retention
            cell_days = max(kept.cell_days, kept.raw_days)
            retention.tell_cells(cursor, now().replace(tzinfo=None), cell_days, kept.fine_cell_days)
            days = (asked.end - asked.start).days + 1
            start = asked.start.replace(tzinfo=None)
            build(
                cursor,
                now().replace(tzinfo=None),
                lambda day: progress.tell_share("days rolled up", (day - start).days, days),
            )
            sum_tiers.keep_up(Alone(cursor), now().replace(tzinfo=None))
            cursor.execute("CHECKPOINT")
            cursor.close()
        _judge(store)
    finally:
        store.close()
    size = settings.database_file.stat().st_size
    return (
        f"simulated {attempts:,} attempts of {ENDPOINTS} endpoints from {asked.start:%Y-%m-%d %H:%M} to "
        f"{asked.end:%Y-%m-%d %H:%M} UTC, seed {asked.seed}, {size / 1e6:,.1f} MB\n"
        f"perfhouse --config {file} up"
    )


def _judge(store: Store) -> None:
    """Judge the load tests as the warehouse would."""
    writer = Writer(Keeper(store))
    try:
        Judge(store, writer).judge_due()
    finally:
        writer.close()
